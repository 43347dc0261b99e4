"""The promotion gate on the grocery chain's year: a night with a planted fault, and the same night without it.

`make bench NAME=promotion`: three whole trainings, about half an hour on two cores that do nothing else. Production is trained on all
purchases before week 53. Then comes a night in which three households in five have another one's purchases of all weeks before the
newest, as after a join on the wrong key; then the night as it was. What the gate decides and why is printed for both. (With four in five
swapped, the run ends before the gate: it is worse than best sellers, .087 against .097.)
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from benchmarks.harness import CONFIG, END_OF_53, OUT, Benchmark
from cortex_rec import columns, sources
from cortex_rec.config import CompleteJourneySource, load_config
from cortex_rec.dataset import Dataset
from cortex_rec.releases import channels
from cortex_rec.releases.promotion import Decision, decision_file
from flows.run import run_train

LAST_WEEK: Final = END_OF_53 - timedelta(weeks=1)
#: Of so many households, these keep their own purchases.
OF, KEPT = 5, 2
#: How many households further on the other ones' purchases come from.
AWAY: Final = 1_000


def main() -> None:
    """Run the nights one after the other into one folder of releases."""
    config = load_config(CONFIG)
    benchmark = Benchmark("promotion", seed=config.seed)
    assert isinstance(config.source, CompleteJourneySource)
    year = sources.read(config.source, config.windows)
    shutil.rmtree(OUT / "promotion" / "releases", ignore_errors=True)
    nights: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {"before": until_then, "faulty": swapped, "sound": as_it_was}
    rows: list[dict[str, Any]] = []
    decisions: dict[str, Any] = {}
    for name, change in nights.items():
        decision = _night(name, replace(year, interactions=change(year.interactions)))
        production = channels.read(str(OUT / "promotion" / "releases"), channels.PRODUCTION)
        assert production is not None
        decisions[name] = decision.to_dict() | {"production": production.release}
        rows += [_row(name, each) for each in decision.rows()]
        print(f"{name}: {decision.told()}")
    # Nothing here is chosen or compared with a default; each row is one guard of one night.
    benchmark.finish(rows, decisions=decisions)


def until_then(purchases: pl.DataFrame) -> pl.DataFrame:
    """What was known a week earlier."""
    return purchases.filter(pl.col(columns.TIMESTAMP) < LAST_WEEK)


def swapped(purchases: pl.DataFrame) -> pl.DataFrame:
    """Three households in five have another one's purchases, but for those of the last week."""
    households = purchases[columns.USER].unique().sort()
    others = pl.concat([households[AWAY:], households[:AWAY]])
    other = pl.col(columns.USER).replace_strict(households, others)
    own = (pl.col(columns.TIMESTAMP) >= LAST_WEEK) | (pl.col(columns.USER).cast(pl.Int64) % OF < KEPT)
    return purchases.with_columns(pl.when(own).then(pl.col(columns.USER)).otherwise(other).alias(columns.USER))


def as_it_was(purchases: pl.DataFrame) -> pl.DataFrame:
    """The night without a fault."""
    return purchases


def _night(name: str, data: Dataset) -> Decision:
    """Train on tables as a shop's files; give what the gate decided."""
    root = OUT / "promotion"
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    data.save(folder)
    attributes = [column for column in data.items.columns if column not in columns.ITEMS]
    source: dict[str, Any] = {"kind": "files", "attributes": attributes}
    source |= {table: {"path": str(folder / f"{table}.parquet")} for table in data.tables()}
    source["users"]["columns"] = {column: column for column in data.users.columns if column != columns.USER}
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(CONFIG.read_text()) | {"source": source}))
    release = run_train(str(file), workspace=str(root), releases=str(root / "releases"))
    return Decision.load(decision_file(Path(root), release))


def _row(night: str, guard: dict[str, Any]) -> dict[str, Any]:
    shown = ("champion", "challenger", "change", "low", "high", "least", "most", "outcome")
    named = {"low": "from", "high": "to"}
    return {"method": f"{night}: {guard['name']}", "default": False} | {named.get(key, key): guard[key] for key in shown}


if __name__ == "__main__":
    main()
