"""What a release keeps of the weeks before it: profiles of their days, as they would have been seen by a release of each week."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cortex_rec.arrays import DAY, F32
from cortex_rec.encoding import Encoded
from cortex_rec.errors import ArtifactError
from cortex_rec.monitoring import answers, bins, purchases, raw
from cortex_rec.monitoring.bins import Bins
from cortex_rec.monitoring.known import Known
from cortex_rec.monitoring.profiles import Profiles
from cortex_rec.monitoring.raw import WEEK, Raw
from cortex_rec.recommender import Recommender
from cortex_rec.splits import Window

#: The release's folder of it.
FOLDER: Final = "reference"
_LAYOUT: Final = "layout.json"


@dataclass(frozen=True)
class Kept:
    """Days of one kind, and the bins that they are counted in."""

    layout: Mapping[str, Bins]
    days: Profiles

    @classmethod
    def of(cls, days: list[tuple[int, int, Raw]]) -> Self:
        """Lay out bins by all days and count each."""
        found = raw.layout([one for _, _, one in days])
        return cls(found, Profiles.of([(start, block, one.counted(found)) for start, block, one in days]))


@dataclass(frozen=True)
class Reference:
    """The weeks before a release's moment.

    Parameters
    ----------
    purchases
        Every day of whole weeks before it, each beside what was known when its week began.
    answers
        Every day of the training windows and of the test window, whose buyers were answered by what was known when it began.
    """

    purchases: Kept
    answers: Kept

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        parts = {"purchases": self.purchases, "answers": self.answers}
        told = {name: {key: each.to_dict() for key, each in sorted(kept.layout.items())} for name, kept in parts.items()}
        (folder / _LAYOUT).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for name, kept in parts.items():
            kept.days.save(folder / f"{name}.safetensors")

    @classmethod
    def load(cls, release: Path) -> Self:
        """Read a release's.

        Raises
        ------
        ArtifactError
            If the release was made before there was one, or a file is damaged.
        """
        folder = release / FOLDER
        if not folder.is_dir():
            raise ArtifactError(
                f"release {release.name}: keeps no reference that days could be compared with; it was made by an earlier version. "
                "Make a new one with `cortex-rec train`."
            )
        try:
            told = json.loads((folder / _LAYOUT).read_text(encoding="utf-8"))
            layouts = {name: {key: bins.from_dict(each) for key, each in told[name].items()} for name in ("purchases", "answers")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{folder / _LAYOUT}: is damaged ({type(error).__name__}). `cortex-rec releases verify` says what else is; train again."
            ) from error
        return cls(*(Kept(layouts[name], Profiles.load(folder / f"{name}.safetensors")) for name in ("purchases", "answers")))


def of_purchases(data: Encoded, content: F32, *, as_of: int, weeks: int) -> Kept:
    """Profile the days of up to so many whole weeks before a moment.

    Parameters
    ----------
    data
        The whole dataset; what is not before `as_of` is left out here.
    content
        (n_items, d) vectors of what items say and show.
    """
    first = int(data.histories.time.min())
    # Of the first week's purchases every one would be by somebody new.
    whole = min(weeks, (as_of - first) // WEEK - 1)
    days: list[tuple[int, int, Raw]] = []
    for block, behind in enumerate(range(whole, 0, -1)):
        start = as_of - behind * WEEK
        week = purchases.of_histories(data, start, start + WEEK)
        known = Known.of(data.histories, len(data.items), len(data.stores), start, week.pairs(len(data.items)))
        for day in range(start, start + WEEK, DAY):
            days.append((day, block, purchases.raw(week.between(start, day + DAY), known, data, content, day, known)))
    return Kept.of(days)


def of_answers(windows: Iterable[tuple[Recommender, Window]], *, users: int, seed: int) -> Kept:
    """Profile the answers to buyers of the days of some windows.

    Parameters
    ----------
    windows
        The oldest first; each recommender's snapshot is of its window's start.
    users
        Buyers a day.
    """
    days: list[tuple[int, int, Raw]] = []
    for block, (recommender, window) in enumerate(windows):
        bought = purchases.of_histories(recommender.data, window.start, window.end)
        for day in range(window.start, window.end, DAY):
            one = answers.raw(recommender, bought.between(day, day + DAY), day=day, users=users, seed=seed)
            if one is not None:
                days.append((day, block, one))
    return Kept.of(days)
