"""What a check found, in figures and in words."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from scipy import stats

from cortex_rec import folders
from cortex_rec.errors import ArtifactError
from cortex_rec.monitoring.thresholds import Judged
from cortex_rec.splits import day_of

#: Signals that an alarm names in words.
_NAMED: Final = 3
#: A chance of 0 has no normal score.
_LEAST: Final = 1e-300


@dataclass(frozen=True)
class Signal:
    """One figure of a day beside the ordinary.

    Parameters
    ----------
    part, name
        What it belongs to, and `psi/…`, `js/…`, `cosine/…` or the name of a figure.
    value, expected
        The figure, and what the weeks before let expect; 0 for a distance.
    deviations
        How many standard deviations it is from the ordinary.
    p
        How often any signal of any part would be as far off on an ordinary day, at most 1.
    """

    part: str
    name: str
    value: float
    expected: float
    deviations: float
    p: float


@dataclass(frozen=True)
class Part:
    """Purchases, answers or requests: what was judged, or why not.

    Parameters
    ----------
    state
        `judged`, `too few` (the day, or the days to compare it with), or `absent`.
    told
        In words.
    size, days
        Lines, buyers or requests of the day, and days that the ordinary was learned from.
    signals
        Of a judged part, all of them, the least ordinary first.
    lacking
        Signals that the reference has and the day does not.
    """

    name: str
    state: Literal["judged", "too few", "absent"]
    told: str
    size: int = 0
    days: int = 0
    signals: tuple[Signal, ...] = ()
    lacking: tuple[str, ...] = ()

    @classmethod
    def judged(cls, name: str, size: int, found: Judged) -> Self:
        """From what a day was judged to be."""
        order = np.argsort(np.where(np.isnan(found.z), -np.inf, found.z))[::-1]
        rows = zip(found.names, found.value, found.expected, found.z, found.p, strict=True)
        every = [Signal(name, label, *map(float, figures)) for label, *figures in rows]
        known = tuple(every[i] for i in order if np.isfinite(found.p[i]))
        lacking = tuple(each.name for each in every if not np.isfinite(each.value))
        return cls(name, "judged", f"{len(known)} signals beside {found.days} days", size, found.days, known, lacking)


@dataclass(frozen=True)
class Verdict:
    """What a check of one day found.

    Parameters
    ----------
    release, as_of, day
        The release, the day that its data end before, and the day that was checked: YYYY-MM-DD.
    level
        An alarm is a signal with a smaller `p`.
    parts
        Purchases, answers, requests.
    notes
        What could not be compared, in words.
    """

    release: str
    as_of: str
    day: str
    level: float
    parts: tuple[Part, ...]
    notes: tuple[str, ...]

    @property
    def alarms(self) -> tuple[Signal, ...]:
        """Signals that no ordinary day would show, the least ordinary first."""
        found = [signal for part in self.parts for signal in part.signals if signal.p < self.level]
        return tuple(sorted(found, key=lambda signal: -signal.deviations))

    @property
    def alarm(self) -> bool:
        return bool(self.alarms)

    @property
    def judged(self) -> bool:
        """Whether anything could be said at all."""
        return any(part.state == "judged" for part in self.parts)

    def told(self) -> str:
        """The result in a sentence or two."""
        if self.alarm:
            named = ", ".join(f"{signal.part}: {words(signal)}" for signal in self.alarms[:_NAMED])
            more = f", and {len(self.alarms) - _NAMED} more" if len(self.alarms) > _NAMED else ""
            return f"{self.day} is not like the weeks before {self.as_of} (release {self.release}): {named}{more}."
        if not self.judged:
            return f"{self.day}: too little to tell. " + " ".join(f"{part.name}: {part.told}." for part in self.parts)
        unsaid = [f"{part.name}: {part.told}" for part in self.parts if part.state != "judged"]
        return f"{self.day} is an ordinary day for release {self.release}." + (f" Not judged: {'; '.join(unsaid)}." if unsaid else "")

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        parts = [_plain(asdict(part)) for part in self.parts]
        head = {"release": self.release, "as_of": self.as_of, "day": self.day, "alarm": self.alarm, "judged": self.judged}
        told = {"told": self.told(), "level": self.level, "alarms": [_plain(asdict(signal)) for signal in self.alarms]}
        return head | told | {"parts": parts, "notes": list(self.notes)}

    def save(self, path: Path) -> None:
        """Write to a file, which appears whole or not at all: the next check of the day reads it."""
        with folders.replace_file(path) as fresh:
            fresh.write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises an `ArtifactError` if it is damaged."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            parts = tuple(
                Part(**(part | {"signals": tuple(Signal(**_known(one)) for one in part["signals"]), "lacking": tuple(part["lacking"])}))
                for part in told["parts"]
            )
            return cls(told["release"], told["as_of"], told["day"], told["level"], parts, tuple(told["notes"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: is no result of a check ({type(error).__name__}). Remove it and check the day again.") from error


def verdict(parts: Sequence[Part], notes: Sequence[str], *, release: str, as_of: int, day: int, alarm_weeks: int) -> Verdict:
    """Put parts together: each is judged as one of several, so that all of them give one false alarm in so many weeks.

    Source
    ------
    Bonferroni's inequality over the parts; within a part the maximum over its signals (`thresholds.judge`).
    """
    several = sum(part.state == "judged" for part in parts)
    level = 1 / (7 * alarm_weeks)
    weighed = tuple(replace(part, signals=tuple(replace(one, p=min(1.0, one.p * several)) for one in part.signals)) for part in parts)
    return Verdict(release, day_of(as_of), day_of(day), level, weighed, tuple(notes))


def normal_score(p: float) -> float:
    """The deviations at which a normal variable has such a chance to be above: 0 from one half on, 37 at most."""
    return max(0.0, float(stats.norm.isf(max(p, _LEAST))))


def words(signal: Signal) -> str:
    """A signal with its figures: `psi/price 3.1`, `baskets 40 in place of 380`, `store 367 is silent, 9.8 baskets were expected`."""
    if signal.part == "stores":
        return f"store {signal.name.partition('/')[2]} is silent, {signal.expected:.1f} baskets were expected"
    if signal.part == "features":
        return f"{signal.name.partition('/')[2]} is the same for all, {signal.expected:.0%} had the most frequent value before"
    if "/" in signal.name:
        return f"{signal.name} {signal.value:.3g}"
    return f"{signal.name} {signal.value:.4g} in place of {signal.expected:.4g}"


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """What JSON cannot say, NaN, as null."""
    return {key: _value(value) for key, value in told.items()}


def _value(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    return value


def _known(told: dict[str, Any]) -> dict[str, Any]:
    return {key: np.nan if value is None else value for key, value in told.items()}
