"""What a recommender is asked, and what it answers."""

from dataclasses import dataclass, field
from typing import Any

from cortex_rec.errors import InvalidRequest


@dataclass(frozen=True)
class Filters:
    """What must not be in an answer. Retrieval looks further until `n` items are left, or none remains to be tried.

    Parameters
    ----------
    exclude
        External ids of items.
    bought_days
        Leave out what the user bought within so many days; None leaves nothing out.
    groups
        Only items of these values, by the name of a group or an attribute of the catalogue: `{"department": ("GROCERY", "PRODUCE")}`.
    price_from, price_to
        Only items whose recent price is known and within; None is open.
    in_store
        Only what was sold in the user's store in the last four weeks, the nearest that purchases tell to what stands on its shelf.
    """

    exclude: tuple[str, ...] = ()
    bought_days: float | None = None
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    price_from: float | None = None
    price_to: float | None = None
    in_store: bool = False

    def __post_init__(self) -> None:
        if self.bought_days is not None and not 0 <= self.bought_days < float("inf"):
            raise InvalidRequest(f"filters.bought_days: {self.bought_days:g} is no number of days. Give 0 or more.")
        for name in ("price_from", "price_to"):
            price = getattr(self, name)
            if price is not None and not 0 <= price < float("inf"):
                raise InvalidRequest(f"filters.{name}: {price:g} is no price. Give 0 or more.")
        if self.price_from is not None and self.price_to is not None and self.price_from > self.price_to:
            raise InvalidRequest(f"filters.price_from: {self.price_from:g} is above price_to, {self.price_to:g}. Nothing costs that.")
        for group, values in self.groups.items():
            if not values:
                raise InvalidRequest(f"filters.groups: no value of {group!r} is named. Name some, or leave the group out.")


@dataclass(frozen=True)
class Rules:
    """How the ranked list is rearranged; what it costs is told by `cortex-rec evaluate --rules FILE`.

    Parameters
    ----------
    pinned
        External ids that stand first, in this order, whatever their score.
    boosted
        Factor on the odds of a purchase, by external id of an item: 2 doubles them, 0.5 halves them.
    diversity
        From 0 (the ranker's order) to 1: how much being unlike the items above counts (maximal marginal relevance).
    caps
        At most so many items with the same value, by the name of a group or an attribute: `{"brand": 2}`.
    new_share
        Share of the places at least, from 0 to 1, for items that the user never bought.
    tail_share
        Share of the places at least for the long tail: items outside the best sellers that make four fifths of recent sales.
    """

    pinned: tuple[str, ...] = ()
    boosted: dict[str, float] = field(default_factory=dict)
    diversity: float = 0.0
    caps: dict[str, int] = field(default_factory=dict)
    new_share: float = 0.0
    tail_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("diversity", "new_share", "tail_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidRequest(f"rules.{name}: {getattr(self, name):g} is not between 0 and 1.")
        for item, factor in self.boosted.items():
            if not 0 < factor < float("inf"):
                raise InvalidRequest(f"rules.boosted: {factor:g} for {item!r} is no factor. Give more than 0; 1 changes nothing.")
        for group, most in self.caps.items():
            if most < 1:
                raise InvalidRequest(f"rules.caps: {most} for {group!r}. Give at least 1, or leave values out by `filters.groups`.")
        if len(set(self.pinned)) < len(self.pinned):
            raise InvalidRequest("rules.pinned: an item is named twice. Name each once.")


@dataclass(frozen=True)
class Request:
    """Who asks for how many items, from where, under which conditions.

    Parameters
    ----------
    user
        External id; None or an unknown one is answered from `items`, else from what is popular.
    items
        External ids of what lies in the basket now; they count as the latest purchases and are not recommended.
    store
        External id of the store; the user's usual one when absent or unknown.
    n
        How many items to recommend, at least 1; fewer come when retrieval finds fewer.
    explain
        Whether each item comes with its reasons.
    trace
        Whether the answer tells what each stage did.
    why_not
        External id of an item; the trace tells where it fell out.

    Raises
    ------
    InvalidRequest
        If `n` is below 1, or a pinned item is excluded or in the basket.
    """

    user: str | None = None
    items: tuple[str, ...] = ()
    store: str | None = None
    n: int = 10
    filters: Filters = Filters()
    rules: Rules = Rules()
    explain: bool = True
    trace: bool = False
    why_not: str | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InvalidRequest(f"n: {self.n} items cannot be recommended. Ask for at least 1.")
        unwanted = [item for item in self.rules.pinned if item in self.filters.exclude or item in self.items]
        if unwanted:
            raise InvalidRequest(f"rules.pinned: {unwanted[0]!r} is in the basket or excluded, too. Leave it out of one of the two.")


@dataclass(frozen=True)
class Recommendation:
    """One item of an answer, with the facts that its score rests on.

    `probability` is that of a purchase within one training window, for example a week; None for who has no history. `retrievers` are
    the names of those that found the item.
    """

    item: str
    title: str
    score: float
    probability: float | None
    reasons: tuple[str, ...]
    retrievers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slate:
    """An answer, best first.

    Parameters
    ----------
    fallback
        Why it is not a personal one, None when it is.
    degraded
        What failed or came too late, so that the answer is not as good as it could be; empty when all went well.
    widened
        How many times retrieval had to look further for enough items that pass the filters.
    trace
        What each stage did, as plain JSON values, when it was asked for.
    """

    items: tuple[Recommendation, ...]
    fallback: str | None = None
    degraded: tuple[str, ...] = ()
    widened: int = 0
    trace: dict[str, Any] | None = None
