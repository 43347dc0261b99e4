"""Find an item by its id or by words of its title: for a person who looks one up, not for recommending."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cortex_rec.arrays import I64, NO_ROW
from cortex_rec.encoding import Encoded
from cortex_rec.ids import IdMap


@dataclass(frozen=True)
class Titles:
    """The titles of a catalogue, ready to be searched; a search of 92,000 takes some 6 ms.

    Parameters
    ----------
    items
        External ids by row.
    lowered
        The titles by row, in lower case.
    sales
        (n_items,) what puts one item before another that matches as well, for example the lines sold lately.
    """

    items: IdMap
    lowered: list[str]
    sales: I64

    @classmethod
    def of(cls, data: Encoded, sales: I64) -> Self:
        return cls(data.items, [title.lower() for title in data.catalogue.titles], sales)

    def search(self, text: str, n: int) -> tuple[list[int], int]:
        """Items whose titles hold all words of a text, wherever in the title; the item with exactly this id stands first.

        Parameters
        ----------
        text
            Words or beginnings of words, or an id; upper and lower case are the same in words. Nothing matches all items.
        n
            How many rows to give at most.

        Returns
        -------
        rows, total
            Of those that match, the best sold first, then by row; and how many match in all.
        """
        words = text.lower().split()
        matching = np.array([row for row, title in enumerate(self.lowered) if all(word in title for word in words)], np.int64)
        own = self.items.row(text.strip())
        others = matching[matching != own]
        best = others[np.argsort(-self.sales[others], kind="stable")[:n]].tolist()
        known = [] if own == NO_ROW else [own]
        return (known + best)[:n], len(known) + len(others)
