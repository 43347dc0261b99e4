"""Items that join a shop after it was fitted: what every fitted part is told to make room for them."""

from dataclasses import dataclass

from cortex_rec.arrays import I32
from cortex_rec.catalogue import Catalogue
from cortex_rec.embeddings.placed import Placed


@dataclass(frozen=True)
class Newcomers:
    """They take the rows after all others, and nobody has bought one yet.

    A part that was widened by them is, bit for bit, the one that would have been fitted with them in the catalogue from the start.
    Only LightGCN's training depends on how many items there are; to it they are items without a purchase.

    Parameters
    ----------
    catalogue
        All items, the new ones last.
    content
        (k) places of the new ones, by what they say and show.
    """

    catalogue: Catalogue
    content: Placed

    def __len__(self) -> int:
        return len(self.content)

    @property
    def n_before(self) -> int:
        """How many items there were."""
        return len(self.catalogue) - len(self)

    @property
    def subcategory(self) -> I32:
        """(k,) int32 code of each new item, -1 where unknown."""
        return self.catalogue.codes["subcategory"][self.n_before :]
