"""Time windows. Whatever belongs to a window's start sees nothing that happened at or after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from cortex_rec import arrays
from cortex_rec.arrays import DAY, I32, Ragged
from cortex_rec.config import Windows
from cortex_rec.errors import ConfigError
from cortex_rec.histories import Histories, Past


@dataclass(frozen=True)
class Window:
    """The purchases in [start, end), seconds since 1970, are what a model that knows all before `start` must foresee."""

    start: int
    end: int

    @property
    def label(self) -> str:
        """The first day, as YYYY-MM-DD."""
        return day_of(self.start)

    @property
    def title(self) -> str:
        """The length in words and the first day."""
        days = (self.end - self.start) // DAY
        length = {1: "day of", 7: "week of"}.get(days, f"{days} days from")
        return f"{length} {self.label}"


def day_of(moment: int) -> str:
    """The calendar day of a moment in seconds since 1970."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def windows(config: Windows, histories: Histories) -> tuple[list[Window], Window]:
    """The training windows, oldest first, and the test window after them.

    Raises
    ------
    ConfigError
        If the data do not reach back before the first training window, or no purchase lies in the test window.
    """
    first, last = int(histories.time.min()), int(histories.time.max())
    end = (last // DAY + 1) * DAY if config.end is None else int(config.end.replace(tzinfo=UTC).timestamp())
    length = config.days * DAY
    test = Window(end - length, end)
    training = [Window(test.start - i * length, test.start - (i - 1) * length) for i in range(config.training, 0, -1)]
    if training[0].start <= first:
        raise ConfigError(
            f"windows: {config.training} training windows of {config.days} days before the test window {test.label} reach back to "
            f"{training[0].label}, but the first purchase is of {day_of(first)}. "
            "Ask for fewer or shorter windows, or a later `windows.end`."
        )
    if len(histories.between(test.start, test.end).item) == 0:
        raise ConfigError(
            f"windows: no purchase lies in the test window {test.label} to {day_of(test.end)}; the data end on {day_of(last)}. "
            "Change `windows.end`."
        )
    return training, test


def check_buyers(histories: Histories, of: Sequence[Window]) -> None:
    """Look whether each window has a user to be judged by; `ConfigError` names the first that has none."""
    for window in of:
        if not any(len(truth(block, window)[0]) for _, block in histories.blocks()):
            raise ConfigError(
                f"windows: nobody who had bought before {window.label} bought in the {window.title}, so there is nothing to learn from it "
                "or to judge by. Ask for longer windows (`windows.days`), or fewer (`windows.training`)."
            )


def truth(histories: Histories, window: Window, *, most: int | None = None, seed: int = 0) -> tuple[I32, Ragged]:
    """Who is judged in a window, and what they bought in it.

    Parameters
    ----------
    most
        How many users at the most, drawn by chance; all of them when absent.
    seed
        Decides the draw.

    Returns
    -------
    users
        (n,) int32, ascending: those with a purchase in the window and one before it.
    bought
        For each of them the distinct items of the window, ascending.
    """
    inside = histories.between(window.start, window.end)
    buyers = np.flatnonzero(np.diff(inside.pointer)).astype(np.int32)
    users = drawn(buyers[histories.came_before(buyers, window.start)], most, seed=[seed, window.start])
    return users, distinct(inside.take(users))


def drawn(users: I32, most: int | None, *, seed: int | list[int]) -> I32:
    """The users, or `most` of them by chance where there are more, in the same order."""
    if most is None or len(users) <= most:
        return users
    return users[np.sort(np.random.default_rng(seed).permutation(len(users))[:most])]


def distinct(histories: Histories | Past) -> Ragged:
    """Each user's distinct items, ascending."""
    return Ragged.joined([_distinct(block) for _, block in histories.blocks()])


def _distinct(histories: Histories) -> Ragged:
    width = int(histories.item.max(initial=0)) + 1
    owner, item = np.divmod(arrays.distinct(histories.owner * width + histories.item), width)
    return Ragged.from_owner(owner, item, histories.n_users)


def held_out(pairs: Ragged, share: float, *, seed: int) -> tuple[Ragged, Ragged]:
    """Each user's distinct items in two parts by chance: what is learned from, and the rounded `share` of them that is judged by."""
    owner, counts = pairs.owner, np.diff(pairs.pointer)
    order = np.lexsort((np.random.default_rng(seed).random(len(owner)), owner))
    place = np.empty(len(owner), np.int64)
    place[order] = np.arange(len(owner)) - pairs.pointer[owner]
    held = place < np.round(counts * share)[owner]
    learned, judged = (Ragged.from_owner(owner[part], pairs.item[part], len(pairs)) for part in (~held, held))
    return learned, judged
