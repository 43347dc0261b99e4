"""Weeks 49 to 53 of Complete Journey, each judged by the system that was trained on the weeks before it."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import CONFIG, OUT, Benchmark, end_of
from benchmarks.next_basket import baselines
from cortex_rec.config import load_config
from cortex_rec.encoding import Encoded
from cortex_rec.evaluation import compare, significance
from cortex_rec.evaluation import judge as judging
from cortex_rec.evaluation.evaluate import judge_lists
from cortex_rec.ranking.blend import Blend
from cortex_rec.ranking.rankers import Calibrated
from cortex_rec.recommender import Recommender
from cortex_rec.snapshot import Snapshot
from cortex_rec.splits import windows
from flows.environment import prepare
from flows.run import run_evaluate

WEEKS = (49, 50, 51, 52, 53)
SHOWN = ("ndcg@10", "recall@20", "map@10", "mrr@10", "hit_rate@10")


def main() -> None:
    """Run the five weeks through the training flow and print one row a method and week, and the means."""
    benchmark = Benchmark("complete-journey", seed=load_config(CONFIG).seed)
    rows: list[dict[str, Any]] = []
    differences: list[pl.DataFrame] = []
    for week in WEEKS:
        found = judge(week, workspace="complete-journey")
        alone, difference = parts(week, workspace="complete-journey")
        found["baselines"] |= alone | baselines(week, workspace="complete-journey")
        differences.append(difference)
        rows += [row | {"week": week} for row in rows_of(found)]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    means = [mean([row for row in rows if row["method"] == method]) for method in methods]
    decay = next(row for row in means if row["method"] == "personal_decay")
    for row in means:
        row["of_personal_decay"] = round(row["ndcg@10"] / decay["ndcg@10"], 4)
    # The one default row is the mean of the weeks; the weeks are there to be read beside it.
    against = gain_over_parts(pl.concat(differences), seed=benchmark.seed)
    benchmark.finish([*means, *(row | {"default": False} for row in rows)], blend_against=against)
    for name, gain in against.items():
        print(f"NDCG@10 of the blend above {name} alone, the five weeks: {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]")


def judge(week: int, *, workspace: str, **overrides: Any) -> dict[str, Any]:
    """Train on the weeks before one and judge it; `overrides` replace keys of the configuration."""
    folder = run_evaluate(str(CONFIG), workspace=str(OUT / workspace), windows={"end": end_of(week)}, **overrides)
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def parts(week: int, *, workspace: str) -> tuple[dict[str, Any], pl.DataFrame]:
    """The rankers of the blend, each alone: figures as those of a baseline, and by user how much better the blend's NDCG@10 is."""
    prepare(OUT / workspace)
    from flows.train import learn

    config = load_config(CONFIG, workspace=str(OUT / workspace), windows={"end": end_of(week)})
    learned = learn(config)
    whole = Calibrated.load(learned.ranker.path)
    assert isinstance(whole.ranker, Blend)
    data, snapshot = Encoded.load(learned.encoded.path), Snapshot.load(learned.fits[-1].path)
    window = windows(config.windows, data.histories)[1]
    of_blend = compare.read(learned.report.path)
    figures, columns = {}, {"user": of_blend["user_id"]}
    for name, ranker in (("lambdarank", whole.ranker.trees), ("neural", whole.ranker.neural)):
        judged = judging.judge(Recommender(data, snapshot, replace(whole, kind=name, ranker=ranker)), window)
        figures[name] = judge_lists(judged.ranked, judged.truth, judged.bought_before, config.evaluation, seed=config.seed)
        columns[name] = of_blend["ndcg@10"] - compare.per_user(judged, data.users)["ndcg@10"]
    return figures, pl.DataFrame(columns)


def gain_over_parts(differences: pl.DataFrame, *, seed: int) -> dict[str, dict[str, float]]:
    """Mean over users of their weeks' mean difference, with a 95 % interval by bootstrap over users."""
    by_user = differences.group_by("user", maintain_order=True).mean()
    found = {}
    for name in by_user.columns[1:]:
        values = by_user[name].to_numpy()
        low, high = significance.intervals({name: values}, samples=1_000, seed=seed)[name]
        found[name] = {"value": round(float(values.mean()), 6), "low": round(low, 6), "high": round(high, 6)}
    return found


def rows_of(metrics: dict[str, Any], system: str = "cortex-rec") -> list[dict[str, Any]]:
    """One row for the system, under its name, and one for each baseline."""
    systems = {system: metrics} | metrics["baselines"]
    rows = []
    for method, found in systems.items():
        figures = found["metrics"] if method == system else found
        row = {"method": method, "default": method == system, "week": 0, "users": metrics["users"]}
        interval = found["intervals"]["ndcg@10"]
        row |= {"ndcg@10": figures["ndcg@10"], "low": interval["low"], "high": interval["high"]}
        row |= {name: figures[name] for name in SHOWN[1:]}
        row |= {"new_items_ndcg@10": found["slices"]["new_items"]["ndcg@10"]}
        row |= {"candidate_recall": metrics["candidate_recall"] if method == system else None}
        rows.append(row)
    return rows


def mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The means of the weeks' figures; users are added up."""
    names = [*SHOWN, "new_items_ndcg@10", "candidate_recall"]
    means = {name: None if rows[0][name] is None else round(float(np.mean([row[name] for row in rows])), 6) for name in names}
    return {"method": rows[0]["method"], "default": rows[0]["default"], "week": "mean", "users": sum(row["users"] for row in rows)} | means


if __name__ == "__main__":
    main()
