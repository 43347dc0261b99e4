"""A release is taken up to the newest purchases from the new days alone, and knows the same as one that was made from scratch."""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from command_line import TINY, cortex_rec

from cortex_rec import columns
from cortex_rec.arrays import NO_ROW, vars_of
from cortex_rec.config import FilesSource, TableFiles, Windows, load_config
from cortex_rec.dataset import Dataset
from cortex_rec.encoding import Encoded, encode, follow
from cortex_rec.errors import DataError, EmptyTrainingSetError
from cortex_rec.features import statistics
from cortex_rec.recommender import Recommender
from cortex_rec.releases import channels, gate
from cortex_rec.releases.store import open_release
from cortex_rec.snapshot import Snapshot
from cortex_rec.sources import read
from cortex_rec.splits import Window, truth
from cortex_rec.testing.shop import OPENING, small_shop

SHOP = small_shop()
#: Users and items of the second half of the ids came in week 9 only.
LATE = OPENING + timedelta(weeks=9)
_LATE_ONES = (pl.col(columns.USER) >= "h050") | (pl.col(columns.ITEM) >= "i060")
GROWING = replace(SHOP, interactions=SHOP.interactions.filter(~_LATE_ONES | (pl.col(columns.TIMESTAMP) >= LATE)))


def parts(whole: Dataset, moment: datetime) -> tuple[Dataset, Dataset]:
    """What was bought before a moment and since; the catalogue of before has what was sold by then."""
    time = pl.col(columns.TIMESTAMP)
    before, since = (whole.interactions.filter(when) for when in (time < moment, time >= moment))
    listed = whole.items.filter(pl.col(columns.ITEM).is_in(before[columns.ITEM].implode()))
    return replace(whole, interactions=before, items=listed), replace(whole, interactions=since)


def seconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp())


def followed_by(known: Encoded, as_of: int, later: Dataset, without: Sequence[str] = ()) -> Encoded:
    with TemporaryDirectory() as folder:
        follow(known, as_of, later, Path(folder), without=without)
        return Encoded.load(Path(folder))


def assert_same(one: Encoded, other: Encoded) -> None:
    for name in ("users", "items", "stores"):
        assert getattr(one, name).ids.to_list() == getattr(other, name).ids.to_list()
    for name in ("histories", "promotions", "coupons"):
        for field, array in vars_of(getattr(other, name)).items():
            np.testing.assert_array_equal(getattr(getattr(one, name), field), array, err_msg=f"{name}.{field}", strict=True)
    for field in fields(other.catalogue):
        left, right = getattr(one.catalogue, field.name), getattr(other.catalogue, field.name)
        assert str(left) == str(right), field.name
    assert one.people.attributes.keys() == other.people.attributes.keys()


@pytest.mark.parametrize(("days", "block"), [(7, 50), (62, 1), (63, 50), (70, 1_000), (83, 10**6)])
def test_new_purchases_behind_a_release_s_are_the_same_as_all_encoded_from_scratch(
    monkeypatch: pytest.MonkeyPatch, days: int, block: int
) -> None:
    for place in ("histories", "encoding"):
        monkeypatch.setattr(f"cortex_rec.{place}.BLOCK", block)
    moment = OPENING + timedelta(days=days)
    before, since = parts(GROWING, moment)
    known = encode(before)
    assert_same(followed_by(known, seconds(moment), since), encode(GROWING))


def test_what_a_release_holds_beyond_its_moment_is_taken_from_the_new_purchases_alone() -> None:
    moment = OPENING + timedelta(days=70)
    _, since = parts(GROWING, moment)
    assert_same(followed_by(encode(GROWING), seconds(moment), since), encode(GROWING))


def test_counts_after_a_night_are_those_of_a_run_from_scratch() -> None:
    moment, end, subcategory = OPENING + timedelta(days=70), seconds(OPENING + timedelta(weeks=12)), columns.SUBCATEGORY
    before, since = parts(GROWING, moment)
    made = []
    for data in (followed_by(encode(before), seconds(moment), since), encode(GROWING)):
        made.append(statistics.fit(data.histories, data.catalogue.codes[subcategory], len(data.items), len(data.stores), as_of=end))
    for name, array in vars_of(made[1]).items():
        np.testing.assert_array_equal(getattr(made[0], name), array, err_msg=name)


def test_who_asked_to_be_forgotten_is_not_in_what_follows() -> None:
    moment = OPENING + timedelta(days=70)
    before, since = parts(SHOP, moment)
    others = pl.col(columns.USER) != "h007"
    without = replace(SHOP, interactions=SHOP.interactions.filter(others))
    followed = followed_by(encode(before), seconds(moment), since, without=["h007"])
    assert "h007" not in followed.users.ids
    np.testing.assert_array_equal(followed.histories.item, encode(without).histories.item)
    np.testing.assert_array_equal(followed.histories.pointer, encode(without).histories.pointer)


def test_a_night_without_a_purchase_or_with_one_of_before_is_refused_by_name() -> None:
    moment = OPENING + timedelta(days=70)
    before, since = parts(SHOP, moment)
    known = encode(before)
    with pytest.raises(EmptyTrainingSetError, match="no purchase since 2024-03-11"):
        followed_by(known, seconds(moment), replace(since, interactions=since.interactions.clear()))
    with pytest.raises(DataError, match="interactions: row 0 was before 2024-03-11"):
        followed_by(known, seconds(moment), replace(since, interactions=SHOP.interactions.sort(columns.TIMESTAMP)))


def test_a_start_for_the_graph_keeps_the_parameters_of_who_stays_and_places_new_items_by_content(recommender: Recommender) -> None:
    snapshot, n_items = recommender.snapshot, len(recommender.data.items)
    users, items = np.array([2, NO_ROW, 0], np.int32), np.append(np.arange(n_items), NO_ROW).astype(np.int32)
    content = np.concatenate([snapshot.content, snapshot.content[:1]])
    before: Any = snapshot.union.retrievers["graph"]
    after: Any = snapshot.restarted(users, items, content).union.retrievers["graph"]
    np.testing.assert_array_equal(after.base_users[[0, 2]], before.base_users[[2, 0]])
    assert not after.base_users[1].any()
    np.testing.assert_array_equal(after.base_items[:-1], before.base_items)
    np.testing.assert_allclose(after.base_items[-1], snapshot.content[0] @ before.base_placing, rtol=1e-4, atol=1e-6)
    assert after.base_items[-1].any()


def test_of_own_files_those_before_a_moment_are_not_read_but_for_their_times(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user_id": ["ann", "bob"], "item_id": ["milk", "jam"], "price": ["cheap", "dear"]})
    for day, price in ((1, ["cheap", "dear"]), (2, ["1.5", "2"]), (3, ["3", "4"])):
        times = [datetime(2024, 1, day, 9), datetime(2024, 1, day, 18)]
        rows.with_columns(price=pl.Series(price), timestamp=pl.Series(times)).write_parquet(tmp_path / f"day-{day}.parquet")
    source = FilesSource(interactions=TableFiles(path=str(tmp_path / "*.parquet")))
    with pytest.raises(DataError, match=r"day-1\.parquet.*price"):
        read(source, Windows())
    bought = read(source, Windows(), since=datetime(2024, 1, 2, 12)).interactions
    assert bought[columns.TIMESTAMP].to_list() == [datetime(2024, 1, 2, 18), datetime(2024, 1, 3, 9), datetime(2024, 1, 3, 18)]
    assert bought[columns.PRICE].to_list() == [2, 3, 4]
    assert read(source, Windows(), since=datetime(2024, 2, 1)).interactions.is_empty()


def test_a_line_without_a_time_among_the_new_ones_reaches_the_gate(tmp_path: Path) -> None:
    for day, times in ((1, [None, datetime(2024, 1, 1)]), (2, [None, datetime(2024, 1, 2)])):
        frame = {"user_id": ["ann", "bob"], "item_id": ["milk", "jam"], "timestamp": times}
        pl.DataFrame(frame, schema_overrides={"timestamp": pl.Datetime}).write_parquet(tmp_path / f"day-{day}.parquet")
    source = FilesSource(interactions=TableFiles(path=str(tmp_path / "*.parquet")))
    assert read(source, Windows(), since=datetime(2024, 1, 2)).interactions[columns.TIMESTAMP].to_list() == [None, datetime(2024, 1, 2)]


def test_of_a_window_with_many_buyers_so_many_are_drawn_and_the_same_again() -> None:
    data, window = encode(SHOP), Window(seconds(OPENING + timedelta(weeks=11)), seconds(OPENING + timedelta(weeks=12)))
    everyone, bought = truth(data.histories, window)
    some, theirs = truth(data.histories, window, most=10, seed=7)
    assert len(everyone) > len(some) == 10
    assert np.all(np.diff(some) > 0)
    place = np.searchsorted(everyone, some)
    assert [theirs[i].tolist() for i in range(10)] == [bought[at].tolist() for at in place]
    np.testing.assert_array_equal(truth(data.histories, window, most=10, seed=7)[0], some)
    assert truth(data.histories, window, most=10, seed=8)[0].tolist() != some.tolist()
    np.testing.assert_array_equal(truth(data.histories, window, most=len(everyone))[0], everyone)


class Nights:
    """A shop's folder with a release of eleven weeks and a second one, refreshed by the twelfth."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.orders = SHOP.interactions.select(customer="user_id", sku="item_id", time="timestamp").unique(maintain_order=True)
        self.orders.write_csv(folder / "orders.csv")
        assert cortex_rec("init", "orders.csv", "--output", "shop.yaml", folder=folder).returncode == 0
        config = yaml.safe_load((folder / "shop.yaml").read_text())
        loose = {"promotion": {"coverage": 0.9, "latency": 9, "size": 9}}
        (folder / "shop.yaml").write_text(yaml.safe_dump(config | TINY | loose))
        self.early = cortex_rec("refresh", "shop.yaml", folder=folder)
        self.orders.filter(pl.col("time") < OPENING + timedelta(weeks=11)).write_csv(folder / "orders.csv")
        trained = cortex_rec("train", "shop.yaml", "--json", folder=folder)
        assert trained.returncode == 0, trained.stderr
        self.former: str = json.loads(trained.stdout)["release"]
        self.idle = cortex_rec("refresh", "shop.yaml", folder=folder)
        # One line is dated to come: the gate sets it aside, and the night's moment is not taken from it.
        to_come = self.orders.head(1).with_columns(time=pl.lit(datetime(2062, 1, 5)).dt.cast_time_unit("us"))
        pl.concat([self.orders, to_come], how="vertical_relaxed").write_csv(folder / "orders.csv")
        refreshed = cortex_rec("refresh", "shop.yaml", "--json", folder=folder)
        assert refreshed.returncode == 0, refreshed.stderr
        self.said = refreshed.stderr
        self.told: dict[str, Any] = json.loads(refreshed.stdout)

    def production(self) -> str:
        pointer = channels.read(self.folder / "releases", channels.PRODUCTION)
        assert pointer is not None
        return pointer.release


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(tmp_path_factory.mktemp("nights"))


def test_a_refreshed_release_goes_into_production_and_says_what_it_was_made_from(nights: Nights) -> None:
    assert nights.production() == nights.told["release"] != nights.former
    assert nights.told["refreshed_from"] == nights.former
    assert {guard["name"] for guard in nights.told["promotion"]["guards"]} == {"coverage", "latency, ms", "size, MiB"}
    assert 0 < nights.told["forward"]["popularity ndcg@10"] < nights.told["forward"]["ndcg@10"] <= 1
    assert nights.said.count(f"{nights.told['forward']['users']} of its users bought since, too few to judge it by (250)") == 1
    manifest = open_release(nights.folder / "releases", nights.told["release"]).manifest
    assert f"{manifest.data.as_of:%Y-%m-%d}" == "2024-03-25"
    assert manifest.data.interactions == nights.orders.height


def test_it_knows_what_a_run_from_scratch_would_and_ranks_as_the_release_before(nights: Nights) -> None:
    after, before = (open_release(nights.folder / "releases", name).path for name in (nights.told["release"], nights.former))
    lines = nights.orders.select(
        pl.col("customer").alias(columns.USER), pl.col("sku").alias(columns.ITEM), pl.col("time").alias(columns.TIMESTAMP)
    )
    items = pl.DataFrame({columns.ITEM: lines[columns.ITEM].unique()})
    scratch = encode(replace(SHOP, interactions=lines, items=items, users=SHOP.users.clear()))
    found = Encoded.load(after / "encoded")
    for field, array in vars_of(scratch.histories).items():
        np.testing.assert_array_equal(getattr(found.histories, field), array, err_msg=field)
    end = seconds(OPENING + timedelta(weeks=12))
    subcategory = scratch.catalogue.codes[columns.SUBCATEGORY]
    counted = statistics.fit(scratch.histories, subcategory, len(scratch.items), len(scratch.stores), as_of=end)
    snapshot = Snapshot.load(after / "snapshot")
    assert snapshot.as_of == end
    np.testing.assert_array_equal(snapshot.statistics.lines, counted.lines)
    for file in sorted((before / "ranker").rglob("*")):
        if file.is_file():
            assert (after / "ranker" / file.relative_to(before / "ranker")).read_bytes() == file.read_bytes()


def test_a_night_that_cannot_be_says_why(nights: Nights) -> None:
    assert nights.early.returncode == 1
    assert "There is nothing to refresh before the first `cortex-rec train`." in nights.early.stderr
    assert nights.idle.returncode == 1
    assert f"no purchase since 2024-03-18, up to which release {nights.former} knows all" in nights.idle.stderr
    config = yaml.safe_load((nights.folder / "shop.yaml").read_text())
    (nights.folder / "other.yaml").write_text(yaml.safe_dump(config | {"ranker": "lambdarank"}))
    refused = cortex_rec("refresh", "other.yaml", folder=nights.folder)
    assert refused.returncode == 1
    assert f"ranker: is not what release {nights.told['release']} was made with. Run `cortex-rec train`." in refused.stderr
    wider = yaml.safe_load(yaml.safe_dump(config))
    wider.setdefault("retrieval", {}).setdefault("graph", {})["dimensions"] = 48
    (nights.folder / "other.yaml").write_text(yaml.safe_dump(wider))
    refused = cortex_rec("refresh", "other.yaml", folder=nights.folder)
    assert refused.returncode == 1
    assert f"retrieval.graph.dimensions: is not what release {nights.told['release']} was made with." in refused.stderr


def test_a_refreshed_release_does_not_undo_what_a_person_promoted_meanwhile(nights: Nights) -> None:
    former, made = (open_release(nights.folder / "releases", name) for name in (nights.former, nights.told["release"]))
    config = load_config(nights.folder / "shop.yaml")
    kept = gate.decide_refreshed("2024-03-20-0123456789", former, made, config, clock=perf_counter)
    assert (kept.promoted, kept.champion, kept.guards) == (False, "2024-03-20-0123456789", ())
    assert kept.why == f"it was made from {former.id}, which is not in production any more"
    assert gate.decide_refreshed(former.id, former, made, config, clock=perf_counter).guards


def test_a_day_on_which_only_strangers_bought_judges_nobody(nights: Nights) -> None:
    day = OPENING + timedelta(weeks=12)
    strangers = nights.orders.head(20).with_columns(customer=pl.lit("new ") + pl.col("customer"), time=pl.lit(day).cast(pl.Datetime))
    pl.concat([nights.orders, strangers.unique()], how="vertical_relaxed").write_csv(nights.folder / "orders.csv")
    refreshed = cortex_rec("refresh", "shop.yaml", "--json", folder=nights.folder)
    assert refreshed.returncode == 0, refreshed.stderr
    assert json.loads(refreshed.stdout)["forward"] == {"users": 0}
    assert "none of its users bought since, so there is nothing to judge it by" in refreshed.stderr
