"""Questions for items: each is one call of the library."""

from collections.abc import Callable, Sequence
from time import perf_counter
from uuid import uuid4

from bentos.answered import Answer, Answers, Assigned, Item
from bentos.asked import Batch, PopularIn, RankItems, Recommend, RecommendTo, SimilarTo, Trending
from bentos.current import Loaded
from bentos.desk import Desk
from bentos.showing import Shown, show
from cortex_rec import browsing
from cortex_rec.requests import Filters, Recommendation, Request, Rules, Slate


async def recommend(desk: Desk, asked: Recommend) -> Answer:
    """Items that the user is likely to buy next, with the reasons."""
    (answer,) = await _recommended(desk, [_request(asked)])
    return answer


async def recommend_to(desk: Desk, asked: RecommendTo) -> Answer:
    """The same for a user alone, to be tried in a browser."""
    (answer,) = await _recommended(desk, [Request(asked.user_id, store=asked.store_id, n=asked.n)])
    return answer


async def recommend_batch(desk: Desk, asked: Batch) -> Answers:
    """Several questions at once, all answered from one release, or each from its experiment's arm; each answer is the same as alone."""
    return Answers(answers=await _recommended(desk, [_request(each) for each in asked.requests]))


async def rank(desk: Desk, asked: RankItems) -> Answer:
    """Your candidates in the order in which the user is likely to buy them."""
    request = Request(asked.user_id, asked.basket, asked.store_id, n=len(asked.items))
    return await _computed(desk, lambda loaded: browsing.rank_items(loaded.recommender, request, asked.items))


async def similar(desk: Desk, asked: SimilarTo) -> Answer:
    """What is like an item, by what both say and show and who buys them."""
    return await _computed(desk, lambda loaded: browsing.similar(loaded.recommender, asked.item_id, asked.n))


async def popular(desk: Desk, asked: PopularIn) -> Answer:
    """What is bought most, in a store or everywhere."""
    return await _computed(desk, lambda loaded: browsing.popular(loaded.recommender, asked.n, asked.store_id))


async def trending(desk: Desk, asked: Trending) -> Answer:
    """What is bought more than in the weeks before."""
    return await _computed(desk, lambda loaded: browsing.trending(loaded.recommender, asked.n))


async def _recommended(desk: Desk, requests: Sequence[Request]) -> tuple[Answer, ...]:
    start = perf_counter()
    return tuple(_answer(shown, start) for shown in await show(desk, requests))


async def _computed(desk: Desk, call: Callable[[Loaded], Slate]) -> Answer:
    start, loaded = perf_counter(), desk.current.loaded
    slate: Slate = await desk.kernel.run(lambda: call(loaded))
    if desk.traces is not None:
        desk.traces.released(loaded.release.id)
    return _answer(Shown(slate, loaded.release.id, uuid4().hex), start)


def _request(asked: Recommend) -> Request:
    return Request(
        asked.user_id,
        asked.items,
        asked.store_id,
        asked.n,
        Filters(**asked.filters.model_dump()),
        Rules(**asked.rules.model_dump()),
        asked.explain,
        asked.trace or asked.why_not is not None,
        asked.why_not,
    )


def _answer(shown: Shown, start: float) -> Answer:
    slate = shown.slate
    return Answer(
        items=tuple(map(_item, slate.items)),
        release=shown.release,
        experiment=None if shown.assigned is None else Assigned(name=shown.assigned.experiment, arm=shown.assigned.arm),
        impression_id=shown.impression,
        took_ms=round(1_000 * (perf_counter() - start), 3),
        fallback=slate.fallback,
        degraded=slate.degraded,
        widened=slate.widened,
        trace=slate.trace,
    )


def _item(each: Recommendation) -> Item:
    return Item(item_id=each.item, title=each.title, score=each.score, probability=each.probability, reasons=each.reasons)
