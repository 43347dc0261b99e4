"""The nightly run learns from live purchases: those that the shop's own files do not hold yet, each once, and not from who is forgotten."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from command_line import TINY, cortex_rec

from cortex_rec import columns, events
from cortex_rec.arrays import DAY
from cortex_rec.config import Promotion, load_config
from cortex_rec.dataset import Dataset, empty
from cortex_rec.errors import ConfigError
from cortex_rec.events import learning
from cortex_rec.events.protocol import Event, EventStore
from cortex_rec.recommender import Recommender
from cortex_rec.releases import forgotten
from cortex_rec.releases.store import open_release
from cortex_rec.requests import Request
from cortex_rec.testing.shop import small_shop

#: 2024-03-01 10:00, when the small table below ends.
LAST = datetime(2024, 3, 1, 10)
FAR = pl.lit(datetime(2062, 1, 5)).cast(columns.INTERACTIONS["timestamp"])
AT = int(LAST.replace(tzinfo=UTC).timestamp())
#: The midnight after the small shop's last purchase.
NIGHT = int(datetime(2024, 3, 25, tzinfo=UTC).timestamp())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = events.open(tmp_path / "events.sqlite")
    yield store
    store.close()


@pytest.fixture
def dataset() -> Dataset:
    bought = pl.DataFrame(
        [("ann", "milk", LAST, "b1", 1.0), ("bob", "jam", LAST.replace(day=1, hour=9), "b2", 1.0)],
        {name: columns.INTERACTIONS[name] for name in ("user_id", "item_id", "timestamp", "basket_id", "quantity")},
        orient="row",
    )
    items = pl.DataFrame({"item_id": ["milk", "jam"]})
    people = pl.DataFrame({"user_id": ["ann", "bob"]})
    return Dataset(bought, items, people, empty(columns.PROMOTIONS))


def bought(event_id: str, item: str, seconds: int, *, user: str = "ann", basket: str = "", quantity: float = 1.0) -> Event:
    return Event(event_id, "purchase", user, item, AT + seconds, basket, quantity, 0.5)


def joined(dataset: Dataset, store: EventStore) -> tuple[Dataset, int]:
    longer, added, unlisted = learning.join(dataset.stream(), learning.purchases(store), learning.newest(dataset.stream()))
    assert added.height == longer.whole().interactions.height - dataset.interactions.height
    return longer.whole(), unlisted


def test_purchases_later_than_the_sources_last_join_it_with_the_columns_that_it_has(store: EventStore, dataset: Dataset) -> None:
    store.append([bought("e1", "jam", 0), bought("e2", "jam", 60, basket="b9"), bought("e3", "gin", 61), bought("e4", "milk", 62)])
    store.append([Event("e5", "cart", "ann", "jam", AT + 63)])
    longer, unlisted = joined(dataset, store)
    assert unlisted == 1
    assert longer.interactions.columns == dataset.interactions.columns
    assert longer.interactions.rows() == [
        *dataset.interactions.rows(),
        ("ann", "jam", datetime(2024, 3, 1, 10, 1), "b9", 1.0),
        ("ann", "milk", datetime(2024, 3, 1, 10, 1, 2), None, 1.0),
    ]


def test_where_no_table_lists_items_those_that_the_release_knows_are_listed(store: EventStore, dataset: Dataset) -> None:
    store.append([bought("e1", "gin", 61), bought("e2", "milk", 62), bought("e3", "gin", 63), bought("e4", "no such item", 64)])
    known = pl.Series(["gin", "rum", "milk"])
    longer, added, unlisted = learning.join(dataset.stream(), learning.purchases(store), LAST, known=known)
    assert (added.height, unlisted) == (3, 1)
    assert longer.rest.items["item_id"].to_list() == ["milk", "jam", "gin"]
    assert longer.whole().interactions["item_id"].to_list()[-3:] == ["gin", "milk", "gin"]


def test_a_line_that_is_dated_to_come_is_not_the_newest_where_a_bound_is_told(dataset: Dataset) -> None:
    wrong = replace(dataset, interactions=pl.concat([dataset.interactions, dataset.interactions[[1]].with_columns(timestamp=FAR)]))
    assert learning.newest(wrong.stream()) == datetime(2062, 1, 5)
    assert learning.newest(wrong.stream(), before=datetime(2024, 3, 2)) == LAST
    assert learning.newest(wrong.stream(), before=datetime(2000, 1, 1)) is None


def test_equal_lines_of_a_basket_are_added_up_as_the_gate_wants_them(store: EventStore) -> None:
    store.append(
        [bought("e1", "jam", 1, basket="b9"), bought("e2", "jam", 1, basket="b9", quantity=2), bought("e3", "jam", 2, basket="b9")]
    )
    assert learning.purchases(store)[columns.QUANTITY].to_list() == [3.0, 1.0]


def test_nothing_live_leaves_the_tables_as_they_are(store: EventStore, dataset: Dataset) -> None:
    longer, unlisted = joined(dataset, store)
    assert (longer.interactions.equals(dataset.interactions), unlisted) == (True, 0)


def test_what_is_older_than_it_is_to_be_kept_is_removed_but_for_hides(store: EventStore, dataset: Dataset) -> None:
    store.append([bought("e1", "jam", -30 * DAY - 1), bought("e2", "jam", -30 * DAY), Event("e3", "hide", "ann", "gin", 0)])
    assert learning.keep(store, learning.newest(dataset.stream()), 30) == 1
    assert [one.event_id for one in store.since(0)] == ["e3", "e2"]


def test_who_is_forgotten_is_in_no_table(dataset: Dataset) -> None:
    left = learning.without(dataset.stream(), {"ann"}).whole()
    assert left.interactions["user_id"].to_list() == left.users["user_id"].to_list() == ["bob"]
    assert left.items.height == 2


def test_a_file_of_events_lies_beside_the_yaml_and_an_address_is_left_as_it_is(tmp_path: Path) -> None:
    for store, said in (("events.sqlite", str(tmp_path / "events.sqlite")), ("redis://host/0", "redis://host/0")):
        (tmp_path / "shop.yaml").write_text(
            yaml.safe_dump({"name": "shop", "source": {"kind": "complete_journey"}, "events": {"store": store}})
        )
        section = load_config(tmp_path / "shop.yaml").events
        assert section is not None
        assert section.store == said
    (tmp_path / "shop.yaml").write_text("name: shop\nsource: {kind: complete_journey}\nevents: {stor: x}\n")
    with pytest.raises(ConfigError, match=r"`events\.stor` is not a known key\. Did you mean `store`"):
        load_config(tmp_path / "shop.yaml")


@pytest.mark.slow
def test_tonights_release_knows_what_was_bought_live_and_answers_without_counting_it_twice(tmp_path: Path) -> None:
    shop = small_shop().interactions
    shop.select("user_id", "item_id", "timestamp", "basket_id").write_csv(tmp_path / "orders.csv")
    # The file's own gate lets nothing through that is later than the midnight after its last purchase.
    os.utime(tmp_path / "orders.csv", times=(NIGHT - 1.5 * DAY, NIGHT - 1.5 * DAY))
    assert cortex_rec("init", "orders.csv", "--output", "shop.yaml", folder=tmp_path).returncode == 0
    config = yaml.safe_load((tmp_path / "shop.yaml").read_text()) | TINY | {"events": {"store": "live/events.sqlite"}}
    # Whatever sixty people can tell of it, tonight's release shall be promoted.
    config["promotion"] = dict.fromkeys(Promotion.model_fields, 99)
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(config))
    before = cortex_rec("train", "shop.yaml", folder=tmp_path)
    assert before.returncode == 0, before.stderr
    assert "0 live purchases joined the source's\n" in before.stderr

    store = events.open(tmp_path / "live" / "events.sqlite")
    store.append([Event("e1", "purchase", "h000", "i003", NIGHT + 60, "b1"), Event("e2", "purchase", "newcomer", "i004", NIGHT + 61)])
    last = int(shop["timestamp"].dt.epoch("s").max())  # type: ignore[arg-type]
    store.append([Event("e3", "purchase", "h000", "i005", last, "b0"), Event("e4", "purchase", "h000", "no such item", NIGHT)])
    forgotten.add(tmp_path / "releases", "h001")
    tonight = cortex_rec("train", "shop.yaml", folder=tmp_path)
    assert tonight.returncode == 0, tonight.stderr
    assert "2 live purchases joined the source's, 1 of unlisted items did not" in tonight.stderr

    release = open_release(tmp_path / "releases")
    theirs = shop.filter(pl.col("user_id") == "h001").height
    assert (release.manifest.data.interactions, release.manifest.data.users) == (shop.height - theirs + 2, 60)
    assert "live" not in (release.path / "config.json").read_text()
    plain = Recommender.load(release.path)
    own = plain.data.histories.take(plain.data.users.rows(["h000"]))
    assert (own.time[-1], plain.data.items.external(own.item[-1:])) == (NIGHT + 60, ["i003"])
    served = replace(plain, events=store)
    assert served.recommend([Request(user="h000")]) == plain.recommend([Request(user="h000")])

    store.append([Event("e6", "click", "h000", "i003", NIGHT + 99)])
    store.close()
    assert "✓" not in cortex_rec("train", "shop.yaml", folder=tmp_path).stderr
