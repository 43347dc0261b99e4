"""The best items of many users at once, as Parquet: for e-mails, homepages, and shops that ask no service.

Users are cut into parts, one file each. A part that is there is not computed again, so that a stopped run goes on where it was.
"""

import hashlib
import json
import resource
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import faiss
import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from cortex_rec import columns, folders
from cortex_rec.errors import ArtifactError, ConfigError, DataError
from cortex_rec.ids import IdMap
from cortex_rec.recommender import Recommender
from cortex_rec.releases import forgotten, live, store
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request

#: Users that are answered together: more are no quicker.
BLOCK: Final = 32
#: Users of a file at the most, and files at the most as long as no file has more: so that all processes end at about the same time.
MOST: Final = 512
FILES: Final = 128
ORDER: Final = "order.json"
DONE: Final = "done.json"
#: One row a place of a user's list; `personal` is false where the items are the popular ones, `reasons` are empty unless asked for.
SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    columns.USER: pl.String,
    "place": pl.UInt16,
    columns.ITEM: pl.String,
    columns.TITLE: pl.String,
    "score": pl.Float32,
    "probability": pl.Float32,
    "personal": pl.Boolean,
    "reasons": pl.List(pl.String),
}


@dataclass(frozen=True)
class Order:
    """What a folder of lists is to hold: as long as it is the same, a run goes on with what is there.

    Parameters
    ----------
    release
        Id of the release that answers.
    n
        Items a user.
    explain
        Whether each item comes with its reasons.
    users
        How many there are in all.
    digest
        SHA-256 of their ids in their order.
    part
        Users of a file.
    """

    release: str
    n: int
    explain: bool
    users: int
    digest: str
    part: int

    @classmethod
    def of(cls, release: Release, users: Sequence[str], *, n: int, explain: bool) -> "Order":
        """Of these users.

        Raises
        ------
        ConfigError
            If `n` is below 1.
        DataError
            If there is no user.
        """
        if n < 1:
            raise ConfigError(f"n: {n} items cannot be recommended. Ask for at least 1.")
        if not users:
            raise DataError(
                "users: there is nobody to make lists for. Name some, or leave the file out for everybody whom the release knows."
            )
        part = min(BLOCK * -(-len(users) // (BLOCK * FILES)), MOST)
        return cls(release.id, n, explain, len(users), hashlib.sha256("\0".join(users).encode()).hexdigest(), part)

    def begin(self, folder: Path) -> None:
        """Make the folder of the lists, or go on with it.

        Raises
        ------
        ConfigError
            If it holds lists of another order.
        ArtifactError
            If it cannot be read or written.
        """
        path = folder / ORDER
        if not path.exists():
            with folders.replace_file(path) as fresh:
                fresh.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path}: cannot be read ({error}). Remove {folder}, or write to another one.") from error
        different = [name for name, value in asdict(self).items() if found.get(name) != value]
        if different:
            name = "users" if different == ["digest"] else different[0]
            told = "other users" if name == "users" else f"{name} {found.get(name)}, not {getattr(self, name)}"
            raise ConfigError(f"{folder}: holds lists for {told}. Remove it, or write to another folder.")

    def parts(self) -> list[slice]:
        """Which users each file is of."""
        return [slice(at, min(at + self.part, self.users)) for at in range(0, self.users, self.part)]


def part_file(folder: Path, number: int) -> Path:
    """Where the lists of a part lie."""
    return folder / f"part-{number:05}.parquet"


def everybody(users: IdMap, beside: Path) -> list[str]:
    """External ids of all users of a release, but for those who asked to be forgotten."""
    gone = forgotten.read(beside)
    return [user for user in users.ids.to_list() if user not in gone]


def users_in(file: Path) -> list[str]:
    """External ids of a file, each once: CSV or Parquet with a column `user_id`, or text with one id a line.

    Raises
    ------
    DataError
        If it cannot be read or has no such column.
    """
    try:
        if file.suffix == ".txt":
            named = pl.Series(file.read_text(encoding="utf-8").split("\n")).str.strip_chars()
        else:
            table = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file, infer_schema=False)
            if columns.USER not in table.columns:
                raise DataError(f"{file}: has no column {columns.USER!r}, only {', '.join(table.columns)}. Rename yours.", table=str(file))
            named = table[columns.USER].cast(pl.String)
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{file}: cannot be read as a list of users ({error}). Give CSV, Parquet or a .txt.", table=str(file)) from error
    # `!=` gives null for null, which is left out, too.
    return named.filter(named != "").unique(maintain_order=True).to_list()


def lists(recommender: Recommender, users: Sequence[str], *, n: int, explain: bool = False) -> pl.DataFrame:
    """Answer users, who are the same alone as among others.

    Returns
    -------
    polars.DataFrame
        As `SCHEMA` says, users in their order, each one's best item first.
    """
    frames = [pl.DataFrame(schema=SCHEMA)]
    for at in range(0, len(users), BLOCK):
        block = users[at : at + BLOCK]
        answered = recommender.answer([Request(user, n=n, explain=explain) for user in block])
        shown = [answered.shown(i) for i in range(len(block))]
        counts, entries = [len(each) for each in shown], np.concatenate(shown)
        items, personal = answered.ranked.lists.item[entries], [recommender.fallback(answered.asked, i) is None for i in range(len(block))]
        titles, scores, chances = recommender.data.catalogue.titles, answered.ranked.scores, answered.ranked.probabilities
        why = [list(each) for i in range(len(block)) for each in recommender.reasons(i, answered)] if explain else [[]]
        reasons = pl.Series(why, dtype=SCHEMA["reasons"])
        columns_ = {
            columns.USER: pl.Series(block, dtype=pl.String).gather(np.repeat(np.arange(len(block)), counts)),
            "place": np.concatenate([np.arange(1, count + 1) for count in counts]),
            columns.ITEM: recommender.data.items.ids.gather(items.astype(np.int64)),
            columns.TITLE: pl.Series([titles[item] for item in items.tolist()], dtype=pl.String),
            "score": scores[entries],
            "probability": pl.Series(chances[entries]).fill_nan(None),
            "personal": np.repeat(personal, counts),
            "reasons": reasons if explain else reasons.new_from_index(0, len(items)),
        }
        frames.append(pl.DataFrame(columns_, schema=SCHEMA))
    return pl.concat(frames)


def write_part(release: Path, beside: Path, users: Sequence[str], order: Order, file: Path) -> tuple[int, int]:
    """Answer the users of a part in a process of its own, and write its file, which appears whole or not at all.

    Parameters
    ----------
    release
        The folder of a release that was verified.
    beside
        The folder of what is kept beside releases (`places.state_of`).

    Returns
    -------
    tuple
        How many users there are, and the MiB that this process took at the most.
    """
    recommender = _loaded(release, beside)
    with folders.replace_file(file) as fresh:
        lists(recommender, users, n=order.n, explain=order.explain).write_parquet(fresh, compression="zstd")
    return len(users), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


@lru_cache(maxsize=1)
def _loaded(release: Path, beside: Path) -> Recommender:
    """Read once a process, of the purchases only those of the users asked for. Processes share the work, so that each has one thread."""
    faiss.omp_set_num_threads(1)
    threadpool_limits(1)
    recommender = live.load(store.open_release(release.parent, release.name, check=False), beside, mapped=True)
    return live.without_forgotten(recommender, beside)
