"""What an offer does to the sales of an item: learned from the offers of the past weeks, told of those of this one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import DAY, F32, F64, I32, NO_ROW, Bool, Ragged, load_arrays, save_arrays, sums, vars_of
from cortex_rec.catalogue import Promotions
from cortex_rec.histories import Histories
from cortex_rec.newcomers import Newcomers

#: How far back offers and sales are looked at.
SPAN: Final = 8 * 7 * DAY
WEEK: Final = 7 * DAY
#: An item's lift is held towards its subcategory's by this many lines, that towards everything's by as many as below.
_ITEM_PRIOR: Final = 3.0
_GROUP_PRIOR: Final = 5.0


@dataclass(frozen=True)
class Uplift:
    """Arrays by item row, float32; NaN in a shop whose offers have no past.

    After the items follow one row a subcategory, and one for none: what an item of it has that was neither sold nor offered.

    Parameters
    ----------
    rate
        Lines a store and week sell off offer.
    mailer, display
        How many times as much they sell in the mailer, and on display.
    mailer_share
        Share of the stores' weeks in which it was in the mailer.
    """

    rate: F32
    mailer: F32
    display: F32
    mailer_share: F32

    def widened(self, new: Newcomers) -> Self:
        """Room for further items, which have what their subcategory says."""
        n = new.n_before
        groups = len(self.rate) - n
        rows = np.concatenate([np.arange(n), n + new.subcategory % groups, np.arange(n, n + groups)])
        return type(self)(*(array[rows] for array in vars_of(self).values()))

    def save(self, path: Path) -> None:
        save_arrays(path, vars_of(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(**load_arrays(path))


def fit(histories: Histories, promotions: Promotions, subcategory: I32, n_items: int, *, as_of: int) -> Uplift:
    """Count lines and store-weeks on and off offer, from the first offer in the span on.

    Parameters
    ----------
    histories
        All purchases; what is not before `as_of` is left out here.
    promotions
        All offers; what starts at `as_of` or later is left out here.
    subcategory
        (n_items,) int32 codes, -1 where unknown.
    """
    past = promotions.overlapping(as_of - SPAN, as_of)
    subcategory = np.append(subcategory, np.append(np.arange(int(subcategory.max(initial=NO_ROW)) + 1, dtype=np.int32), NO_ROW))
    n = len(subcategory)
    if past.empty:
        unknown = np.full(n, np.nan, np.float32)
        return Uplift(unknown, unknown, unknown, unknown)
    start = max(as_of - SPAN, int(past.start.min()))
    stores = max(len(np.unique(past.store[past.store >= 0])), 1)
    weeks = (np.minimum(past.end, as_of) - np.maximum(past.start, start)) / WEEK * np.where(past.store >= 0, 1, stores)
    # Lines in all, and those bought while an offer held, while one in the mailer did, and one on display.
    sold, lines, mailed, displayed = (np.zeros(n, np.int64) for _ in range(4))
    for _, block in histories.blocks():
        bought = block.between(start, as_of)
        offer = past.covering(bought.store, bought.item, bought.time)
        sold += np.bincount(bought.item, minlength=n)
        for total, mask in ((lines, offer >= 0), (mailed, past.mailer[offer] > 0), (displayed, past.display[offer] > 0)):
            total += np.bincount(bought.item[(offer >= 0) & mask], minlength=n)

    def held(mask: Bool) -> F64:
        """(n,) float64 store-weeks that such offers held for."""
        return sums(past.item[mask], weeks[mask], n)

    offered = held(np.ones(len(past.item), bool))
    everywhere = stores * (as_of - start) / WEEK
    # An item that never sold is taken to sell one line a week in all stores together.
    rate = (sold - lines + 1) / (np.maximum(everywhere - offered, 1) + stores)
    in_mailer, on_display = held(past.mailer > 0), held(past.display > 0)
    return Uplift(
        rate.astype(np.float32),
        _lift(mailed.astype(np.float64), in_mailer, rate, subcategory),
        _lift(displayed.astype(np.float64), on_display, rate, subcategory),
        (in_mailer / everywhere).astype(np.float32),
    )


def features(lists: Ragged, uplift: Uplift, offers: Mapping[str, F32]) -> dict[str, F32]:
    """Lines that a store will sell of it this week, what the offer adds, and how it does on offer at all; absent without offers.

    Parameters
    ----------
    offers
        `item.on_offer` of the same lists.
    """
    if not offers:
        return {}
    mailer, display = uplift.mailer[lists.item], uplift.display[lists.item]
    one = np.float32(1)
    lift = np.where(offers["offer_mailer"] > 0, mailer, one) * np.where(offers["offer_display"] > 0, display, one)
    return {
        "offer_sales": uplift.rate[lists.item] * lift,
        "offer_lift": lift,
        "offer_mailer_lift": mailer,
        "offer_display_lift": display,
        "offer_mailer_share": uplift.mailer_share[lists.item],
    }


def _lift(lines: F64, held: F64, rate: F64, group: I32) -> F32:
    """(n,) float32 lines over what as many store-weeks off offer would have sold."""
    expected = rate * held
    width = int(group.max(initial=NO_ROW)) + 2
    of = group % width
    # Only what was held is summed: how NumPy rounds a sum depends on how many zeros are in it, which each unsold item would add.
    overall = lines.sum() / max(expected[held > 0].sum(), 1e-9) if lines.sum() > 0 else 1.0
    of_group = (sums(of, lines, width) + _GROUP_PRIOR * overall) / (sums(of, expected, width) + _GROUP_PRIOR)
    lift: F32 = ((lines + _ITEM_PRIOR * of_group[of]) / (expected + _ITEM_PRIOR)).astype(np.float32)
    return lift
