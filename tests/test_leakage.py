"""Whatever happens at or after a moment changes not a bit of what is known, found, computed or scored as of it."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cortex_rec import snapshot
from cortex_rec.config import CompleteJourneySource, Config, Graph, LambdaRank, Ranking, Retrieval
from cortex_rec.dataset import Dataset
from cortex_rec.encoding import encode
from cortex_rec.features.assemble import assemble
from cortex_rec.folders import content_digest, records
from cortex_rec.queries import ask
from cortex_rec.ranking import rankers, training
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Request
from cortex_rec.splits import Window
from cortex_rec.testing.evidence import AS_OF, places
from cortex_rec.testing.shop import OPENING, small_shop

#: The twelfth week is the future, the eleventh is what the ranker learns from.
MOMENT: datetime = OPENING + timedelta(weeks=11)
CONFIG = Config(
    name="leakage",
    threads=1,
    source=CompleteJourneySource(),
    retrieval=Retrieval(graph=Graph(dimensions=8, steps=2, refresh_steps=1, batch_size=64, negatives=16)),
    ranking=Ranking(lambdarank=LambdaRank(trees=5, min_rows_in_leaf=5)),
)
PURCHASES = small_shop().interactions
FUTURE = pl.col("timestamp") >= MOMENT
LATER = PURCHASES.filter(FUTURE)


def everything_known(
    interactions: pl.DataFrame, folder: Path, promotions: pl.DataFrame | None = None, campaigns: pl.DataFrame | None = None
) -> dict[str, str]:
    """Digests of all that is made as of the moment: the ranker's lists of the week before, the ranker, and what it serves."""
    shop = small_shop()
    promotions = shop.promotions if promotions is None else promotions
    campaigns = shop.campaigns if campaigns is None else campaigns
    data = encode(Dataset(interactions, shop.items, shop.users, promotions, campaigns, shop.coupons))
    text = places(len(data.items), seed=7)
    last_week = Window(AS_OF - 7 * 86_400, AS_OF)
    before = snapshot.fit(data, text, CONFIG, as_of=last_week.start)
    lists = training.build(before, data, last_week, CONFIG)
    ranker = rankers.fit([lists], CONFIG)
    now = snapshot.fit(data, text, CONFIG, as_of=AS_OF, start=before)
    for name, part in {"before": before, "lists": lists, "ranker": ranker, "now": now}.items():
        (folder / name).mkdir(parents=True)
        part.save(folder / name)
    queries = ask(data.histories, np.arange(len(data.users), dtype=np.int32), AS_OF, len(data.items))
    candidates = now.union.retrieve(queries)
    recommender = Recommender(data, now, ranker)
    ranked = recommender.rank(queries)
    slates = recommender.recommend([Request(user=user) for user in data.users.ids.to_list()])
    served = {
        "candidates": candidates.lists.item,
        "retrievers' scores": candidates.scores,
        "features": assemble(queries, candidates, now, data.catalogue).values,
        "order": ranked.lists.item,
        "scores": ranked.scores,
    }
    digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in served.items()}
    digests |= {name: content_digest(records(folder / name)) for name in ("before", "lists", "ranker", "now")}
    return digests | {"answers": repr(slates)}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return everything_known(PURCHASES, tmp_path_factory.mktemp("known"))


FUTURES = {
    "none at all": PURCHASES.filter(~FUTURE),
    "a month later": PURCHASES.with_columns(
        pl.when(FUTURE).then(pl.col("timestamp") + timedelta(days=30)).otherwise("timestamp").alias("timestamp")
    ),
    "all at the moment itself": PURCHASES.with_columns(pl.when(FUTURE).then(pl.lit(MOMENT)).otherwise("timestamp").alias("timestamp")),
    "other items": pl.concat([PURCHASES.filter(~FUTURE), LATER.with_columns(item_id=pl.col("item_id").reverse())]),
    "other people": pl.concat([PURCHASES.filter(~FUTURE), LATER.with_columns(user_id=pl.col("user_id").reverse())]),
    "items never sold before": pl.concat([PURCHASES, LATER.head(200).with_columns(item_id=pl.lit("i079"))]),
    "other prices": pl.concat([PURCHASES.filter(~FUTURE), LATER.with_columns(price=pl.col("price") * 9, discount=pl.lit(0.9, pl.Float32))]),
    "other stores": pl.concat([PURCHASES.filter(~FUTURE), LATER.with_columns(store_id=pl.lit("s2"))]),
    "ten times as much": pl.concat([PURCHASES, *[LATER] * 9]),
    "the baskets of the past go on": pl.concat([PURCHASES, LATER.with_columns(basket_id=pl.col("user_id").str.replace("h", "b") + "-10")]),
}


@pytest.mark.parametrize("future", FUTURES)
def test_another_future_changes_nothing_that_is_known_now(known: dict[str, str], future: str, tmp_path: Path) -> None:
    assert not FUTURES[future].equals(PURCHASES)
    assert everything_known(FUTURES[future], tmp_path) == known


def test_offers_that_start_later_change_nothing_that_is_known_now(known: dict[str, str], tmp_path: Path) -> None:
    offers = small_shop().promotions
    assert everything_known(PURCHASES, tmp_path, offers.filter(pl.col("start") <= MOMENT)) == known


def test_the_offers_that_run_now_do_matter(known: dict[str, str], tmp_path: Path) -> None:
    changed = everything_known(PURCHASES, tmp_path, small_shop().promotions.filter(pl.col("start") != MOMENT))
    assert {name for name in known if changed[name] != known[name]} >= {"now", "features", "retrievers' scores"}


def test_campaigns_that_start_later_or_are_over_change_nothing_that_is_known_now(known: dict[str, str], tmp_path: Path) -> None:
    sent = small_shop().campaigns
    later, over = pl.col("start") > MOMENT, pl.col("end") <= MOMENT - timedelta(weeks=1)
    assert {campaign for (campaign,) in sent.filter(later | over).select("campaign_id").unique().iter_rows()} == {"c0", "c2"}
    otherwise = sent.with_columns(user_id=pl.when(later | over).then(pl.col("user_id").reverse()).otherwise("user_id"))
    assert not otherwise.equals(sent)
    assert everything_known(PURCHASES, tmp_path, campaigns=otherwise) == known


def test_the_campaigns_that_run_now_do_matter(known: dict[str, str], tmp_path: Path) -> None:
    changed = everything_known(PURCHASES, tmp_path, campaigns=small_shop().campaigns.filter(pl.col("campaign_id") != "c1"))
    assert {name for name in known if changed[name] != known[name]} >= {"before", "now", "features"}


PASTS = {
    "a purchase less": PURCHASES.filter(~(~FUTURE & (pl.col("timestamp") == pl.col("timestamp").filter(~FUTURE).max()))),
    "a second before the moment": pl.concat([PURCHASES, LATER.head(1).with_columns(timestamp=pl.lit(MOMENT - timedelta(seconds=1)))]),
    "other items": pl.concat([PURCHASES.filter(~FUTURE).with_columns(item_id=pl.col("item_id").reverse()), LATER]),
}


@pytest.mark.parametrize("past", PASTS)
def test_another_past_changes_what_is_known_now(known: dict[str, str], past: str, tmp_path: Path) -> None:
    changed = everything_known(PASTS[past], tmp_path)
    assert {name for name in known if changed[name] != known[name]} >= {"now", "features", "scores", "answers"}
