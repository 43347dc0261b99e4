"""Coupons that people were sent: which campaign whom, and which items its coupons are for."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import F32, I32, I64, NO_ROW, Bool, find, load_arrays, rekeyed, save_arrays, vars_of
from cortex_rec.ids import IdMap


@dataclass(frozen=True)
class Coupons:
    """Two small tables in place of one with a row a user, campaign and item.

    Parameters
    ----------
    recorded
        (1,) bool; whether the shop keeps campaigns at all, which those that run now do not tell.
    user, campaign, start, end
        One entry a user and a campaign that was sent to it, valid in [start, end): int32 rows of the user id map, ascending,
        int32 numbers of campaigns and int64 seconds.
    item_key, item_coupons
        Ascending int64 `campaign * n_items + item`, and float32 in how many of the campaign's coupons the item is.
    subcategory_key, subcategory_items
        Ascending int64 `campaign * n_items + subcategory`, and float32 how many of its items the campaign has coupons for.
    """

    recorded: Bool
    user: I32
    campaign: I32
    start: I64
    end: I64
    item_key: I64
    item_coupons: F32
    subcategory_key: I64
    subcategory_items: F32

    def active(self, as_of: int, n_items: int) -> Self:
        """The campaigns that are valid at the moment `as_of`."""
        runs = (self.start <= as_of) & (as_of < self.end)
        running = np.unique(self.campaign[runs])
        item = np.isin(self.item_key // n_items, running)
        subcategory = np.isin(self.subcategory_key // n_items, running)
        return replace(
            self,
            user=self.user[runs],
            campaign=self.campaign[runs],
            start=self.start[runs],
            end=self.end[runs],
            item_key=self.item_key[item],
            item_coupons=self.item_coupons[item],
            subcategory_key=self.subcategory_key[subcategory],
            subcategory_items=self.subcategory_items[subcategory],
        )

    def widened(self, n_items: int, added: int) -> Self:
        """The same coupons in a catalogue that had `n_items` items and has `added` more."""
        wider = n_items + added
        item, subcategory = rekeyed(self.item_key, n_items, wider), rekeyed(self.subcategory_key, n_items, wider)
        return replace(self, item_key=item, subcategory_key=subcategory)

    def translated(self, users: I32, items: I32, subcategories: I32, n_items: int) -> Self:
        """The same campaigns by the rows of other id maps and the codes of another catalogue, which has `n_items` items.

        Parameters
        ----------
        users, items, subcategories
            (n,) int32 new row of each user and item, and code of each subcategory; what names one that has none, -1, is left out.
        """
        sent = users[self.user] >= 0
        item_key, item_coupons = _translated(self.item_key, self.item_coupons, items, len(items), n_items)
        group_key, group_items = _translated(self.subcategory_key, self.subcategory_items, subcategories, len(items), n_items)
        return replace(
            self,
            user=users[self.user][sent],
            campaign=self.campaign[sent],
            start=self.start[sent],
            end=self.end[sent],
            item_key=item_key,
            item_coupons=item_coupons,
            subcategory_key=group_key,
            subcategory_items=group_items,
        )

    def save(self, path: Path) -> None:
        save_arrays(path, vars_of(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(**load_arrays(path))

    @classmethod
    def of(cls, campaigns: pl.DataFrame, coupons: pl.DataFrame, users: IdMap, items: IdMap, subcategory: I32) -> Self:
        """Encode `columns.CAMPAIGNS` and `columns.COUPONS`; what names an unknown user or item is left out.

        Parameters
        ----------
        subcategory
            (n_items,) int32 codes, -1 where unknown.
        """
        known = IdMap.of(campaigns[columns.CAMPAIGN])
        user, campaign = users.rows(campaigns[columns.USER]), known.rows(campaigns[columns.CAMPAIGN])
        start, end = (campaigns[name].dt.epoch("s").to_numpy() for name in (columns.START, columns.END))
        order = np.lexsort((end, start, campaign, user))
        order = order[user[order] != NO_ROW]

        of, item = known.rows(coupons[columns.CAMPAIGN]).astype(np.int64), items.rows(coupons[columns.ITEM])
        listed = (of != NO_ROW) & (item != NO_ROW)
        item_key, item_coupons = np.unique(of[listed] * len(items) + item[listed], return_counts=True)
        group = subcategory[item_key % len(items)]
        grouped = group != NO_ROW
        subcategory_key, subcategory_items = np.unique(item_key[grouped] // len(items) * len(items) + group[grouped], return_counts=True)
        return cls(
            np.array([campaigns.height > 0]),
            user[order],
            campaign[order],
            start[order],
            end[order],
            item_key,
            item_coupons.astype(np.float32),
            subcategory_key,
            subcategory_items.astype(np.float32),
        )


def counts(key: I64, count: F32, campaign: I32, member: I32, n_items: int) -> F32:
    """(n,) float32 what a campaign counts for each member (an item or a subcategory), 0 where it has no coupon for it."""
    at = find(key, campaign.astype(np.int64) * n_items + member)
    found: F32 = np.where((at >= 0) & (member >= 0), count[at] if len(count) else np.float32(0), np.float32(0))
    return found


def _translated(key: I64, count: F32, members: I32, n_items: int, new_n_items: int) -> tuple[I64, F32]:
    """Keys `campaign * n_items + member` with each member's new row, ascending, and their counts."""
    member = members[key % n_items]
    known = np.flatnonzero(member >= 0)
    key = key[known] // n_items * new_n_items + member[known]
    order = np.argsort(key)
    return key[order], count[known][order]
