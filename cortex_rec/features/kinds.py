"""What a feature is about, in a shopper's words: what scores are explained by."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from cortex_rec.arrays import I64

#: What features of no other kind belong to: the shopper, the moment, how many retrievers found an item.
REST: Final = "who asks"
PRICE: Final = "its price"
#: First words of features' names; a retriever's score and rank start with its name.
_WORDS: Final = {
    "what you buy": ("pair", "repeats"),
    "what goes with it": ("copurchase",),
    "offers": ("offer", "promoted"),
    "coupons": ("coupon",),
    "shoppers like you": ("neighbours", "graph"),
    "what is like it": ("vector",),
    "your shelves": ("department", "category", "subcategory", "brand", "taste", "favourites"),
    "how it sells": ("item", "store", "popular"),
    "how new it is": ("arrivals",),
}
_KIND: Final = {word: kind for kind, words in _WORDS.items() for word in words}
#: All kinds, in the order of the columns of `Ranker.contributions_by_kind`.
KINDS: Final = (*_WORDS, PRICE, REST)


def kind_of(name: str) -> str:
    """The kind of a feature: its price wherever the name tells of one, else by the first word."""
    if "price" in name or "discount" in name:
        return PRICE
    if name == "item_days_listed":
        return "how new it is"
    return _KIND.get(name.split("_")[0], REST)


def places(names: Sequence[str]) -> I64:
    """(len(names),) int64 place of each feature's kind in `KINDS`."""
    return np.array([KINDS.index(kind_of(name)) for name in names], np.int64)
