"""The request path, whole: ask -> find (retrieve, filter) -> features -> rank -> arrange by rules -> explain.

Evaluation, the service, the command line and the notebook of a reader all call this page.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl

from cortex_rec import __version__
from cortex_rec.answered import Answered, Asked, Ranked
from cortex_rec.arrays import F32, I32, I64, NO_ROW, Ragged
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import Encoded
from cortex_rec.errors import ArtifactError, DataError, EventsUnavailable, UnknownItem
from cortex_rec.events.overlay import Live
from cortex_rec.events.protocol import EventStore, Line
from cortex_rec.explanations import NOTHING, reasons
from cortex_rec.features.assemble import Matrix, assemble
from cortex_rec.finding import find
from cortex_rec.histories import from_baskets
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries, usual_store
from cortex_rec.ranking.rankers import Calibrated
from cortex_rec.requests import Recommendation, Request, Slate
from cortex_rec.reranking.arranging import arranged_for
from cortex_rec.retrieval.union import Candidates
from cortex_rec.snapshot import Snapshot
from cortex_rec.traces import trace
from cortex_rec.watch import NEVER_LATE, Watch

#: Parts of `Slate.degraded`: when explaining would have come too late, and when the store of events fails.
WITHOUT_REASONS: Final = "reasons: were left out, the time was up"
WITHOUT_EVENTS: Final = "events: their store does not answer, so what happened since the release does not count"
log = logging.getLogger(__name__)


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
    def load(cls, release: Path, *, mapped: bool = False) -> Self:
        """Read the folder of a release (`cortex_rec.releases.store.open_release` finds and checks it).

        Parameters
        ----------
        mapped
            Leave purchases in their file until they are looked at: for a task that ends soon, on a folder that nobody writes to. A
            service must not, since a file that is cut short would end it.

        Raises
        ------
        ArtifactError
            If a file is missing or damaged, or written by a version of this library that kept other arrays.
        """
        try:
            config = json.loads((release / "config.json").read_text(encoding="utf-8"))
            return cls(
                Encoded.load(release / "encoded", mapped=mapped),
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

    def recommend(self, requests: Sequence[Request], watch: Watch = NEVER_LATE) -> list[Slate]:
        """Answer requests; each answer is the same in a batch as alone.

        Parameters
        ----------
        watch
            Keeps the time, for who sets a deadline or wants to know what took how long. What is found in time is ranked and arranged
            in any case; items come without reasons when it is late by then.

        Raises
        ------
        UnknownItem
            If a request names an item that the catalogue does not have.
        InvalidRequest
            If it names a group or a value that the catalogue does not have.
        """
        answered = self.answer(requests, watch)
        late = watch.late()
        slates = [self._slate(i, answered, late=late) for i in range(len(requests))]
        watch.done("explain")
        return [
            replace(slate, trace=trace(i, answered, self, watch.milliseconds)) if request.trace else slate
            for i, (slate, request) in enumerate(zip(slates, requests, strict=True))
        ]

    def answer(self, requests: Sequence[Request], watch: Watch = NEVER_LATE) -> Answered:
        """Everything that an answer rests on, stage by stage; `recommend` puts it into words."""
        asked = self.ask(requests)
        watch.done("ask")
        found = find(asked, self.snapshot, self.data, watch)
        watch.done("retrieve")
        matrix = assemble(asked.queries, found.candidates, self.snapshot, self.data.catalogue)
        watch.done("features")
        ranked = self.order(asked.queries, found.candidates, matrix)
        watch.done("rank")
        arranged = tuple(arranged_for(asked, i, ranked, self) for i in range(len(requests)))
        watch.done("rules")
        return Answered(asked, found, matrix, ranked, arranged)

    def rank(self, queries: Queries) -> Ranked:
        """Retrieve, compute features, score and order, without filters and rules: what evaluation judges."""
        candidates = self.snapshot.union.retrieve(queries)
        return self.order(queries, candidates, assemble(queries, candidates, self.snapshot, self.data.catalogue))

    def order(self, queries: Queries, candidates: Candidates, matrix: Matrix) -> Ranked:
        """Score candidates by their features and put the best first; who has no history at all gets the popular items in their order."""
        scores = self.ranker.score(matrix)
        probabilities = self.ranker.probability(scores)
        stranger = queries.strangers
        if stranger.any():
            theirs = stranger[candidates.lists.owner]
            popularity = np.nan_to_num(candidates.scores[:, self.snapshot.union.names.index("popular")])
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
        return Asked(tuple(requests), queries, baskets, clicked, live.hidden, degraded)

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
        # All purchases are looked at for it, so it is asked for only where something happened since.
        known_until = self._known_until if any(by_request) else 0
        live = Live.of(by_request, self.data.items, known_until=known_until, as_of=self.snapshot.as_of)
        return live, [(WITHOUT_EVENTS,) if failed and request.user is not None else () for request in requests]

    @cached_property
    def _known_until(self) -> int:
        """The time of the last purchase that the release knows."""
        time = self.data.histories.time
        return int(np.max(time, where=time < self.snapshot.as_of, initial=0))

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

    def _slate(self, i: int, answered: Answered, *, late: bool) -> Slate:
        asked, ranked, shown = answered.asked, answered.ranked, answered.shown(i)
        request, items = asked.requests[i], ranked.lists.item[shown]
        explained = request.explain and not late
        why = self.reasons(i, answered) if explained else [()] * len(items)
        titles = [self.data.catalogue.titles[item] for item in items]
        chances = [None if np.isnan(chance) else float(chance) for chance in ranked.probabilities[shown]]
        found_by = [tuple(compress(self.snapshot.union.names, flags)) for flags in ranked.found_by[shown].tolist()]
        columns = (self.data.items.external(items), titles, map(float, ranked.scores[shown]), chances, why, found_by)
        chosen = tuple(Recommendation(*entry) for entry in zip(*columns, strict=True))
        degraded = answered.degraded(i) + ((WITHOUT_REASONS,) if request.explain and late else ())
        return Slate(chosen, self.fallback(asked, i), degraded, int(answered.found.widened[i]))

    def reasons(self, i: int, answered: Answered) -> Sequence[tuple[str, ...]]:
        """Why each item of answer `i` is shown."""
        shown, asked = answered.shown(i), answered.asked
        rows, items = answered.ranked.rows[shown], answered.ranked.lists.item[shown]
        near = np.isfinite(answered.found.candidates.ranks[rows, self.snapshot.union.names.index("neighbours")])
        # Who has no history is not ranked by the ranker, so what its features add is not why.
        added = None if answered.stranger(i) else self.ranker.contributions_by_kind(answered.matrix.rows(rows))
        return reasons(i, items, asked.queries, self.snapshot, self.data, asked.baskets[i], near, added)

    def fallback(self, asked: Asked, i: int) -> str | None:
        """Why the answer to request `i` is not a personal one, None when it is."""
        request = asked.requests[i]
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
    found_by = np.isfinite(candidates.ranks[order])
    return Ranked(Ragged(lists.pointer, lists.item[order]), scores[order], probabilities[order], found_by, order)
