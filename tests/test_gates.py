"""Gates: what each rule finds, what is set aside, and what stops a run."""

import csv
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_rec import columns, sources
from cortex_rec.arrays import Ragged
from cortex_rec.config import CompleteJourneySource, FilesSource, TableFiles, Windows
from cortex_rec.dataset import Dataset, empty
from cortex_rec.errors import GateFailed
from cortex_rec.ranking.training import TrainingLists
from cortex_rec.sources.known_by import known_by
from cortex_rec.testing.ranker_contract import small_lists
from tasks import table_gates
from tasks.gates import check_table
from tasks.stage_gates import check_candidates, check_embeddings, check_features, check_metrics

NOW = datetime(2024, 6, 1)


def orders(**changes: Any) -> pl.DataFrame:
    """Four good lines; `column=(row, value)` spoils one of them."""
    rows: dict[str, list[Any]] = {
        "user_id": ["a", "a", "b", "b"],
        "item_id": ["x", "y", "x", "y"],
        "timestamp": [datetime(2024, 5, day) for day in (1, 2, 3, 4)],
        "basket_id": ["1", "2", "3", "4"],
        "quantity": [1.0, 2.0, 1.0, 1.0],
        "price": [1.0, 0.0, 3.0, None],
        "discount": [0.0, 1.0, 0.5, None],
    }
    for name, (row, value) in changes.items():
        rows[name][row] = value
    return pl.DataFrame(rows, schema={name: columns.INTERACTIONS[name] for name in rows})


def dataset(interactions: pl.DataFrame, items: tuple[str | None, ...] = ("x", "y", "never bought")) -> Dataset:
    listed = pl.DataFrame({"item_id": items}, schema={"item_id": pl.String})
    return Dataset(interactions, listed, empty({"user_id": pl.String}), empty(columns.PROMOTIONS))


def check_dataset(data: Dataset, **told: Any) -> tuple[Dataset, list[dict[str, Any]]]:
    clean, rules = table_gates.check_dataset(data.stream(), **told)
    return clean.whole(), rules


def broken(rules: list[dict[str, Any]]) -> dict[str, str]:
    return {rule["rule"]: rule["first"] for rule in rules if not rule["passed"]}


def quarantined(folder: Path, suite: str) -> list[tuple[str, ...]]:
    with (folder / f"{suite}.csv").open(encoding="utf-8", newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


@pytest.mark.parametrize("bad", [{}, {"price": (3, -1.0), "quantity": (0, 0.0)}, {"discount": (2, 3.0), "user_id": (2, None)}])
def test_a_table_in_blocks_passes_and_fails_as_the_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: dict[str, Any]) -> None:
    frame = orders(**bad).with_columns(is_first_line=True, item_is_listed=pl.Series([True, True, True, not bad]))
    told = {"allowance": 1.0, "parameters": {"now": NOW}}
    whole = check_table(frame, "interactions", quarantine=tmp_path / "whole", **told)
    monkeypatch.setattr("tasks.gates.BLOCK", 3)
    blocks = check_table(frame, "interactions", quarantine=tmp_path / "blocks", data_docs=tmp_path / "docs", **told)
    assert blocks.rules == whole.rules
    assert blocks.passed.equals(whole.passed)
    assert not bad or (tmp_path / "blocks" / "interactions.csv").read_bytes() == (tmp_path / "whole" / "interactions.csv").read_bytes()
    assert (tmp_path / "docs" / "interactions" / "index.html").is_file()


@pytest.mark.parametrize("size", [2, 3])
def test_lines_that_repeat_in_another_block_are_found_and_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    lines = pl.concat([orders(), orders()[[2, 0]], orders(price=(1, -1.0))[[1]].with_columns(basket_id=pl.lit("another"))])
    told = {"now": NOW, "allowance": 0.9}
    whole, rules = check_dataset(dataset(lines), quarantine=tmp_path / "whole", **told)
    monkeypatch.setattr("cortex_rec.dataset.BLOCK", size)
    blocks, same = check_dataset(dataset(lines), quarantine=tmp_path / "blocks", **told)
    assert broken(rules) == {"order line is there once": "4, 5", "price is not below 0": "6"}
    assert same == rules
    assert blocks.interactions.equals(whole.interactions)
    assert blocks.interactions.equals(lines.head(4))
    assert quarantined(tmp_path / "blocks", "interactions") == quarantined(tmp_path / "whole", "interactions")


def test_good_tables_pass_whole_and_leave_no_quarantine(tmp_path: Path) -> None:
    data = dataset(orders())
    clean, rules = check_dataset(data, now=NOW, allowance=0, quarantine=tmp_path)
    assert all(clean.tables()[name].equals(data.tables()[name]) for name in clean.tables())
    assert broken(rules) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("column", "value", "rule", "shown"),
    [
        ("user_id", None, "user is given", "null"),
        ("item_id", None, "item is given", "null"),
        ("timestamp", None, "time is given", "null"),
        ("timestamp", datetime(2024, 6, 2), "time is not in the future", "2024-06-02 00:00:00.000000"),
        ("timestamp", datetime(9999, 12, 31), "time is not in the future", "9999-12-31 00:00:00.000000"),
        ("quantity", -1.0, "quantity is above 0", "-1.0"),
        ("quantity", 0.0, "quantity is above 0", "0.0"),
        ("price", -0.5, "price is not below 0", "-0.5"),
        ("discount", 1.5, "discount is a share", "1.5"),
        ("item_id", "unlisted", "item is in the items table", "unlisted"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_rule_column_and_value(tmp_path: Path, column: str, value: object, rule: str, shown: str) -> None:
    spoilt = dataset(orders(**{column: (2, value)}))
    clean, rules = check_dataset(spoilt, now=NOW, allowance=0.25, quarantine=tmp_path)
    assert broken(rules) == {rule: "2"}
    assert quarantined(tmp_path, "interactions") == [("2", rule, column, shown)]
    assert clean.interactions.equals(orders()[[0, 1, 3]])
    with pytest.raises(GateFailed) as raised:
        check_dataset(spoilt, now=NOW, allowance=0.2, quarantine=tmp_path)
    message = str(raised.value)
    assert "interactions: 1 of 4 rows (25.00%) break a rule of expectations/interactions.json; 20.00% may." in message
    assert rule in message
    assert str(tmp_path / "interactions.csv") in message
    assert "quality.max_bad_rows" in message
    assert (raised.value.table, raised.value.rows) == ("interactions", (2,))


@pytest.mark.parametrize(("column", "rule"), [("title", "most items have a title"), ("image", "some item has a picture")])
def test_items_without_any_title_or_picture_in_a_column_for_it_end_the_run(tmp_path: Path, column: str, rule: str) -> None:
    def spoilt(*values: str | None) -> Dataset:
        data = dataset(orders())
        return replace(data, items=data.items.with_columns(pl.Series(column, values, dtype=pl.String)))

    with pytest.raises(GateFailed, match=rule) as raised:
        check_dataset(spoilt(None, None, None), now=NOW, allowance=0.5, quarantine=tmp_path)
    assert column in str(raised.value)
    clean, rules = check_dataset(spoilt("a", "b", None), now=NOW, allowance=0, quarantine=tmp_path)
    assert clean.items.height == 3
    assert broken(rules) == {}


def test_an_attribute_must_be_given_and_be_shared_by_items(tmp_path: Path) -> None:
    ids = [f"i{i:03}" for i in range(200)]
    lines = orders().with_columns(pl.Series("item_id", ids[:4]))
    good = dataset(lines, tuple(ids))
    colours = good.items.with_columns(pl.Series("colour", ["red", "blue", None, "red"] * 50))
    _, rules = check_dataset(replace(good, items=colours), now=NOW, allowance=0, quarantine=tmp_path)
    assert [rule["rule"] for rule in rules if rule["table"] == "attributes"] == ["attribute is given", "attribute is shared by items"]
    own, none = pl.Series("sku", ids), pl.Series("fabric", [None] * 200, dtype=pl.String)
    for wrong, rule, shown in ((own, "attribute is shared by items", "sku | 1.0"), (none, "attribute is given", "fabric | 0")):
        with pytest.raises(GateFailed, match=rule) as raised:
            check_dataset(replace(good, items=colours.with_columns(wrong)), now=NOW, allowance=0.5, quarantine=tmp_path)
        assert "source.attributes" in str(raised.value)
        assert quarantined(tmp_path, "attributes")[0][3] == shown
    few = replace(good, items=colours.with_columns(own).head(99))
    assert broken(check_dataset(few, now=NOW, allowance=0, quarantine=tmp_path)[1]) == {}


def test_of_duplicate_order_lines_the_first_is_kept(tmp_path: Path) -> None:
    doubled = pl.concat([orders(), orders()[[1]]])
    clean, rules = check_dataset(dataset(doubled), now=NOW, allowance=0.2, quarantine=tmp_path)
    assert clean.interactions.equals(orders())
    assert broken(rules) == {"order line is there once": "4"}
    assert quarantined(tmp_path, "interactions")[0][2:] == ("user_id, item_id, timestamp", "a | y | 2024-05-02 00:00:00.000000")


def test_a_row_that_breaks_two_rules_counts_once(tmp_path: Path) -> None:
    twice = dataset(orders(quantity=(1, -1.0), price=(1, -1.0)))
    clean, _ = check_dataset(twice, now=NOW, allowance=0.25, quarantine=tmp_path)
    assert clean.interactions.height == 3
    assert [row[:2] for row in quarantined(tmp_path, "interactions")] == [("1", "quantity is above 0"), ("1", "price is not below 0")]


def test_a_repaired_table_leaves_no_stale_quarantine_file(tmp_path: Path) -> None:
    check_dataset(dataset(orders(price=(0, -1.0))), now=NOW, allowance=0.5, quarantine=tmp_path)
    assert quarantined(tmp_path, "interactions")
    check_dataset(dataset(orders()), now=NOW, allowance=0.5, quarantine=tmp_path)
    assert not (tmp_path / "interactions.csv").exists()


def test_a_catalogue_row_without_id_or_twice_is_set_aside(tmp_path: Path) -> None:
    clean, rules = check_dataset(dataset(orders(), ("x", "y", None, "x")), now=NOW, allowance=0.5, quarantine=tmp_path)
    assert clean.items["item_id"].to_list() == ["x", "y"]
    assert broken(rules) == {"item is given": "2", "item is there once": "3"}


def test_a_catalogue_of_which_nothing_is_bought_stops_the_run_whatever_the_allowance(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match=r"items are bought at all[\s\S]*leading zeros"):
        check_dataset(dataset(orders(), ("0x", "0y")), now=NOW, allowance=0.9, quarantine=tmp_path)


def test_a_night_s_purchases_do_not_tell_whether_items_are_bought_at_all(tmp_path: Path) -> None:
    listed = ("x", "y", *(f"never {i}" for i in range(5_000)))
    with pytest.raises(GateFailed, match="items are bought at all"):
        check_dataset(dataset(orders(), listed), now=NOW, allowance=0, quarantine=tmp_path)
    clean, rules = check_dataset(dataset(orders(), listed), now=NOW, allowance=0, quarantine=tmp_path, whole=False)
    assert (clean.items.height, broken(rules)) == (5_002, {})
    with pytest.raises(GateFailed, match="item is in the items table"):
        check_dataset(dataset(orders(), ("0x", "0y")), now=NOW, allowance=0.9, quarantine=tmp_path, whole=False)


def test_an_offer_that_ends_before_it_starts_is_set_aside(tmp_path: Path) -> None:
    offers = pl.DataFrame(
        {"item_id": ["x", "y"], "start": [NOW, NOW], "end": [NOW, datetime(2024, 6, 8)]},
        schema_overrides={"start": columns.TIME_DTYPE, "end": columns.TIME_DTYPE},
    )
    data = Dataset(orders(), dataset(orders()).items, empty({"user_id": pl.String}), offers)
    clean, rules = check_dataset(data, now=NOW, allowance=0.5, quarantine=tmp_path)
    assert clean.promotions["item_id"].to_list() == ["y"]
    assert broken(rules) == {"end is after start": "0"}


def test_campaigns_that_end_before_they_start_or_were_sent_twice_are_set_aside(tmp_path: Path) -> None:
    sent = pl.DataFrame(
        {"campaign_id": ["c", "c", "d"], "user_id": ["a", "a", "b"], "start": [NOW] * 3, "end": [datetime(2024, 6, 8)] * 2 + [NOW]},
        schema=columns.CAMPAIGNS,
    )
    coupons = pl.DataFrame({"campaign_id": ["c", None], "item_id": ["x", "y"]}, schema=columns.COUPONS)
    clean, rules = check_dataset(replace(dataset(orders()), campaigns=sent, coupons=coupons), now=NOW, allowance=0.7, quarantine=tmp_path)
    assert clean.campaigns.rows() == sent.rows()[:1]
    assert clean.coupons.rows() == [("c", "x")]
    assert broken(rules) == {"end is after start": "2", "a campaign is sent to a user once": "1", "campaign is given": "1"}


def test_columns_that_a_shop_does_not_record_are_not_asked_for_but_needed_ones_are(tmp_path: Path) -> None:
    _, rules = check_dataset(
        dataset(orders().drop("price", "discount", "quantity", "basket_id")), now=NOW, allowance=0, quarantine=tmp_path
    )
    assert not {"price", "discount", "quantity"} & {rule["column"] for rule in rules}
    with pytest.raises(GateFailed, match=r"interactions: column 'user_id' is missing, rule 'user is given' needs it"):
        check_table(orders().drop("user_id"), "interactions", allowance=0, quarantine=tmp_path, parameters={"now": NOW})


def test_the_limit_of_the_future_is_the_date_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("user_id,item_id,timestamp\n")
    os.utime(path, (1717200000, 1717200000))  # 2024-06-01 00:00 UTC
    assert known_by(FilesSource(interactions=TableFiles(path=str(path)))) == datetime(2024, 6, 3)
    assert known_by(CompleteJourneySource()) == datetime(2018, 1, 1)


def test_the_real_year_passes_without_a_bad_row_and_data_docs_are_built(tmp_path: Path) -> None:
    year = sources.read(CompleteJourneySource(), Windows())
    clean, rules = check_dataset(year, now=datetime(2018, 1, 1), allowance=0, quarantine=tmp_path / "q", data_docs=tmp_path / "docs")
    assert broken(rules) == {}
    assert clean.interactions.height == 1_442_237
    assert (tmp_path / "docs" / "interactions" / "index.html").is_file()
    december = datetime(2017, 12, 31)
    late = year.interactions.filter(pl.col("timestamp") > december).height
    with pytest.raises(GateFailed, match=f"time is not in the future +timestamp +{late:,} "):
        check_dataset(year, now=december, allowance=0.0001, quarantine=tmp_path / "q")


UNIT = np.eye(3, dtype=np.float32)


def test_embeddings_must_be_finite_of_length_1_and_one_an_item(tmp_path: Path) -> None:
    assert check_embeddings(UNIT, 3, quarantine=tmp_path).passed.height == 3
    for spoilt, rule in ((np.nan, "vector is finite"), (0.5, "vector has length 1")):
        vectors = UNIT.copy()
        vectors[1, 1] = spoilt
        with pytest.raises(GateFailed, match=rule) as raised:
            check_embeddings(vectors, 3, quarantine=tmp_path)
        assert raised.value.rows == (1,)
    with pytest.raises(GateFailed, match="one vector an item"):
        check_embeddings(UNIT, 4, quarantine=tmp_path)


def test_candidates_must_be_known_distinct_and_enough(tmp_path: Path) -> None:
    def lists(*items: list[int]) -> Ragged:
        flat = np.array([item for row in items for item in row], np.int32)
        return Ragged(np.cumsum([0, *map(len, items)]).astype(np.int64), flat)

    assert check_candidates(lists([0, 1], [2, 1]), 3, at_least=2, quarantine=tmp_path).passed.height == 2
    for second, rule in (([0, 3], "no unknown item"), ([0, -1], "no unknown item"), ([1, 1], "no item twice"), ([1], "enough candidates")):
        with pytest.raises(GateFailed, match=rule) as raised:
            check_candidates(lists([0, 1], second), 3, at_least=2, quarantine=tmp_path)
        assert raised.value.rows == (1,)


def features(**columns: np.ndarray) -> TrainingLists:
    values = np.stack(list(columns.values()), axis=1).astype(np.float32)
    lists = small_lists(0, lists=1, length=1)
    return replace(lists, matrix=replace(lists.matrix, names=tuple(columns), values=values))


def test_features_must_vary_be_finite_and_mostly_there(tmp_path: Path) -> None:
    good = np.random.default_rng(0).random((4_000, 2)).astype(np.float32)
    good[0, 1] = np.nan
    assert check_features([features(a=good[:, 0], b=good[:, 1])] * 2, ["a", "b"], quarantine=tmp_path).passed.height == 2
    for value, rows, rule in (
        (7.0, slice(None), "feature is not constant"),
        (np.nan, slice(1, None), "feature is rarely NaN"),
        (np.inf, slice(0, 1), "feature has no infinity"),
        (1e12, slice(0, 1), "feature is within range"),
    ):
        spoilt = good.copy()
        spoilt[rows, 1] = value
        with pytest.raises(GateFailed, match=rule) as raised:
            check_features([features(a=spoilt[:, 0], b=spoilt[:, 1])], ["a", "b"], quarantine=tmp_path)
        assert raised.value.rows == (1,)
        assert quarantined(tmp_path, "features")[0][3].startswith("b | ")


def test_a_feature_of_the_calendar_is_judged_over_all_windows(tmp_path: Path) -> None:
    weeks = [features(week=np.full(5, week)) for week in (1, 2)]
    assert check_features(weeks, ["week"], quarantine=tmp_path).passed.height == 1
    with pytest.raises(GateFailed, match="not constant"):
        check_features(weeks[:1], ["week"], quarantine=tmp_path)


def test_a_feature_is_judged_by_its_name_wherever_a_window_has_it(tmp_path: Path) -> None:
    wide, small = np.linspace(0, 1e12, 5), np.linspace(0, 1, 5)
    turned = [features(small=small, wide=small), features(wide=small, small=wide)]
    with pytest.raises(GateFailed, match="within range") as raised:
        check_features(turned, ["wide", "small"], quarantine=tmp_path)
    assert raised.value.rows == (1,), "it is `small` that leaves the range, in the second window"
    lacking = [features(often=small), features(often=small, later=small)]
    rows = check_features(lacking, ["often", "later"], quarantine=tmp_path).passed
    assert rows.select("feature", "distinct", "nan_share").rows() == [("often", 2, 0.0), ("later", 3, 0.5)]


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_release_passes_exactly_when_it_is_not_worse_than_popularity(own: float, popularity: float) -> None:
    from tempfile import TemporaryDirectory

    metrics = {"metrics": {"ndcg@10": own}, "baselines": {"popularity": {"ndcg@10": popularity}}}
    with TemporaryDirectory() as folder:
        if own >= popularity:
            assert check_metrics(metrics, quarantine=Path(folder)).rules[-1]["passed"]
        else:
            with pytest.raises(GateFailed, match="not worse than popularity"):
                check_metrics(metrics, quarantine=Path(folder))
