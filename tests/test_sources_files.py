"""A shop's own files: what is read from them, and what is said of each way in which they can be wrong."""

import gzip
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_rec import sources
from cortex_rec.config import FilesSource, TableFiles, Windows
from cortex_rec.dataset import Dataset
from cortex_rec.errors import ConfigError, DataError
from cortex_rec.sources.fingerprint import fingerprint

ORDERS = "customer,sku,when,qty,price\n007,0815,2024-01-02 10:00:00,2,1.5\n8,0816,2024-01-03 11:30:00,1,\n"
COLUMNS = {"user_id": "customer", "item_id": "sku", "timestamp": "when", "quantity": "qty", "price": "price"}


def read(path: Path, columns: dict[str, str] | None = None, **tables: Any) -> Dataset:
    orders = TableFiles(path=str(path), columns=COLUMNS if columns is None else columns)
    return sources.read(FilesSource(interactions=orders, **tables), Windows())


def fault(path: Path, columns: dict[str, str] | None = None) -> DataError:
    with pytest.raises(DataError) as raised:
        read(path, columns)
    assert str(path) in str(raised.value)
    assert raised.value.table == "interactions"
    return raised.value


@pytest.mark.parametrize("name", ["orders.csv", "orders.csv.gz", "orders.parquet"])
def test_the_same_orders_come_out_of_every_format_with_leading_zeros_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(ORDERS.encode()))
    elif name.endswith(".parquet"):
        pl.read_csv(ORDERS.encode(), infer_schema=False).with_columns(pl.col("qty").cast(pl.Int64)).write_parquet(path)
    else:
        path.write_text("\ufeff" + ORDERS, encoding="utf-8")
    assert read(path).interactions.to_dicts() == [
        {"user_id": "007", "item_id": "0815", "timestamp": datetime(2024, 1, 2, 10), "quantity": 2.0, "price": 1.5},
        {"user_id": "8", "item_id": "0816", "timestamp": datetime(2024, 1, 3, 11, 30), "quantity": 1.0, "price": None},
    ]


def test_a_glob_reads_all_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for day in (2, 1):
        (tmp_path / f"day{day}.csv").write_text(f"user_id,item_id,timestamp\nu{day},i,2024-01-0{day}\n")
    assert read(tmp_path / "day*.csv", {}).interactions["user_id"].to_list() == ["u1", "u2"]


def test_without_an_items_table_the_catalogue_is_what_was_bought(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(ORDERS)
    assert read(tmp_path / "o.csv").items["item_id"].to_list() == ["0815", "0816"]


def test_of_users_only_mapped_columns_are_taken_and_the_others_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "o.csv").write_text(ORDERS)
    (tmp_path / "u.csv").write_text("customer,age,email\n007,40,a@b.c\n")
    with caplog.at_level(logging.INFO):
        users = TableFiles(path=str(tmp_path / "u.csv"), columns={"user_id": "customer", "age": "age"})
        assert read(tmp_path / "o.csv", users=users).users.to_dicts() == [{"user_id": "007", "age": "40"}]
    assert caplog.messages == [f"{tmp_path / 'u.csv'}: columns ['email'] are not mapped and ignored."]


def products(folder: Path, text: str, **columns: str) -> TableFiles:
    (folder / "o.csv").write_text(ORDERS)
    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop" / "products.csv").write_text(text)
    return TableFiles(path=str(folder / "shop" / "products.csv"), columns={"item_id": "sku", **columns})


def with_items(folder: Path, items: TableFiles, *attributes: str) -> Dataset:
    orders = TableFiles(path=str(folder / "o.csv"), columns=COLUMNS)
    return sources.read(FilesSource(interactions=orders, items=items, attributes=attributes), Windows())


def test_items_have_a_description_a_picture_beside_their_file_and_the_attributes_that_are_named(tmp_path: Path) -> None:
    text = "sku,title,about,photo,colour,fabric,margin\n0815,Top,Short.,pictures/a.jpg,red,cotton,3\n0816,Shirt,,,,wool,4\n"
    items = products(tmp_path, text, description="about", image="photo")
    assert with_items(tmp_path, items, "colour", "fabric").items.to_dicts() == [
        {"item_id": "0815", "title": "Top", "description": "Short.", "image": str(tmp_path / "shop" / "pictures" / "a.jpg")}
        | {"colour": "red", "fabric": "cotton"},
        {"item_id": "0816", "title": "Shirt", "description": None, "image": None, "colour": None, "fabric": "wool"},
    ]


def test_an_attribute_may_be_called_otherwise_in_the_file(tmp_path: Path) -> None:
    items = products(tmp_path, "sku,Farbe\n0815,rot\n", colour="Farbe")
    assert with_items(tmp_path, items, "colour").items.to_dicts() == [{"item_id": "0815", "colour": "rot"}]


def test_an_attribute_that_the_file_lacks_is_named_with_the_nearest_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column 'color' .* is missing.* Did you mean 'colour'\? Correct `source\.attributes`"):
        with_items(tmp_path, products(tmp_path, "sku,colour\n0815,red\n"), "color")


def test_an_attribute_is_a_further_column_of_an_items_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.attributes: 'brand' is a column of ours"):
        with_items(tmp_path, products(tmp_path, "sku,brand\n0815,x\n"), "brand")
    with pytest.raises(ConfigError, match=r"say in `source\.items` where that is"):
        read(tmp_path / "o.csv", attributes=("colour",))
    with pytest.raises(ConfigError, match=r"'fabric' is not a column of items.*goes into `source\.attributes`"):
        with_items(tmp_path, products(tmp_path, "sku,cloth\n0815,x\n", fabric="cloth"))


@pytest.mark.parametrize(
    "path", ["https://shop.example/a.jpg", "data:image/png;base64,AAAA", "../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "."]
)
def test_a_picture_from_elsewhere_is_refused_with_row_and_value(tmp_path: Path, path: str) -> None:
    items = products(tmp_path, f"sku,image\n0815,a.jpg\n0816,{path!r}\n".replace("'", '"'))
    with pytest.raises(DataError, match="1 of 2 values are no path below the file's own folder") as raised:
        with_items(tmp_path, items)
    assert f"row 1: {path!r}" in str(raised.value)
    assert raised.value.rows == (1,)
    assert raised.value.table == "items"


def test_a_path_that_stays_below_the_items_file_is_taken_however_it_is_written(tmp_path: Path) -> None:
    full = tmp_path / "shop" / "c.jpg"
    items = products(tmp_path, f"sku,image\n1,./a.jpg\n2,x/../b.jpg\n3,{full}\n4, \n")
    names = [
        None if path is None else Path(path).relative_to(tmp_path / "shop").name for path in with_items(tmp_path, items).items["image"]
    ]
    assert names == ["a.jpg", "b.jpg", "c.jpg", None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02", datetime(2024, 1, 2)),
        ("2024/01/02 10:05", datetime(2024, 1, 2, 10, 5)),
        ("2024-01-02T10:05:06.25", datetime(2024, 1, 2, 10, 5, 6, 250_000)),
        ("2024-01-02T10:05:06Z", datetime(2024, 1, 2, 10, 5, 6)),
        ("2024-01-02 10:05:06+02:00", datetime(2024, 1, 2, 10, 5, 6)),
        ("20240102", datetime(2024, 1, 2)),
        ("1704189906", datetime(2024, 1, 2, 10, 5, 6)),
        ("1704189906500", datetime(2024, 1, 2, 10, 5, 6, 500_000)),
    ],
)
def test_a_time_is_understood_as_it_is_usually_written(tmp_path: Path, text: str, expected: datetime) -> None:
    (tmp_path / "o.csv").write_text(f"user_id,item_id,timestamp\nu,i,2024-05-05 01:02:03\nu,i,{text}\n")
    assert read(tmp_path / "o.csv", {}).interactions["timestamp"].to_list() == [datetime(2024, 5, 5, 1, 2, 3), expected]


def test_times_of_another_pattern_need_time_format_and_the_message_says_so(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("user_id,item_id,timestamp\nu,i,02.01.2024\nu,i,2024-01-03\n")
    error = fault(path, {})
    assert "column 'timestamp', 1 of 2 values are not an ISO date" in str(error)
    assert "row 0: '02.01.2024'" in str(error)
    assert "time_format" in str(error)
    path.write_text("user_id,item_id,timestamp\nu,i,02.01.2024\n")
    files = TableFiles(path=str(path), time_format="%d.%m.%Y")
    assert sources.read(FilesSource(interactions=files), Windows()).interactions["timestamp"].to_list() == [datetime(2024, 1, 2)]


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=20))
def test_epoch_seconds_survive_the_way_through_text(seconds: list[int]) -> None:
    from cortex_rec.sources.column_types import convert

    # Eight digits are read as a day, so a moment of 1970 to 1973 cannot be given in seconds.
    seconds = [moment for moment in seconds if len(str(moment)) != 8]
    frame = pl.DataFrame({"t": [str(moment) for moment in seconds]}, schema={"t": pl.String})
    times = frame.select(convert("t", pl.String(), pl.Datetime("us"), None))["t"]
    assert times.dt.epoch("s").to_list() == seconds


def test_a_missing_mapped_column_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(ORDERS.replace("sku", "SKU_ID"))
    assert "column 'sku' (our 'item_id') is missing. The file has ['customer', 'SKU_ID'" in str(fault(tmp_path / "o.csv"))
    (tmp_path / "o.csv").write_text(ORDERS.replace("customer", "customers"))
    assert "Did you mean 'customers'? Set `source.interactions.columns.user_id`." in str(fault(tmp_path / "o.csv"))


def test_another_separator_is_recognised_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(ORDERS.replace(",", ";"))
    assert "set `source.interactions.separator: ';'`" in str(fault(tmp_path / "o.csv"))


def test_a_misspelt_column_of_ours_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(ORDERS)
    with pytest.raises(ConfigError, match=r"'usr_id' is not a column of interactions. Did you mean 'user_id'"):
        read(tmp_path / "o.csv", {"usr_id": "customer"})


def test_values_of_a_wrong_type_are_named_with_row_and_value(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(ORDERS + "9,0817,2024-01-04,two,1\n9,0817,2024-01-05,3,inf\n")
    error = fault(tmp_path / "o.csv")
    assert "column 'qty', 1 of 4 values are not a number" in str(error)
    assert "row 2: 'two'" in str(error)
    assert error.rows == (2,)


def test_a_column_type_that_cannot_be_an_id_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [["a"]], "item_id": ["i"], "timestamp": ["2024-01-01"]}).write_parquet(tmp_path / "o.parquet")
    assert "column 'user_id' is List(String), expected text or a whole number" in str(fault(tmp_path / "o.parquet", {}))


def test_ids_that_pandas_made_floats_are_whole_again_and_fractions_are_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [17.0, None], "item_id": [1, 2], "timestamp": [datetime(2024, 1, 1)] * 2})
    frame.write_parquet(tmp_path / "o.parquet")
    assert read(tmp_path / "o.parquet", {}).interactions["user_id"].to_list() == ["17", None]
    frame.with_columns(user_id=pl.Series([17.5, 18.0])).write_parquet(tmp_path / "o.parquet")
    assert "row 0: 17.5" in str(fault(tmp_path / "o.parquet", {}))


@pytest.mark.parametrize("name", ["o.csv", "o.parquet", "o.csv.gz"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert str(tmp_path / name) in str(fault(tmp_path / name))


def test_a_header_without_rows_has_nothing_to_learn_from(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(ORDERS.splitlines()[0] + "\n")
    assert "no row after the header" in str(fault(tmp_path / "o.csv"))


def test_a_truncated_gzip_is_named_with_the_last_whole_row(tmp_path: Path) -> None:
    lines = [ORDERS.splitlines()[0], *(f"{i},{i * 7919 % 1000},2024-01-02,1,2.5" for i in range(20_000))]
    packed = gzip.compress("\n".join(lines).encode())
    (tmp_path / "o.csv.gz").write_bytes(packed[: len(packed) // 2])
    assert "the gzip file is damaged or cut short after row" in str(fault(tmp_path / "o.csv.gz"))


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_parquet_is_named(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "o.parquet"
    pl.read_csv(ORDERS.encode(), infer_schema=False).write_parquet(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert "not a whole Parquet file" in str(fault(path))


def test_bytes_that_are_not_utf8_are_named_with_their_row(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_bytes(ORDERS.encode() + "9,caf\u00e9,2024-01-04,1,1\n".encode("latin-1"))
    error = fault(tmp_path / "o.csv")
    assert "row 2 is not UTF-8 (byte 0xe9" in str(error)
    assert "iconv" in str(error)
    assert error.rows == (2,)


def test_a_row_with_too_many_fields_is_named(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(ORDERS + "9,a,b,2024-01-04,1,1\n")
    error = fault(tmp_path / "o.csv")
    assert "row 2 has 6 fields, the header has 5" in str(error)


def test_a_file_that_is_not_there_and_a_format_that_is_unknown_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\*\.csv: no such file"):
        read(tmp_path / "nowhere*.csv")
    (tmp_path / "o.xlsx").write_bytes(b"PK")
    assert "expected .csv, .csv.gz or .parquet" in str(fault(tmp_path / "o.xlsx"))


def test_lightgcn_lists_end_on_one_day_with_one_item_a_day_before(tmp_path: Path) -> None:
    from cortex_rec.config import LightGCNTextSource

    with gzip.open(tmp_path / "train.txt.gz", "wb") as file:
        file.write(b"0 5 6 7\n1\n2 6\n")
    source = LightGCNTextSource(folder=str(tmp_path))
    interactions = sources.read(source, Windows()).interactions
    assert interactions.rows() == [
        ("0", "5", datetime(1999, 12, 30)),
        ("0", "6", datetime(1999, 12, 31)),
        ("0", "7", datetime(2000, 1, 1)),
        ("2", "6", datetime(2000, 1, 1)),
    ]
    assert list(fingerprint(source)) == ["interactions 0"]
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"0 5\n" * 9999)[:30])
    with pytest.raises(DataError, match="cut short"):
        sources.read(source, Windows())
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"0\n1\n"))
    with pytest.raises(DataError, match="no line has a user and an item"):
        sources.read(source, Windows())
    with pytest.raises(DataError, match=r"neither train\.txt nor"):
        sources.read(LightGCNTextSource(folder=str(tmp_path / "x")), Windows())


def test_campaigns_and_their_coupons_are_read_with_a_shops_own_names(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "sent.csv").write_text("mailing,customer,from,until\nspring,007,2024-01-02,2024-01-16\n")
    (tmp_path / "vouchers.csv").write_text("mailing,sku\nspring,0815\n")
    names = {"campaign_id": "mailing", "user_id": "customer", "start": "from", "end": "until"}
    campaigns = TableFiles(path=str(tmp_path / "sent.csv"), columns=names)
    coupons = TableFiles(path=str(tmp_path / "vouchers.csv"), columns={"campaign_id": "mailing", "item_id": "sku"})
    found = read(tmp_path / "orders.csv", campaigns=campaigns, coupons=coupons)
    assert found.campaigns.rows() == [("spring", "007", datetime(2024, 1, 2), datetime(2024, 1, 16))]
    assert found.coupons.rows() == [("spring", "0815")]
    assert read(tmp_path / "orders.csv").campaigns.is_empty()
    with pytest.raises(ConfigError, match="give both or neither"):
        read(tmp_path / "orders.csv", coupons=coupons)
