"""Whether a new release may take production's place: what both did, guard by guard, and the decision with its reasons.

`contest.py` asks them; nothing here knows of files, data or models.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from cortex_rec import folders
from cortex_rec.arrays import F64, Ragged
from cortex_rec.config import Promotion
from cortex_rec.errors import ArtifactError
from cortex_rec.evaluation import beyond_accuracy, significance
from cortex_rec.evaluation.evaluate import MAIN

Outcome = Literal["holds", "worse", "uncertain", "nobody"]


@dataclass(frozen=True)
class Performance:
    """What a release did in the window; entry `i` of the first three is of the same user in both releases.

    Parameters
    ----------
    ndcg
        (n_users,) float64 NDCG@10.
    new_items
        (n_users,) float64 the same on what the user never bought before; NaN for who bought nothing new.
    light_users
        (n_users,) float64 the same as `ndcg` of the third of the users who bought least; NaN for the others.
    shown
        The first ten items of each user, as rows of one catalogue for both.
    n_items
        Size of that catalogue.
    milliseconds
        (n_questions,) float64 of each answer, entry `i` of the same question in both.
    bytes
        Of the release.
    """

    ndcg: F64
    new_items: F64
    light_users: F64
    shown: Ragged
    n_items: int
    milliseconds: F64
    bytes: int


@dataclass(frozen=True)
class Guard:
    """One row of the table of reasons.

    Parameters
    ----------
    name
        What is guarded.
    champion, challenger
        The figure of each; in the rows of the window, the champion's when it was made and now. None where there is nobody to judge.
    change
        challenger / champion - 1; None where the champion's figure is 0 or missing.
    of
        How many users, or answers, `change` is a mean over; None where the figure is counted and not a mean.
    low, high
        95 % paired interval of `change`; None as well.
    least, most
        What `change` may be; None for no bound.
    """

    name: str
    champion: float | None
    challenger: float | None
    change: float | None
    of: int | None
    low: float | None
    high: float | None
    least: float | None
    most: float | None

    @property
    def outcome(self) -> Outcome:
        """`holds` when the whole interval is allowed, `uncertain` when the change is and the interval is not, else `worse`."""
        if self.champion is None or self.challenger is None:
            return "nobody"
        if self.change is None:
            # What was 0 cannot get worse, but it can grow.
            return "holds" if self.challenger == 0 or self.most is None else "worse"
        if not self._allows(self.change):
            return "worse"
        return "holds" if all(bound is None or self._allows(bound) for bound in (self.low, self.high)) else "uncertain"

    @property
    def passed(self) -> bool:
        """Whether it lets the challenger through. A slice that nobody is in stops nobody; without any user nothing can be said."""
        return self.outcome == "holds" or (self.outcome == "nobody" and self.name != MAIN)

    def allowed(self) -> str:
        """What `change` may be, in words."""
        if self.least is None or self.most is None:
            bound = self.most if self.least is None else self.least
            return "" if bound is None else f"{'up to ' if self.least is None else 'from '}{100 * bound:+.3g} %"
        return f"{100 * self.least:+.3g} to {100 * self.most:+.3g} %"

    def reason(self) -> str:
        """Why it stops the challenger, in words."""
        if self.outcome == "nobody":
            return f"{self.name}: there is nobody to judge by"
        changed = f"{self.name}: {self.champion:.4g} to {self.challenger:.4g}"
        changed += "" if self.change is None else f", {100 * self.change:+.1f} %"
        if self.outcome == "uncertain":
            changed += f", but all that {self.of:,} can tell is {100 * (self.low or 0):+.1f} to {100 * (self.high or 0):+.1f} %"
        return f"{changed} (allowed: {self.allowed()})"

    def _allows(self, change: float) -> bool:
        return (self.least is None or change >= self.least) and (self.most is None or change <= self.most)


@dataclass(frozen=True)
class Decision:
    """What became of a new release.

    Parameters
    ----------
    challenger, champion
        Ids of the new release and of the one that was in production; None when there was none.
    promoted
        Whether the new one is in production now.
    why
        One sentence.
    guards
        What was judged; empty when nothing was.
    """

    challenger: str
    champion: str | None
    promoted: bool
    why: str
    guards: tuple[Guard, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether production was another release before."""
        return self.promoted and self.challenger != self.champion

    def told(self) -> str:
        """What became of it, and the way out where it was kept, in two sentences."""
        if self.promoted:
            return f"Production is {self.challenger}, this release: {self.why}."
        return (
            f"Production stays {self.champion}; {self.challenger} is kept as a candidate: {self.why.rstrip('.')}. "
            f"A person can promote it all the same: `cortex-rec releases promote {self.challenger} --why …`."
        )

    def rows(self) -> list[dict[str, Any]]:
        """The table of reasons, one mapping a guard."""
        return [asdict(guard) | {"outcome": guard.outcome} for guard in self.guards]

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold, each guard with its `outcome`."""
        return asdict(self) | {"guards": self.rows()}

    def save(self, path: Path) -> None:
        """Write to a file, which appears whole or not at all."""
        with folders.replace_file(path) as fresh:
            fresh.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If it is missing or damaged.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            guards = ({name: row[name] for name in Guard.__dataclass_fields__} for row in raw["guards"])
            return cls(**raw | {"guards": tuple(Guard(**row) for row in guards)})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{path}: cannot be read as the promotion gate's decision ({error!r}). Run `cortex-rec train` again."
            ) from error


def decision_file(workspace: Path, release: str) -> Path:
    """Where a run keeps what became of its release."""
    return workspace / "promotion" / f"{release}.json"


def judge(
    champion: Performance, challenger: Performance, at_release: tuple[float, int], margins: Promotion, *, samples: int, seed: int
) -> tuple[Guard, ...]:
    """Compare two releases guard by guard.

    Parameters
    ----------
    champion, challenger
        What production and the new release did in the newest window.
    at_release
        NDCG@10 and the number of users of the window that the champion was judged on when it was made.
    margins
        How much worse is allowed.
    samples, seed
        Of the bootstrap over users, and over questions.
    """
    band = (-margins.window, margins.window)
    now = float(champion.ndcg.mean()) if len(champion.ndcg) else 0.0
    mean = partial(_mean, samples=samples, seed=seed)
    return (
        mean(MAIN, champion.ndcg, challenger.ndcg, -margins.ndcg),
        mean("new items", champion.new_items, challenger.new_items, -margins.new_items),
        mean("light users", champion.light_users, challenger.light_users, -margins.light_users),
        *judge_refreshed(champion, challenger, margins, samples=samples, seed=seed),
        _count(f"window's {MAIN}", at_release[0], now, *band),
        _count("window's users", at_release[1], len(champion.ndcg), *band),
    )


def judge_refreshed(champion: Performance, challenger: Performance, margins: Promotion, *, samples: int, seed: int) -> tuple[Guard, ...]:
    """The guards that need no purchase after both releases' moments: what they show, how quickly, and how large they are."""
    covered, covers = (beyond_accuracy.coverage(each.shown, each.n_items) for each in (champion, challenger))
    latency = _mean("latency, ms", champion.milliseconds, challenger.milliseconds, None, margins.latency, samples=samples, seed=seed)
    return (
        _count("coverage", covered, covers, -margins.coverage),
        latency,
        _count("size, MiB", champion.bytes / 2**20, challenger.bytes / 2**20, None, margins.size),
    )


def _mean(name: str, first: F64, second: F64, least: float | None, most: float | None = None, *, samples: int, seed: int) -> Guard:
    both = ~(np.isnan(first) | np.isnan(second))
    if not both.any():
        return Guard(name, None, None, None, 0, None, None, least, most)
    means = first[both].mean(), second[both].mean()
    lift = significance.lift(second, first, samples=samples, seed=seed)
    change, low, high = (_rounded(value) for value in lift)
    return Guard(name, _rounded(means[0]), _rounded(means[1]), change, int(both.sum()), low, high, least, most)


def _count(name: str, first: float, second: float, least: float | None, most: float | None = None) -> Guard:
    change = _rounded(second / first - 1) if first else None
    return Guard(name, _rounded(first), _rounded(second), change, None, None, None, least, most)


def _rounded(value: float) -> float | None:
    """As in a report: six decimals, None for NaN."""
    return None if np.isnan(value) else round(float(value), 6)


def decide(challenger: str, champion: str, guards: Sequence[Guard]) -> Decision:
    """Promote when every guard lets the challenger through."""
    stopped = [guard for guard in guards if not guard.passed]
    if not stopped:
        return Decision(challenger, champion, True, f"not worse than {champion} on {len(guards)} guards", tuple(guards))
    return Decision(challenger, champion, False, "; ".join(_reasons(stopped)), tuple(guards))


def _reasons(stopped: Sequence[Guard]) -> Iterator[str]:
    for guard in stopped:
        unlike = " (the window is unlike the one that production was judged on)" if guard.name.startswith("window") else ""
        yield guard.reason() + unlike
