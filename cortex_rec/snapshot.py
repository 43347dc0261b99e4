"""What the shop knows at one moment: people, item statistics, running offers and coupons, retrievers. A release serves the latest one."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, I32, load_arrays, save_arrays
from cortex_rec.catalogue import Promotions
from cortex_rec.config import Config
from cortex_rec.coupons import Coupons
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import Encoded
from cortex_rec.errors import EmptyTrainingSetError
from cortex_rec.features import statistics as item_statistics
from cortex_rec.features import uplift as offer_uplift
from cortex_rec.features.statistics import Statistics
from cortex_rec.features.uplift import Uplift
from cortex_rec.histories import Past
from cortex_rec.newcomers import Newcomers
from cortex_rec.people import People
from cortex_rec.retrieval import union as retrieval
from cortex_rec.retrieval.graph import Graph
from cortex_rec.retrieval.protocol import Evidence
from cortex_rec.retrieval.union import Union
from cortex_rec.retrieval.vector import Vector
from cortex_rec.splits import day_of


@dataclass(frozen=True)
class Snapshot:
    """Fitted on purchases before `as_of` alone (seconds since 1970); offers and coupons are those announced for that moment."""

    as_of: int
    statistics: Statistics
    promotions: Promotions
    uplift: Uplift
    coupons: Coupons
    people: People
    union: Union

    @property
    def content(self) -> F32:
        """(n_items, d) float32 unit vectors of what the items say and show."""
        vector = self.union.retrievers["vector"]
        assert isinstance(vector, Vector)
        return vector.items

    @cached_property
    def item_vectors(self) -> F32:
        """(n_items, d) float32: each item's vector of the graph, then that of what it says and shows."""
        graph = self.union.retrievers["graph"]
        assert isinstance(graph, Graph)
        return np.concatenate([graph.items, self.content], axis=1)

    def widened(self, new: Newcomers) -> Self:
        """Room for items that nobody has bought yet; they can be retrieved by what they say and show at once."""
        return replace(
            self,
            statistics=self.statistics.widened(new),
            uplift=self.uplift.widened(new),
            coupons=self.coupons.widened(new.n_before, len(new)),
            union=self.union.widened(new),
        )

    def restarted(self, users: I32, items: I32, content: F32) -> Self:
        """What `fit` can start from where the id maps are others: see `Graph.restarted`."""
        graph = self.union.retrievers["graph"]
        assert isinstance(graph, Graph)
        retrievers = {**self.union.retrievers, "graph": graph.restarted(users, items, content)}
        return replace(self, union=replace(self.union, retrievers=retrievers))

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        save_arrays(folder / "snapshot.safetensors", {"as_of": np.array([self.as_of])})
        self.statistics.save(folder / "statistics.safetensors")
        self.promotions.save(folder / "promotions.safetensors")
        self.uplift.save(folder / "uplift.safetensors")
        self.coupons.save(folder / "coupons.safetensors")
        self.people.save(folder / "people.safetensors")
        (folder / "retrieval").mkdir()
        self.union.save(folder / "retrieval")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(
            int(load_arrays(folder / "snapshot.safetensors")["as_of"][0]),
            Statistics.load(folder / "statistics.safetensors"),
            Promotions.load(folder / "promotions.safetensors"),
            Uplift.load(folder / "uplift.safetensors"),
            Coupons.load(folder / "coupons.safetensors"),
            People.load(folder / "people.safetensors"),
            Union.load(folder / "retrieval"),
        )


def fit(encoded: Encoded, content: Placed, config: Config, *, as_of: int, start: Snapshot | None = None) -> Snapshot:
    """Fit everything that candidates and features rest on, as of a moment.

    Parameters
    ----------
    encoded
        The whole dataset; what is not before `as_of` is left out here.
    content
        The places of all items, by what they say and show.
    start
        The snapshot of an earlier moment, from which the graph goes on.

    Raises
    ------
    EmptyTrainingSetError
        If nothing was bought before `as_of`.
    """
    if int(encoded.histories.time.min(initial=as_of)) >= as_of:
        raise EmptyTrainingSetError(
            f"interactions: nothing was bought before {day_of(as_of)}. Ask for fewer training windows or a later `windows.end`."
        )
    subcategory, n_items = encoded.catalogue.codes["subcategory"], len(encoded.items)
    statistics = item_statistics.fit(encoded.histories, subcategory, n_items, len(encoded.stores), as_of=as_of)
    uplift = offer_uplift.fit(encoded.histories, encoded.promotions, subcategory, n_items, as_of=as_of)
    promotions = encoded.promotions.active(as_of)
    evidence = Evidence(Past(encoded.histories, as_of), statistics, encoded.catalogue, promotions, content, as_of, config.seed)
    fitted = retrieval.fit(evidence, config.retrieval, start=None if start is None else start.union)
    return Snapshot(as_of, statistics, promotions, uplift, encoded.coupons.active(as_of, n_items), encoded.people, fitted)
