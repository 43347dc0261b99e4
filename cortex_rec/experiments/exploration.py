"""A little chance in an answer, whose probabilities are known exactly: what off-policy estimates rest on."""

from dataclasses import dataclass

from cortex_rec.experiments.assignment import unit
from cortex_rec.experiments.config import Exploration


@dataclass(frozen=True)
class Explored:
    """An answer's places.

    Parameters
    ----------
    ranks
        The rank that the item at each place has in the list that was explored.
    propensities
        The probability that just this item stands at this place, over all that chance could have done.
    """

    ranks: tuple[int, ...]
    propensities: tuple[float, ...]


def explore(n: int, pool: int, exploration: Exploration, salt: str, impression: str) -> Explored:
    """Decide about `n` places from a ranked list of `pool` items.

    With probability epsilon one place is drawn, each as likely as another, and one of all items below it; the two change places.

    Parameters
    ----------
    n
        How many items are asked for.
    pool
        How many there are; with no more than one nothing can change places.
    salt, impression
        What chance depends on: the same two give the same answer.
    """
    n = min(n, pool)
    ranks = list(range(pool))
    drawn = min(n, pool - 1)
    if drawn > 0 and unit(salt, "explore", impression) < exploration.epsilon:
        place = int(unit(salt, "place", impression) * drawn)
        other = place + 1 + int(unit(salt, "other", impression) * (pool - 1 - place))
        ranks[place], ranks[other] = ranks[other], ranks[place]
    shown = tuple(ranks[:n])
    return Explored(shown, tuple(propensity(place, rank, n, pool, exploration.epsilon) for place, rank in enumerate(shown)))


def propensity(place: int, rank: int, n: int, pool: int, epsilon: float) -> float:
    """The probability that the item of a rank stands at a place."""
    drawn = min(n, pool - 1)
    if drawn <= 0:
        return float(place == rank)

    def swapped(upper: int, lower: int) -> float:
        """That these two change places."""
        return epsilon / drawn / (pool - 1 - upper) if upper < drawn else 0.0

    if place != rank:
        return swapped(min(place, rank), max(place, rank))
    leaves = epsilon / drawn if place < drawn else 0.0
    return 1.0 - leaves - sum(swapped(above, place) for above in range(min(place, drawn)))
