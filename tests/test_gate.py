"""The promotion gate on releases of the small shop: which faults it keeps from the shoppers, and that production never saw the window."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cortex_rec import snapshot, splits
from cortex_rec.arrays import DAY, F32, vars_of
from cortex_rec.config import Promotion
from cortex_rec.dataset import Dataset
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import Encoded, encode
from cortex_rec.errors import ArtifactError
from cortex_rec.evaluation.judge import answers
from cortex_rec.features.assemble import Matrix
from cortex_rec.ranking import rankers, training
from cortex_rec.ranking.rankers import Calibrated
from cortex_rec.recommender import Recommender
from cortex_rec.releases import champion, channels, contest, gate, store
from cortex_rec.releases.channels import PRODUCTION
from cortex_rec.releases.gate import Challenger
from cortex_rec.releases.manifest import Contents, DataWindow
from cortex_rec.releases.promotion import Decision
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request, Slate
from cortex_rec.splits import Window
from cortex_rec.testing.evidence import AS_OF
from cortex_rec.testing.release import CONFIG, small_release
from cortex_rec.testing.shop import OPENING, small_shop

LAST_WEEK = OPENING + timedelta(weeks=11)
WINDOW = Window(AS_OF, AS_OF + 7 * DAY)
SHOP = small_shop()
#: Sixty people tell little: what they can tell apart is what these tests are about.
WIDE = CONFIG.model_copy(update={"promotion": Promotion(ndcg=0.2, new_items=9, light_users=0.4, coverage=0.3, latency=9, size=0.5)})


@dataclass(frozen=True)
class Nights:
    """Two nights of one shop: `former` knows the first eleven weeks, `made` all twelve."""

    root: Path
    former: Release
    made: Release


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    root = tmp_path_factory.mktemp("nights")
    before = SHOP.interactions.filter(pl.col("timestamp") < LAST_WEEK)
    former = small_release(root, shop=replace(SHOP, interactions=before))
    return Nights(root, former, small_release(root, shop=SHOP))


def clock() -> Callable[[], float]:
    """Every answer takes a second."""
    ticks = count()
    return lambda: float(next(ticks))


def night_of(shop: Dataset, places: Placed) -> Recommender:
    """What a run judges that learns from these tables: a ranker of the week before the window, all else as of its start."""
    data = encode(shop)
    (learned_from,), window = splits.windows(CONFIG.windows, data.histories)
    assert window == WINDOW
    then = snapshot.fit(data, places, CONFIG, as_of=learned_from.start)
    ranker = rankers.fit([training.build(then, data, learned_from, CONFIG)], CONFIG)
    return Recommender(data, snapshot.fit(data, places, CONFIG, as_of=window.start, start=then), ranker)


def with_past(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Dataset:
    """The shop, whose purchases before the window went wrong."""
    past = pl.col("timestamp") < LAST_WEEK
    return replace(SHOP, interactions=pl.concat([change(SHOP.interactions.filter(past)), SHOP.interactions.filter(~past)]))


@pytest.fixture(scope="module")
def judged(nights: Nights) -> Callable[[Dataset], Decision]:
    places = champion.places(Recommender.load(nights.made.path))

    def decided(shop: Dataset) -> Decision:
        challenger = Challenger(nights.made, night_of(shop, places), WINDOW)
        return gate.decide(nights.root, nights.former.id, challenger, WIDE, clock=clock())

    return decided


def test_a_night_like_the_one_before_it_is_let_through(judged: Callable[[Dataset], Decision]) -> None:
    decision = judged(SHOP)
    assert decision.promoted, decision.why
    assert [guard.name for guard in decision.guards if guard.outcome == "holds"] == [guard.name for guard in decision.guards]


def swapped(past: pl.DataFrame) -> pl.DataFrame:
    """Everybody has the purchases of the user thirty further on."""
    user = pl.col("user_id").str.slice(1).cast(pl.Int32)
    return past.with_columns(user_id=pl.format("h{}", ((user + 30) % 60).cast(pl.String).str.zfill(3)))


def mostly_lost(past: pl.DataFrame) -> pl.DataFrame:
    """One purchase in ten is left, but those of the first week, without which a shop has no users."""
    return past.filter((pl.int_range(pl.len()) % 10 == 0) | (pl.col("timestamp") < OPENING + timedelta(weeks=1)))


def renamed(past: pl.DataFrame) -> pl.DataFrame:
    """Nine items in ten are taken for one that was never sold."""
    return past.with_columns(item_id=pl.when(pl.col("item_id").str.ends_with("0")).then("item_id").otherwise(pl.lit("i079")))


#: What went wrong with the purchases before the window.
FAULTS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "users swapped": swapped,
    "most purchases lost": mostly_lost,
    "most items renamed": renamed,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_night_whose_past_went_wrong_is_kept_although_production_is_judged_by_the_same_window(
    judged: Callable[[Dataset], Decision], fault: str
) -> None:
    decision = judged(with_past(FAULTS[fault]))
    assert not decision.promoted
    main = decision.guards[0]
    assert main.outcome == "worse"
    healthy = judged(SHOP).guards[0]
    assert main.champion == healthy.champion, "the fault does not reach production"


@dataclass(frozen=True)
class UpsideDown(Calibrated):
    """The least likely first."""

    def score(self, matrix: Matrix) -> F32:
        return -super().score(matrix)


def test_a_ranker_turned_upside_down_is_kept(nights: Nights) -> None:
    healthy = night_of(SHOP, champion.places(Recommender.load(nights.made.path)))
    ranker = healthy.ranker
    upside_down = replace(healthy, ranker=UpsideDown(ranker.kind, ranker.ranker, ranker.calibration))
    decision = gate.decide(nights.root, nights.former.id, Challenger(nights.made, upside_down, WINDOW), WIDE, clock=clock())
    assert decision.guards[0].outcome == "worse"
    assert not decision.promoted


def test_a_night_in_which_everybody_has_the_name_of_another_is_kept_because_production_is_unlike_itself(
    judged: Callable[[Dataset], Decision],
) -> None:
    """The challenger cannot tell: past and window went wrong alike. Production's memory can."""
    decision = judged(replace(SHOP, interactions=swapped(SHOP.interactions)))
    assert not decision.promoted
    assert [guard.name for guard in decision.guards if not guard.passed] == ["window's ndcg@10"]
    assert decision.guards[0].change is not None
    assert decision.guards[0].change > 0.5, "by the main figure alone it would have been let through"


def test_a_night_that_lost_most_users_is_kept(judged: Callable[[Dataset], Decision]) -> None:
    decision = judged(replace(SHOP, interactions=SHOP.interactions.filter(pl.col("user_id") < "h030")))
    assert "window's users: 60 to 30" in decision.why


def test_production_that_does_not_know_the_window_answers_exactly_as_released(nights: Nights) -> None:
    released = Recommender.load(nights.former.path)
    assert champion.as_of_window(nights.former, released, encode(SHOP), WINDOW.start) is released


def rewound(nights: Nights, released: Recommender, tonight: Encoded) -> Recommender:
    return champion.as_of_window(nights.made, released, tonight, WINDOW.start)


def lists(recommender: Recommender) -> tuple[list[int], list[float]]:
    (ranked,) = answers(recommender, np.arange(60, dtype=np.int32), recommender.snapshot.as_of)
    return ranked.lists.item.tolist(), ranked.scores.tolist()


def test_production_that_has_seen_the_window_is_rewound_so_that_the_window_changes_not_a_bit_of_its_answers(nights: Nights) -> None:
    released, tonight = Recommender.load(nights.made.path), encode(SHOP)
    assert released.snapshot.as_of == WINDOW.end
    seen = released.data.histories
    inside = seen.time >= WINDOW.start
    otherwise = replace(seen, item=np.where(inside, np.int32(79), seen.item))
    other = replace(released, data=replace(released.data, histories=otherwise))
    assert lists(rewound(nights, released, tonight)) == lists(rewound(nights, other, tonight))


def test_production_that_was_not_rewound_would_look_far_better_than_it_is(nights: Nights) -> None:
    released, tonight = Recommender.load(nights.made.path), encode(SHOP)
    then = rewound(nights, released, tonight)
    asked = contest.questions(then, tonight, WINDOW)
    fair, leaked = (contest.performance(each, asked, np.zeros(0), 0).ndcg.mean() for each in (then, released))
    at_release, users = champion.figures(nights.made)
    assert len(asked) == users == 60
    assert fair == pytest.approx(at_release, rel=0.05), "but for how the graph was started it is what the release was judged as"
    assert leaked > fair * 1.05


def test_a_rewound_release_takes_the_offers_and_coupons_of_then_from_tonight_s_data_whatever_rows_they_have_there(nights: Nights) -> None:
    """A run's release keeps only the offers of its own moment. New ids that come first shift every row of tonight's."""
    released = Recommender.load(nights.made.path)
    now = released.snapshot
    kept = replace(released, data=replace(released.data, promotions=now.promotions, coupons=now.coupons))
    first = SHOP.interactions.head(1).with_columns(user_id=pl.lit("a"), item_id=pl.lit("a"), store_id=pl.lit("a"))
    shelf = SHOP.items.head(1).with_columns(item_id=pl.lit("a"), subcategory=pl.lit("A"))
    tonight = encode(replace(SHOP, interactions=pl.concat([SHOP.interactions, first]), items=pl.concat([SHOP.items, shelf])))
    assert tonight.items.row("i000") == 1 + kept.data.items.row("i000")
    whole = rewound(nights, released, encode(SHOP))
    again = rewound(nights, kept, tonight)
    for name in ("promotions", "coupons", "uplift"):
        theirs, own = (vars_of(getattr(each.snapshot, name)) for each in (whole, again))
        assert all(np.array_equal(theirs[part], own[part], equal_nan=part not in ("recorded",)) for part in theirs), name
    assert again.snapshot.as_of == WINDOW.start
    assert again.snapshot.promotions.start.tolist() == [WINDOW.start] * 12, "four a store, those of the window and not of the release"
    assert lists(whole) == lists(again)


def test_a_ranker_that_has_learned_from_the_window_cannot_be_judged(nights: Nights) -> None:
    earlier = Window(WINDOW.start - 7 * DAY, WINDOW.start)
    with pytest.raises(ArtifactError, match=r"learned from purchases up to 2024-03-18, which the window from 2024-03-11 begins before"):
        champion.as_of_window(nights.made, Recommender.load(nights.made.path), encode(SHOP), earlier.start)


def test_all_users_of_the_window_whom_production_knows_are_asked_for_though_tonight_s_data_forgot_their_past(nights: Nights) -> None:
    released = Recommender.load(nights.former.path)
    forgotten = encode(with_past(lambda past: past.filter(pl.col("user_id") > "h000")))
    asked = contest.questions(released, forgotten, WINDOW)
    whole = contest.questions(released, encode(SHOP), WINDOW)
    assert asked.users == whole.users
    assert asked.purchases.tolist() == whole.purchases.tolist()
    assert asked.bought.item.tolist() == whole.bought.item.tolist()
    assert asked.bought_before.item.tolist() == whole.bought_before.item.tolist()


def test_each_answer_s_quicker_time_counts_and_each_release_goes_first_as_often(nights: Nights) -> None:
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def recommend(self, requests: list[Request]) -> list[Slate]:
            order.append(self.name)
            return []

    moments = iter([0, 1, 1, 3, 3, 8, 8, 9, *range(8)])
    first, second = contest.milliseconds([Named("first"), Named("second")], ["u", "v"], clock=lambda: float(next(moments)))
    assert order == ["first", "second", "first", "second", "second", "first", "second", "first", "first", "second"]
    assert first.tolist() == [1_000, 1_000]
    assert second.tolist() == [2_000, 1_000]


def test_production_that_this_version_cannot_read_keeps_the_new_release_and_says_what_is_wrong(nights: Nights, tmp_path: Path) -> None:
    healthy = Challenger(nights.made, Recommender.load(nights.made.path), WINDOW)
    root = tmp_path / "releases"
    shutil.copytree(nights.root, root)
    damaged = root / nights.former.id / "config.json"
    damaged.chmod(0o644)
    damaged.write_text("{}")
    decision = gate.decide(root, nights.former.id, healthy, WIDE, clock=clock())
    assert not decision.promoted
    assert decision.why.startswith("production cannot be judged: ")
    assert "config.json" in decision.why
    gone = gate.decide(root, "2020-01-01-0000000000", healthy, WIDE, clock=clock())
    assert not gone.promoted
    assert "no release '2020-01-01-0000000000'" in gone.why


def test_settings_of_another_version_are_said_to_be_that(nights: Nights) -> None:
    older = nights.former.manifest.model_copy(update={"config": nights.former.manifest.config | {"an_old_key": 1}})
    with pytest.raises(ArtifactError, match="was written by another version"):
        champion.configuration(replace(nights.former, manifest=older))
    silent = nights.former.manifest.model_copy(update={"metrics": {}})
    with pytest.raises(ArtifactError, match="does not tell ndcg@10"):
        champion.figures(replace(nights.former, manifest=silent))


NIGHT = datetime(2026, 1, 8, 3, tzinfo=UTC)


def two_releases(root: Path) -> tuple[str, str]:
    """Two ids; nothing is in production."""
    data = DataWindow(as_of=datetime(2026, 1, 8), first=datetime(2025, 1, 1), last=datetime(2026, 1, 7), interactions=1, users=1, items=1)
    names = ("first", "second")
    contents = (Contents(name=name, data=data, config={}, features=(), metrics={}, libraries={}) for name in names)
    first, second = (store.publish(root, lambda folder: None, each, {}).id for each in contents)
    return first, second


def test_the_first_release_is_promoted_and_the_log_says_so(tmp_path: Path) -> None:
    first, _ = two_releases(tmp_path)
    decision = gate.settled(tmp_path, first, None)
    assert decision == Decision(first, None, True, "the first release")
    assert gate.carry_out(tmp_path, decision, None, at=NIGHT) == decision
    pointer = channels.read(tmp_path, PRODUCTION)
    assert pointer is not None
    assert (pointer.release, pointer.by, pointer.why, pointer.at) == (first, "promotion gate", "the first release", NIGHT)


def test_a_release_that_is_in_production_is_neither_judged_nor_moved_again(tmp_path: Path) -> None:
    first, _ = two_releases(tmp_path)
    pointer = channels.promote(tmp_path, first, by="anna", why="by hand", at=NIGHT)
    decision = gate.settled(tmp_path, first, pointer)
    assert decision == Decision(first, first, True, "is in production already")
    gate.carry_out(tmp_path, decision, pointer, at=NIGHT)
    assert channels.read(tmp_path, PRODUCTION) == pointer


def test_what_is_promoted_takes_production_s_place_and_what_is_kept_does_not(tmp_path: Path) -> None:
    first, second = two_releases(tmp_path)
    pointer = channels.promote(tmp_path, first, by="anna", why="by hand", at=NIGHT)
    assert gate.settled(tmp_path, second, pointer) is None, "is to be judged"
    gate.carry_out(tmp_path, Decision(second, first, False, "worse"), pointer, at=NIGHT)
    assert channels.read(tmp_path, PRODUCTION) == pointer
    gate.carry_out(tmp_path, Decision(second, first, True, "not worse"), pointer, at=NIGHT)
    assert store.resolve(tmp_path, PRODUCTION) == second


def test_what_a_person_took_out_of_production_is_not_put_back_by_a_rerun(tmp_path: Path) -> None:
    first, second = two_releases(tmp_path)
    pointer = channels.promote(tmp_path, first, by=gate.BY, why="the first release", at=NIGHT)
    gate.carry_out(tmp_path, Decision(second, first, True, "not worse"), pointer, at=NIGHT)
    taken = channels.rollback(tmp_path, by="anna", why="recommends sold-out items", at=NIGHT)
    decision = gate.settled(tmp_path, second, taken)
    assert decision is not None
    assert not decision.promoted
    assert decision.why.startswith("anna took it out of production at 2026-01-08 03:00 UTC (recommends sold-out items)")


def test_what_the_gate_itself_replaced_is_judged_when_it_is_made_again(tmp_path: Path) -> None:
    first, second = two_releases(tmp_path)
    pointer = channels.promote(tmp_path, first, by="anna", why="by hand", at=NIGHT)
    gate.carry_out(tmp_path, Decision(second, first, True, "not worse"), pointer, at=NIGHT)
    assert gate.settled(tmp_path, first, channels.read(tmp_path, PRODUCTION)) is None


def test_production_that_somebody_moved_while_it_was_judged_stays_where_it_was_moved(tmp_path: Path) -> None:
    first, second = two_releases(tmp_path)
    pointer = channels.promote(tmp_path, first, by="anna", why="by hand", at=NIGHT)
    channels.promote(tmp_path, second, by="anna", why="a better idea", at=NIGHT)
    back = channels.rollback(tmp_path, by="anna", why="a worse idea", at=NIGHT)
    decision = gate.carry_out(tmp_path, Decision(second, first, True, "not worse"), pointer, at=NIGHT)
    assert (decision.promoted, decision.champion) == (False, first)
    assert "a worse idea" in decision.why
    assert channels.read(tmp_path, PRODUCTION) == back
