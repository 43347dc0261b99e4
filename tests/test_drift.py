"""A day of the small shop held against its release's reference: ordinary days, planted faults, and days that say too little."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from browser import FAINT, UNCLEAR, chromium

from cortex_rec import columns, snapshot
from cortex_rec.arrays import DAY
from cortex_rec.config import Monitoring
from cortex_rec.dataset import Dataset
from cortex_rec.embeddings.placed import Placed
from cortex_rec.errors import ArtifactError, DataError
from cortex_rec.events.exposures import SCHEMA
from cortex_rec.monitoring import frozen, gauges, reference, report, requests
from cortex_rec.monitoring.check import Seen, check
from cortex_rec.monitoring.known import Known
from cortex_rec.monitoring.raw import WEEK
from cortex_rec.monitoring.reference import Reference
from cortex_rec.monitoring.verdict import Part, Verdict
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import Release, verify
from cortex_rec.retrieval.arrivals import Arrivals
from cortex_rec.splits import Window
from cortex_rec.testing.release import CONFIG, small_release
from cortex_rec.testing.shop import OPENING, small_shop

WEEKS = 18


@dataclass(frozen=True)
class Shop:
    """A shop of which a release knows all weeks but the last one."""

    whole: Dataset
    release: Release
    recommender: Recommender
    reference: Reference

    def check(self, day: int = 0, seen: Seen | None = None, **changed: object) -> Verdict:
        """Judge day `day` of the last week, 0 its first."""
        start = self.recommender.snapshot.as_of + day * DAY
        told = Seen(self.whole.interactions, self.whole.items) if seen is None else seen
        recommender = replace(self.recommender, **changed)
        return check(recommender, self.reference, told, Monitoring(), release=self.release.id, day=start, seed=0)

    def bought(self, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Seen:
        """What the shop tells when the purchases after the release are changed."""
        new = pl.col(columns.TIMESTAMP) >= OPENING + timedelta(weeks=WEEKS - 1)
        before, after = self.whole.interactions.filter(~new), self.whole.interactions.filter(new)
        return Seen(pl.concat([before, change(after)], how="diagonal"), self.whole.items)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    whole = small_shop(3, users=150, weeks=WEEKS)
    known = whole.interactions.filter(pl.col(columns.TIMESTAMP) < OPENING + timedelta(weeks=WEEKS - 1))
    release = small_release(tmp_path_factory.mktemp("drift") / "releases", shop=replace(whole, interactions=known))
    recommender = Recommender.load(release.path)
    return Shop(whole, release, *with_more_windows(recommender, Reference.load(release.path)))


def with_more_windows(recommender: Recommender, kept: Reference) -> tuple[Recommender, Reference]:
    """The same with the answers of thirteen weeks, more than the rhythms of its buyers take; each fit goes on from the one before."""
    end, placed = recommender.snapshot.as_of, placed_of(recommender)
    windows = [Window(end - behind * WEEK, end - (behind - 1) * WEEK) for behind in range(13, 0, -1)]
    fits: list[snapshot.Snapshot] = []
    for start in (*(window.start for window in windows), end):
        fits.append(snapshot.fit(recommender.data, placed, CONFIG, as_of=start, start=fits[-1] if fits else None))
    of_week = [(replace(recommender, snapshot=fit), window) for fit, window in zip(fits[:-1], windows, strict=True)]
    return replace(recommender, snapshot=fits[-1]), Reference(kept.purchases, reference.of_answers(of_week, users=40, seed=0))


def placed_of(recommender: Recommender) -> Placed:
    """Where the release's items lie."""
    arrivals = recommender.snapshot.union.retrievers["arrivals"]
    assert isinstance(arrivals, Arrivals)
    return arrivals.content


def part(verdict: Verdict, name: str) -> Part:
    (found,) = [each for each in verdict.parts if each.name == name]
    return found


def test_the_days_of_an_ordinary_week_raise_no_alarm_and_every_part_but_the_log_is_judged(shop: Shop) -> None:
    for day in range(7):
        verdict = shop.check(day)
        assert not verdict.alarm, verdict.told()
        assert {each.name: each.state for each in verdict.parts} == {
            "purchases": "judged", "answers": "judged", "features": "judged", "stores": "judged", "requests": "absent",
        }  # fmt: skip
        assert "no log of answers" in verdict.told()


def test_a_price_in_cents_is_seen_on_its_first_day(shop: Shop) -> None:
    verdict = shop.check(2, shop.bought(lambda after: after.with_columns(pl.col(columns.PRICE) * 100)))
    assert "psi/price" in {signal.name for signal in verdict.alarms}
    assert "is not like the weeks before" in verdict.told()


def test_a_store_that_sends_nothing_is_seen_and_named(shop: Shop) -> None:
    verdict = shop.check(2, shop.bought(lambda after: after.filter(pl.col(columns.STORE) != "s1")))
    (silent,) = part(verdict, "stores").signals
    assert silent in verdict.alarms
    assert "store s1 is silent" in verdict.told()


def test_a_category_with_another_name_is_seen_and_a_table_without_categories_says_that_it_would_not_be(shop: Shop) -> None:
    renamed = shop.whole.items.with_columns(pl.col(columns.SUBCATEGORY).replace({"MILK": "DAIRY DRINKS"}))
    verdict = shop.check(1, Seen(shop.whole.interactions, renamed))
    assert "new_value_of_subcategory" in {signal.name for signal in verdict.alarms}
    without = shop.check(1, Seen(shop.whole.interactions, None))
    assert not without.alarm
    assert any("a renamed one would not be seen" in note for note in without.notes)


def test_bots_are_seen(shop: Shop) -> None:
    def visited(after: pl.DataFrame) -> pl.DataFrame:
        made = after.sample(2_000, with_replacement=True, seed=0)
        return pl.concat([after, made.with_columns(pl.lit("bot").alias(columns.USER), pl.lit("bot").alias(columns.BASKET))])

    assert "busiest_buyer_lines" in {signal.name for signal in shop.check(3, shop.bought(visited)).alarms}


def test_item_statistics_that_were_not_updated_are_seen(shop: Shop) -> None:
    data, now = shop.recommender.data, shop.recommender.snapshot
    old = snapshot.fit(data, placed_of(shop.recommender), CONFIG, as_of=now.as_of - 2 * WEEK).statistics
    assert "skew_item_lines" in {signal.name for signal in shop.check(1, snapshot=replace(now, statistics=old)).alarms}


def test_histories_that_were_not_updated_are_seen(shop: Shop) -> None:
    data = shop.recommender.data
    old = data.histories.before(shop.recommender.snapshot.as_of - 2 * WEEK)
    assert "skew_buyer_last_came" in {signal.name for signal in shop.check(1, data=replace(data, histories=old)).alarms}


def test_a_feature_that_is_stuck_is_seen_in_the_answers(shop: Shop) -> None:
    now = shop.recommender.snapshot
    stuck = replace(now.statistics, trials=np.full_like(now.statistics.trials, now.statistics.trials.mean()))
    verdict = shop.check(1, snapshot=replace(now, statistics=stuck))
    named = {"stuck/feature_item_trials_7", "stuck/feature_item_trials_28", "stuck/feature_item_trials_91"}
    assert {signal.name for signal in verdict.alarms if signal.part == "features"} <= named
    assert "stuck/feature_item_trials_7" in {signal.name for signal in verdict.alarms}
    assert not {signal.name for signal in part(shop.check(1), "features").signals} & named


def test_what_a_release_serves_is_what_its_purchases_say(shop: Shop) -> None:
    data, n_items = shop.recommender.data, len(shop.recommender.data.items)
    asked = np.arange(10 * n_items)
    served = Known.of_release(shop.recommender, asked)
    summed = Known.of(data.histories, n_items, len(data.stores), served.as_of, asked)
    own = data.histories.before(served.as_of).take(np.arange(10, dtype=np.int32))
    last = dict(zip((own.owner * n_items + own.item).tolist(), own.time.tolist(), strict=True))
    assert dict(zip(served.pair.tolist(), served.pair_last.tolist(), strict=True)) == last
    assert served.skew(summed) == dict.fromkeys(served.skew(summed), 0.0)
    for name in ("lines", "days_idle", "price", "store_baskets", "store_last", "user_last", "pair", "pair_last"):
        np.testing.assert_allclose(getattr(served, name), getattr(summed, name), rtol=1e-6)


@pytest.mark.parametrize("lines", [0, 3])
def test_a_day_with_next_to_nothing_says_so_and_raises_no_alarm(shop: Shop, lines: int) -> None:
    first = OPENING + timedelta(weeks=WEEKS - 1)
    verdict = shop.check(0, shop.bought(lambda after: after.filter(pl.col(columns.TIMESTAMP) < first + timedelta(days=1)).head(lines)))
    assert not verdict.alarm
    assert not verdict.judged
    assert f"too little to tell. purchases: {lines} purchases on the day" in verdict.told()


def test_a_day_that_the_release_has_learned_from_is_refused(shop: Shop) -> None:
    with pytest.raises(DataError, match=r"lies before .* Ask for a day from then on"):
        shop.check(-1)


def test_columns_that_the_release_lacks_are_told_and_those_that_it_needs_are_missed(shop: Shop) -> None:
    bought, items = shop.whole.interactions, shop.whole.items
    verdict = shop.check(1, Seen(bought.with_columns(pl.lit(1).alias("till")), items.with_columns(pl.lit("x").alias("colour"))))
    assert not verdict.alarm
    assert "columns that the release does not know are not compared: colour, till" in verdict.notes
    with pytest.raises(DataError, match="column 'user_id' is missing"):
        shop.check(1, Seen(bought.drop(columns.USER), items))


def test_a_column_that_is_no_longer_told_is_an_alarm(shop: Shop) -> None:
    def untold(after: pl.DataFrame) -> pl.DataFrame:
        return after.with_columns(pl.lit(None, pl.Float32).alias(columns.PRICE))

    assert "psi/price" in {signal.name for signal in shop.check(1, shop.bought(untold)).alarms}


def test_a_release_without_a_reference_names_the_way_out(shop: Shop, tmp_path: Path) -> None:
    shutil.copytree(shop.release.path, tmp_path / "old", ignore=shutil.ignore_patterns(reference.FOLDER))
    with pytest.raises(ArtifactError, match=r"keeps no reference .* Make a new one with `cortex-rec train`"):
        Reference.load(tmp_path / "old")


def test_the_reference_is_part_of_the_release_and_the_same_when_made_again(shop: Shop, tmp_path: Path) -> None:
    files = [name for name in verify(shop.release.path.parent).manifest.files if name.startswith(f"{reference.FOLDER}/")]
    assert len(files) == 3
    data, now = shop.recommender.data, shop.recommender.snapshot
    again = reference.of_purchases(data, now.content, as_of=now.as_of, weeks=Monitoring().weeks)
    Reference(again, shop.reference.answers).save(tmp_path)
    for name in ("purchases.safetensors",):
        assert (tmp_path / name).read_bytes() == (shop.release.path / reference.FOLDER / name).read_bytes()
    loaded = Reference.load(shop.release.path)
    assert loaded.purchases.layout == again.layout


def log_of(shop: Shop, *, clicked: float = 0.3, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Seven weeks of answers, 60 a day, some of whose items were clicked, the first the most often."""
    rng = np.random.default_rng(seed)
    items, users = shop.recommender.data.items.ids.to_list(), shop.recommender.data.users.ids.to_list()
    start = shop.recommender.snapshot.as_of - 6 * WEEK
    rows, events = [], []
    for number in range(7 * 7 * 60):
        at = start + number // 60 * DAY + int(rng.integers(8, 20)) * 3_600
        chosen = [items[place] for place in rng.choice(len(items), 5, replace=False)]
        user, name = users[int(rng.integers(len(users)))], f"a{number}"
        scores = sorted(rng.normal(size=5), reverse=True)
        kind = ["repeats"] if rng.random() < 0.7 else ["graph", "popular"]
        rows.append((name, at, user, "s0", shop.release.id, "", "", chosen, scores, [0.1] * 5, [1.0] * 5, [kind] * 5, [], ""))
        events += [("click", user, item, at, name) for place, item in enumerate(chosen) if rng.random() < clicked / (place + 1)]
    return pl.DataFrame(rows, SCHEMA, orient="row"), pl.DataFrame(events, requests.EVENTS, orient="row")


def test_an_ordinary_log_is_judged_and_one_whose_clicks_are_lost_is_seen(shop: Shop) -> None:
    exposures, events = log_of(shop)
    seen = Seen(shop.whole.interactions, shop.whole.items, exposures, events)
    ordinary = shop.check(2, seen)
    assert part(ordinary, "requests").state == "judged"
    assert not ordinary.alarm, ordinary.told()
    first = shop.recommender.snapshot.as_of + 2 * DAY
    lost = shop.check(2, replace(seen, events=events.filter(pl.col("time") < first)))
    assert "log_liked_of_promised" in {signal.name for signal in lost.alarms}
    asked = pl.concat([exposures, exposures.filter(pl.col("time") >= first).sample(3_000, with_replacement=True, seed=1).with_columns(
        pl.lit("bot").alias("user"))])  # fmt: skip
    bots = shop.check(2, replace(seen, exposures=asked))
    assert "busiest_asker_requests" in {signal.name for signal in bots.alarms}


def test_a_young_log_is_not_judged_and_one_without_events_says_so(shop: Shop) -> None:
    exposures, _ = log_of(shop)
    start = shop.recommender.snapshot.as_of
    young = exposures.filter(pl.col("time") >= start - 2 * WEEK)
    verdict = shop.check(2, Seen(shop.whole.interactions, shop.whole.items, young))
    assert part(verdict, "requests").state == "too few"
    assert "Wait until the log is some weeks old" in part(verdict, "requests").told
    assert "no live events were given: click-through is not judged" in verdict.notes


def test_the_click_through_of_a_place_is_counted_by_hand(shop: Shop) -> None:
    row = (
        "a",
        3_600,
        "h000",
        "",
        "r",
        "",
        "",
        ["i000", "i001"],
        [2.0, 1.0],
        [0.5, None],
        [1.0, 1.0],
        [["graph"], ["graph", "popular"]],
        [],
        "",
    )
    other = ("b", 7_200, "", "", "r", "", "", ["i002"], [1.0], [0.5], [1.0], [["graph"]], [], "no user given")
    exposures = pl.DataFrame([row, other], SCHEMA, orient="row")
    events = pl.DataFrame([("click", "h000", "i000", 3_700, "a"), ("click", "h000", "i002", 3_700, "")], requests.EVENTS, orient="row")
    found = requests.raw(exposures, events, shop.recommender, shop.recommender.snapshot.as_of, release="r")
    numbers = found.numbers
    assert numbers["click_through_1"] == 0.5, "of the two first places one was clicked"
    assert numbers["click_through_2_to_5"] == 0.0
    assert np.isnan(numbers["click_through_11_on"])
    assert (numbers["requests"], numbers["askers"], numbers["nameless"], numbers["fallbacks"]) == (2, 1, 0.5, 0.5)
    assert numbers["log_liked_of_promised"] == pytest.approx(np.log(1.5 / 1.5))
    assert found.named["retrievers"].counts() == {"graph": 3.0, "popular": 1.0}
    assert found.named["liked_places"].counts() == {"1": 1.0}


def test_the_mode_of_a_feature_is_the_share_of_its_most_frequent_value() -> None:
    assert frozen.mode(np.array([1.0, 2.0, 2.0, np.nan])) == 0.5
    assert frozen.mode(np.array([np.nan, np.nan, 2.0])) == pytest.approx(2 / 3)
    assert frozen.mode(np.full(5, 3.0)) == 1.0


def test_a_verdict_is_the_same_after_it_was_saved(shop: Shop, tmp_path: Path) -> None:
    verdict = shop.check(1)
    verdict.save(tmp_path / "drift.json")
    assert Verdict.load(tmp_path / "drift.json").to_dict() == verdict.to_dict()
    (tmp_path / "drift.json").write_text("{")
    with pytest.raises(ArtifactError, match="check the day again"):
        Verdict.load(tmp_path / "drift.json")


def test_the_gauges_say_what_the_verdict_says(shop: Shop, tmp_path: Path) -> None:
    verdict = shop.check(2, shop.bought(lambda after: after.with_columns(pl.col(columns.PRICE) * 100)))
    text = gauges.write(verdict, tmp_path, checked_at=1_700_000_000.0).read_text()
    assert "\ncortex_rec_drift_alarm 1.0\n" in text
    assert '\ncortex_rec_drift_part_judged{part="requests"} 0.0\n' in text
    assert 'cortex_rec_drift_deviations{part="purchases",signal="psi/price"}' in text
    assert list(tmp_path.iterdir()) == [tmp_path / gauges.FILE]


def test_the_page_of_an_alarm_stands_alone_and_can_be_read(shop: Shop, tmp_path: Path) -> None:
    verdict = shop.check(2, shop.bought(lambda after: after.with_columns(pl.col(columns.PRICE) * 100)))
    text = report.render(verdict, shop.reference)
    assert text == report.render(Verdict.load(saved(verdict, tmp_path)), shop.reference), "the same bytes for the same figures"
    (tmp_path / "drift.html").write_text(text)
    with chromium() as browser:
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "drift.html").as_uri())
        assert page.locator(".verdict .bad").inner_text() == "No: an alarm."
        assert page.evaluate(FAINT) == []
        assert page.evaluate(UNCLEAR) == []
    assert asked == [(tmp_path / "drift.html").as_uri()]


def saved(verdict: Verdict, folder: Path) -> Path:
    path = folder / "drift.json"
    verdict.save(path)
    json.loads(path.read_text())
    return path
