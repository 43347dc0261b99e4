"""Every reason is worked out again from the raw tables: none may say what they contradict."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cortex_rec import explanations
from cortex_rec.arrays import DAY
from cortex_rec.explanations import SALES, reasons
from cortex_rec.features.kinds import KINDS
from cortex_rec.queries import ask
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import open_release
from cortex_rec.requests import Request
from cortex_rec.testing.release import small_release
from cortex_rec.testing.shop import OPENING, small_shop

SHOP = small_shop(0)
AS_OF: datetime = OPENING + timedelta(weeks=12)
BOUGHT = SHOP.interactions.filter(pl.col("timestamp") < AS_OF).join(SHOP.items.select("item_id", "title", "subcategory"), on="item_id")
TITLES = dict(SHOP.items.select("title", "item_id").rows())
USERS = sorted(BOUGHT["user_id"].unique())


#: The release, for facts that only its vectors tell.
RELEASED: list[Recommender] = []


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    root: Path = tmp_path_factory.mktemp("releases")
    RELEASED[:] = [Recommender.load(open_release(root, small_release(root, seed=0).id).path)]
    return RELEASED[0]


def ago_is(said: str, span: timedelta) -> bool:
    days = round(span / timedelta(days=1))
    return said == ("in the past day" if days < 1 else "a day ago" if days == 1 else f"{days} days ago")


def every_is(said: str, span: timedelta) -> bool:
    days = round(span / timedelta(days=1))
    return said == ("more than once a day" if days < 1 else "about every day" if days == 1 else f"about every {days} days")


def own(request: Request, item: str) -> pl.DataFrame:
    return BOUGHT.filter((pl.col("user_id") == (request.user or "")) & (pl.col("item_id") == item)).sort("timestamp")


def bought_once(request: Request, item: str, ago: str) -> bool:
    lines = own(request, item)
    return lines["basket_id"].n_unique() == 1 and ago_is(ago, AS_OF - lines["timestamp"][0])


def bought_often(request: Request, item: str, times: str, every: str, ago: str) -> bool:
    moments = own(request, item).unique("basket_id").sort("timestamp")["timestamp"]
    gap = (moments[-1] - moments[0]) / (len(moments) - 1)
    return int(times) == len(moments) and every_is(every, gap) and ago_is(ago, AS_OF - moments[-1])


def on_offer(request: Request, item: str, where: str) -> bool:
    store = request.store or BOUGHT.filter(pl.col("user_id") == (request.user or ""))["store_id"][0]
    running = SHOP.promotions.filter(
        (pl.col("item_id") == item) & (pl.col("store_id") == store) & (pl.col("start") <= AS_OF) & (pl.col("end") > AS_OF)
    )
    places = {"on display": (running["display"] != "0").any(), "in the mailer": (running["mailer"] != "0").any()}
    return where == " and ".join(name for name, there in places.items() if there)


def lay_together(item: str, title: str) -> bool:
    baskets = BOUGHT.filter(pl.col("item_id") == item)["basket_id"]
    return bool(BOUGHT.filter(pl.col("basket_id").is_in(baskets.implode()))["title"].is_in([title]).any())


def goes_with_bought(request: Request, item: str, title: str) -> bool:
    return len(own(request, TITLES[title])) > 0 and lay_together(item, title)


def goes_with_basket(request: Request, item: str, title: str) -> bool:
    return TITLES[title] in request.items and lay_together(item, title)


#: What the sentences of each kind begin with, the first that fits.
KIND_OF = {
    "how it sells": r"sold |in the catalogue",
    "what you buy": r"you bought it ",
    "your shelves": r"you bought ",
    "what goes with it": r"goes with ",
    "what is like it": r"like |another ",
    "shoppers like you": r"shoppers ",
    "its price": r"\d+ % off",
    "offers": r"(on display|in the mailer)",
}


def alike(item: str, other: str) -> bool:
    vectors, ids = RELEASED[0].snapshot.content, RELEASED[0].data.items
    first, second = (vectors[ids.rows([name])[0]] for name in (item, other))
    return bool(first @ second >= 0.8 - 1e-6)


def like_bought(request: Request, item: str, title: str) -> bool:
    return own(request, item).is_empty() and len(own(request, TITLES[title])) > 0 and alike(item, TITLES[title])


def like_basket(request: Request, item: str, title: str) -> bool:
    return own(request, item).is_empty() and TITLES[title] in request.items and alike(item, TITLES[title])


def bought_by_others(request: Request, item: str) -> bool:
    mine = BOUGHT.filter(pl.col("user_id") == (request.user or ""))["item_id"].unique()
    lately = BOUGHT.filter((pl.col("item_id") == item) & (pl.col("user_id") != (request.user or "")))
    tastes = BOUGHT.filter(pl.col("item_id").is_in([*mine, *request.items]))["user_id"].unique()
    return bool(lately["user_id"].is_in(tastes.implode()).any())


def cheaper(request: Request, item: str, percent: str) -> bool:
    lines = BOUGHT.filter((pl.col("item_id") == item) & (pl.col("timestamp") >= AS_OF - timedelta(days=7)))
    return int(percent) == round(100 * float(np.float32(lines["discount"].mean())))


def bought_of_group(request: Request, item: str, name: str, times: str) -> bool:
    group = SHOP.items.filter(pl.col("item_id") == item)["subcategory"][0]
    lines = BOUGHT.filter((pl.col("user_id") == (request.user or "")) & (pl.col("subcategory") == group))
    return name == group.capitalize() and int(times) == lines["basket_id"].n_unique() and own(request, item).is_empty()


def sold(request: Request, item: str, times: str) -> bool:
    lines = BOUGHT.filter((pl.col("item_id") == item) & (pl.col("timestamp") >= AS_OF - timedelta(days=28)))
    return times == ("once" if lines.height == 1 else f"{lines.height:,} times")


def not_sold(request: Request, item: str) -> bool:
    return sold(request, item, "0 times")


TRUE_WHEN: dict[str, Callable[..., bool]] = {
    r"you bought it once, (.+)": bought_once,
    r"you bought it (\d+) times, (.+), last (.+)": bought_often,
    r"(.+) in your store this week": on_offer,
    r"goes with (.+), which you bought": goes_with_bought,
    r"goes with (.+), which is in your basket": goes_with_basket,
    r"(?:like|another) (.+), which you bought": like_bought,
    r"(?:like|another) (.+), which is in your basket": like_basket,
    r"shoppers like you bought it lately": bought_by_others,
    r"(\d+) % off in the past week": cheaper,
    r"you bought (.+) (\d+) times": bought_of_group,
    r"sold (once|[\d,]+ times) in the last four weeks": sold,
    r"in the catalogue, not sold in the last four weeks": not_sold,
}


def facts(recommender: Recommender, requests: list[Request], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Request, str, str]]:
    """All that can be said of each candidate of each request, not the best three alone."""
    monkeypatch.setattr(explanations, "MOST", len(TRUE_WHEN))
    answered = recommender.answer(requests)
    queries, candidates = answered.asked.queries, answered.found.candidates
    near = np.isfinite(candidates.ranks[:, recommender.snapshot.union.names.index("neighbours")])
    for i, request in enumerate(requests):
        own, items = candidates.lists.owner == i, candidates.lists[i]
        told = reasons(i, items, queries, recommender.snapshot, recommender.data, answered.asked.baskets[i], near[own])
        for item, sentences in zip(recommender.data.items.external(items), told, strict=True):
            yield from ((request, item, sentence) for sentence in sentences)


def kinds_of_true_reasons(told: Iterable[tuple[Request, str, str]]) -> set[str]:
    """Check every sentence, and tell which kinds were met."""
    met = set()
    for request, item, reason in told:
        pattern = next(pattern for pattern in TRUE_WHEN if re.fullmatch(pattern, reason))
        groups = re.fullmatch(pattern, reason).groups()  # type: ignore[union-attr]
        assert TRUE_WHEN[pattern](request, item, *groups), f"{request}: {item}: {reason}"
        met.add(pattern)
    return met


def test_everything_that_can_be_said_to_a_known_user_is_true(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    met = kinds_of_true_reasons(facts(recommender, [Request(user=user, n=80) for user in USERS[::4]], monkeypatch))
    assert met == {pattern for pattern in TRUE_WHEN if "which is in your basket" not in pattern}


def test_an_offer_is_one_of_the_store_that_was_named(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [Request(user=user, store="s2", n=60) for user in USERS[::8]]
    assert r"(.+) in your store this week" in kinds_of_true_reasons(facts(recommender, requests, monkeypatch))


def test_what_lies_in_the_basket_is_not_said_to_be_bought(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [Request(items=("i000", "i011"), store="s1", n=60), Request(user="h003", items=("i005", "i007", "i029"), n=60)]
    met = kinds_of_true_reasons(facts(recommender, requests, monkeypatch))
    assert {pattern for pattern in TRUE_WHEN if "which is in your basket" in pattern} <= met


def test_an_answer_says_what_raised_the_score_of_an_item_first_and_nothing_that_lowered_it(recommender: Recommender) -> None:
    requests = [Request(user=user, n=10) for user in USERS[::4]]
    answered = recommender.answer(requests)
    told = 0
    for i, slate in enumerate(recommender.recommend(requests)):
        added = recommender.ranker.contributions_by_kind(answered.matrix.rows(answered.ranked.rows[answered.shown(i)]))
        assert added is not None
        for place, item in enumerate(slate.items):
            kinds = [next(kind for kind, begins in KIND_OF.items() if re.match(begins, reason)) for reason in item.reasons]
            raised = [added[place, KINDS.index(kind)] for kind in kinds if kind != SALES]
            assert all(more > 0 for more in raised)
            assert raised == sorted(raised, reverse=True)
            assert SALES not in kinds[:-1], "how it sells is said last"
            told += len(raised) > 1
    assert told > 20


def test_someone_of_whom_nothing_is_known_hears_how_it_sells(recommender: Recommender) -> None:
    (slate,) = recommender.recommend([Request(n=5)])
    assert all(reasons[0].startswith("sold ") for reasons in (item.reasons for item in slate.items))


@pytest.mark.parametrize(
    ("days", "ago", "every"),
    [
        (0.3, "in the past day", "more than once a day"),
        (1.2, "a day ago", "about every day"),
        (6.6, "7 days ago", "about every 7 days"),
    ],
)
def test_a_span_reads_as_a_person_says_it(recommender: Recommender, days: float, ago: str, every: str) -> None:
    queries = ask(recommender.data.histories, np.array([3], np.int32), recommender.snapshot.as_of, len(recommender.data.items))
    pairs = queries.items
    once, often = np.flatnonzero(pairs.baskets == 1)[0], np.flatnonzero(pairs.baskets == 2)[0]
    last, first = np.copy(pairs.last), np.copy(pairs.first)
    last[:] = queries.as_of - round(days * DAY)
    first[:] = last - round(days * DAY)
    queries.__dict__["items"] = replace(pairs, last=last, first=first)  # where `cached_property` keeps it
    why = reasons(0, pairs.member[[once, often]], queries, recommender.snapshot, recommender.data)
    assert why[0][0] == f"you bought it once, {ago}"
    assert why[1][0] == f"you bought it 2 times, {every}, last {ago}"


@pytest.mark.parametrize(("lines", "said"), [(1, "sold once"), (2, "sold 2 times"), (1_234, "sold 1,234 times")])
def test_how_often_it_sold_reads_as_a_person_says_it(recommender: Recommender, lines: int, said: str) -> None:
    statistics = recommender.snapshot.statistics
    counted = replace(statistics, lines=np.full_like(statistics.lines, lines))
    changed = replace(recommender, snapshot=replace(recommender.snapshot, statistics=counted))
    (slate,) = changed.recommend([Request(n=1)])
    assert slate.items[0].reasons[0] == f"{said} in the last four weeks"
