"""The request path, whole: ask -> retrieve -> features -> rank -> explore -> explain.

Evaluation, the service, the command line and the notebook of a reader all call this page.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl

from cortex_rec import __version__
from cortex_rec.arrays import F32, I32, I64, NO_ROW, Bool, Ragged
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import Encoded
from cortex_rec.errors import ArtifactError, DataError, EventsUnavailable, UnknownItem
from cortex_rec.events.overlay import Live
from cortex_rec.events.protocol import EventStore, Line
from cortex_rec.explanations import NOTHING, reasons
from cortex_rec.features.assemble import assemble
from cortex_rec.histories import from_baskets
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries, usual_store
from cortex_rec.ranking.rankers import Calibrated
from cortex_rec.requests import Recommendation, Request, Slate
from cortex_rec.reranking.shares import explore
from cortex_rec.retrieval.union import Candidates
from cortex_rec.snapshot import Snapshot

#: Part of `Slate.degraded` when the store of events fails.
WITHOUT_EVENTS: Final = "events: their store does not answer, so what happened since the release does not count"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ranked:
    """All candidates of each query, best first; the others are aligned with `lists.item`.

    `probabilities` of a purchase are NaN for who has no history; `found_by` is (n, n_retrievers) bool, in the order of the
    union's names.
    """

    lists: Ragged
    scores: F32
    probabilities: F32
    found_by: Bool

    def explored(self, unsold: Bool, share: float) -> Self:
        """With the best unsold items, `unsold` being (n_items,) bool, moved up to their share of the places."""
        if share == 0:
            return self
        order = explore(self.lists.pointer, unsold[self.lists.item], share)
        lists = Ragged(self.lists.pointer, self.lists.item[order])
        return type(self)(lists, self.scores[order], self.probabilities[order], self.found_by[order])


@dataclass(frozen=True)
class Asked:
    """Requests as the release understands them; entry `i` of each is of request `i`.

    Parameters
    ----------
    queries
        Their histories, with what was bought since the release, and `baskets` and `clicked` as one last basket that is not bought yet.
    baskets
        Distinct item rows, ascending: `Request.items` and what was carted in the user's last session; not recommended.
    clicked
        Distinct item rows, ascending, that were only looked at in the last session; they may be recommended.
    hidden
        Distinct item rows, ascending, that the user does not want to see; not recommended.
    degraded
        What could not be learned.
    """

    queries: Queries
    baskets: Ragged
    clicked: Ragged
    hidden: Ragged
    degraded: list[tuple[str, ...]]


@dataclass(frozen=True)
class Recommender:
    """A release in memory.

    Parameters
    ----------
    data, snapshot, ranker
        What the release is made of.
    exploration
        Share of an answer's places that items without any purchase get at least.
    events
        What users did since the release was made; an answer goes without where it fails, and says so.
    """

    data: Encoded
    snapshot: Snapshot
    ranker: Calibrated
    exploration: float = 0.0
    events: EventStore | None = None

    @classmethod
    def load(cls, release: Path) -> Self:
        """Read the folder of a release (`cortex_rec.releases.store.open_release` finds and checks it).

        Raises
        ------
        ArtifactError
            If a file is missing or damaged, or written by a version of this library that kept other arrays.
        """
        try:
            config = json.loads((release / "config.json").read_text(encoding="utf-8"))
            return cls(
                Encoded.load(release / "encoded"),
                Snapshot.load(release / "snapshot"),
                Calibrated.load(release / "ranker"),
                config["exploration"]["share"],
            )
        except (TypeError, KeyError) as error:
            raise ArtifactError(
                f"{release}: was written by another version of CORTEX-Rec than this one, {__version__} ({error}). "
                "Release anew with `cortex-rec train`, or use the code of the `git_commit` in its manifest.json."
            ) from error

    def with_items(self, items: pl.DataFrame, content: Placed) -> Self:
        """The same recommender with further items, which can be recommended at once; this one is left as it is.

        Parameters
        ----------
        items
            One row an item, text columns: `columns.ITEM` with new ids, and what there is of the catalogue's others. A value of a group
            or attribute that no item had before counts as unknown.
        content
            Their places by what they say and show (`Fusion.place`), by the network that placed the other items.

        Raises
        ------
        DataError
            If an id is missing, twice there or known already, a column is unknown, or the places are not as many, or their vectors not
            as long as the other items'.
        """
        data, expected = self.data.with_items(items), (items.height, self.snapshot.content.shape[1])
        if content.vectors.shape != expected:
            raise DataError(
                f"items: vectors of shape {content.vectors.shape}, expected {expected}. Embed them as the release's items were."
            )
        return replace(self, data=data, snapshot=self.snapshot.widened(Newcomers(data.catalogue, content)))

    def compiled(self, cache: Path) -> Self:
        """The same recommender, the same bits, with whatever of its ranker can be made quicker on this machine.

        Parameters
        ----------
        cache
            Folder for machine code, made when absent; seconds the first time.
        """
        return replace(self, ranker=self.ranker.compiled(cache))

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        """Answer requests; each answer is the same in a batch as alone.

        Raises
        ------
        UnknownItem
            If a request names an item in its basket that the catalogue does not have.
        """
        asked = self.ask(requests)
        ranked = self.rank(asked.queries)
        return [self._slate(i, request, asked, ranked) for i, request in enumerate(requests)]

    def rank(self, queries: Queries) -> Ranked:
        """Retrieve, compute features, score and order; who has no history at all gets the popular items in their order."""
        candidates = self.snapshot.union.retrieve(queries)
        matrix = assemble(queries, candidates, self.snapshot, self.data.catalogue)
        scores = self.ranker.score(matrix)
        probabilities = self.ranker.probability(scores)
        stranger = np.diff(queries.histories.pointer) == 0
        if stranger.any():
            theirs = stranger[candidates.lists.owner]
            popularity = candidates.scores[:, self.snapshot.union.names.index("popular")]
            scores, probabilities = np.where(theirs, popularity, scores), np.where(theirs, np.float32(np.nan), probabilities)
        return _in_order(candidates, scores, probabilities).explored(self.snapshot.statistics.unsold, self.exploration)

    def ask(self, requests: Sequence[Request]) -> Asked:
        """Look requests up: each one's history up to the snapshot's moment, what happened since, and the basket as the latest purchase.

        Raises
        ------
        UnknownItem
            If a request names an item in its basket that the catalogue does not have.
        """
        as_of = self.snapshot.as_of
        live, degraded = self._live(requests)
        given = [self._rows_of(request.items) for request in requests]
        baskets = Ragged.of([np.union1d(items, live.carted[i]) for i, items in enumerate(given)])
        clicked = Ragged.of([np.setdiff1d(live.clicked[i], items) for i, items in enumerate(given)])
        latest = Ragged.of([np.union1d(baskets[i], clicked[i]) for i in range(len(requests))])
        users = self.data.users.rows([request.user or "" for request in requests])
        known = self.data.histories.take(users).before(as_of)
        histories = known.followed_by(live.bought).followed_by(from_baskets(latest, as_of - 1))
        usual = usual_store(histories, as_of)
        named = self.data.stores.rows([request.store or "" for request in requests])
        queries = Queries(histories, users, as_of, np.where(named == NO_ROW, usual, named), len(self.data.items))
        return Asked(queries, baskets, clicked, live.hidden, degraded)

    def _live(self, requests: Sequence[Request]) -> tuple[Live, list[tuple[str, ...]]]:
        """What the users of requests did since the release, and for each request what could not be learned of it."""
        users = [request.user for request in requests if request.user is not None]
        found: list[list[Line]] = [[] for _ in users]
        failed = False
        if self.events is not None and users:
            try:
                found = self.events.of(users)
            except EventsUnavailable as error:
                failed = True
                log.warning("Answering without live events: %s", error)
        lines = iter(found)
        by_request = [[] if request.user is None else next(lines) for request in requests]
        live = Live.of(by_request, self.data.items, known_until=self._known_until, as_of=self.snapshot.as_of)
        return live, [(WITHOUT_EVENTS,) if failed and request.user is not None else () for request in requests]

    @cached_property
    def _known_until(self) -> int:
        """The time of the last purchase that the release knows."""
        time = self.data.histories.time
        return int(time[time < self.snapshot.as_of].max(initial=0))

    def _rows_of(self, items: Sequence[str]) -> I32:
        if not items:
            return NOTHING
        rows = self.data.items.rows(items)
        if np.any(rows == NO_ROW):
            unknown = items[int(np.argmax(rows == NO_ROW))]
            raise UnknownItem(
                f"item {unknown!r} is not in the catalogue of this release. Leave it out, or add it with `cortex-rec items add`."
            )
        return np.unique(rows).astype(np.int32)

    def _slate(self, i: int, request: Request, asked: Asked, ranked: Ranked) -> Slate:
        own = slice(ranked.lists.pointer[i], ranked.lists.pointer[i + 1])
        unwanted = np.union1d(asked.baskets[i], asked.hidden[i])
        wanted = np.flatnonzero(~np.isin(ranked.lists.item[own], unwanted))[: request.n]
        items, scores, likely = ranked.lists.item[own][wanted], ranked.scores[own][wanted], ranked.probabilities[own][wanted]
        why = reasons(i, items, asked.queries, self.snapshot, self.data, asked.baskets[i])
        external = self.data.items.external(items)
        titles = [self.data.catalogue.titles[item] for item in items]
        chances = [None if np.isnan(chance) else float(chance) for chance in likely]
        chosen = (Recommendation(*entry) for entry in zip(external, titles, map(float, scores), chances, why, strict=True))
        return Slate(tuple(chosen), self._fallback(request, asked, i), asked.degraded[i])

    def _fallback(self, request: Request, asked: Asked, i: int) -> str | None:
        pointer = asked.queries.histories.pointer
        in_hand = len(asked.baskets[i]) + len(asked.clicked[i])
        if pointer[i + 1] - pointer[i] > in_hand:
            return None
        if request.user is None:
            who = "no user given"
        elif asked.queries.users[i] == NO_ROW:
            who = f"user {request.user!r} is unknown to this release"
        else:
            who = f"no purchase of user {request.user!r} is known to this release"
        return f"{who}: answered from the items in the basket" if in_hand else f"{who}: answered with what is popular"


def _in_order(candidates: Candidates, scores: F32, probabilities: F32) -> Ranked:
    """Best first within each list; equal scores in the order of the rows."""
    lists = candidates.lists
    order: I64 = np.lexsort((lists.item, -scores, lists.owner))
    return Ranked(Ragged(lists.pointer, lists.item[order]), scores[order], probabilities[order], np.isfinite(candidates.ranks[order]))
