"""The H&M layout: what its files become, and what is said of each way in which they can be wrong."""

import gzip
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortex_rec import sources
from cortex_rec.catalogue import Catalogue
from cortex_rec.config import HMSource, Windows, load_config
from cortex_rec.dataset import Dataset
from cortex_rec.encoding import encode
from cortex_rec.errors import DataError
from cortex_rec.people import People
from cortex_rec.sources.fingerprint import fingerprint
from cortex_rec.sources.known_by import known_by

SAMPLE = Path(__file__).parent.parent.parent / "shared" / "data" / "hm-sample"

ARTICLES = (
    "article_id,product_code,prod_name,product_type_no,product_type_name,colour_group_code,colour_group_name,department_no,"
    "department_name,index_code,index_name,index_group_no,index_group_name,section_no,section_name,detail_desc\n"
    "0108775015,0108775, Strap top ,253,Vest top,9,Black,1676,Jersey,A,Ladieswear,1,Ladieswear,16,Womens Basics,Narrow straps.\n"
    '0108775044,0108775,Strap top,253,Vest top,10,White,1676,Jersey,A,Ladieswear,1,Ladieswear,16,Womens Basics,"Narrow, long."\n'
    "0551080001,0551080,Body,256,Bodysuit,10,White,1717,Jersey,G,Baby Sizes,4,Baby,41,Baby Girl,\n"
)
#: a bought the black top twice and the white one once on a day, and the black one on the next; b the body, at two prices.
TRANSACTIONS = (
    "t_dat,customer_id,article_id,price,sales_channel_id\n"
    "2020-09-18,a,0108775015,0.02,1\n"
    "2020-09-18,a,0108775044,0.03,2\n"
    "2020-09-18,a,0108775015,0.02,2\n"
    "2020-09-19,b,0551080001,0.05,2\n"
    "2020-09-19,b,0551080001,0.04,2\n"
    "2020-09-19,a,0108775015,0.01,2\n"
)
CUSTOMERS = (
    "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n"
    "a,1.0,1.0,ACTIVE,Regularly,24,street\n"
    "b,,,PRE-CREATE,NONE,65,road\n"
    "c,,,,None,,way\n"
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The three files, and pictures of the white top and of an article that is not sold any more."""
    (tmp_path / "articles.csv").write_text(ARTICLES, encoding="utf-8")
    (tmp_path / "transactions_train.csv").write_text(TRANSACTIONS, encoding="utf-8")
    (tmp_path / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    for name in ("010/0108775044.jpg", "099/0999999001.jpg"):
        picture = tmp_path / "images" / name
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"a picture")
    return tmp_path


def read(folder: Path, *, images: bool = True) -> Dataset:
    return sources.read(HMSource(folder=str(folder), images=images), Windows())


def fault(folder: Path) -> str:
    with pytest.raises(DataError) as raised:
        read(folder)
    assert str(folder) in str(raised.value)
    return str(raised.value)


def test_pieces_of_one_article_customer_and_day_are_one_line_with_their_number(shop: Path) -> None:
    lines = read(shop).interactions
    assert lines.columns == ["user_id", "item_id", "timestamp", "quantity", "price"]
    assert [(*row[:4], round(row[4], 4)) for row in lines.rows()] == [
        ("a", "0108775015", datetime(2020, 9, 18), 2.0, 0.02),
        ("a", "0108775044", datetime(2020, 9, 18), 1.0, 0.03),
        ("b", "0551080001", datetime(2020, 9, 19), 2.0, 0.04),
        ("a", "0108775015", datetime(2020, 9, 19), 1.0, 0.01),
    ]


def test_a_customers_purchases_of_a_day_are_one_basket(shop: Path) -> None:
    histories = encode(read(shop)).histories
    assert histories.pointer.tolist() == [0, 3, 4]
    assert histories.basket.tolist() == [0, 0, 1, 0]


def test_words_groups_and_attributes_come_from_the_named_columns_and_no_number_repeats_a_name(shop: Path) -> None:
    first = read(shop).items.drop("image").to_dicts()[0]
    assert first == {
        "item_id": "0108775015",
        "title": "Strap top",
        "description": "Narrow straps.",
        "department": "Ladieswear",
        "category": "Womens Basics",
        "subcategory": "Womens Basics, Jersey",
        "product_code": "0108775",
        "product_type_name": "Vest top",
        "colour_group_name": "Black",
        "index_group_name": "Ladieswear",
    }


def test_departments_of_one_name_in_two_sections_are_two_subcategories_and_attributes_reach_the_catalogue(shop: Path) -> None:
    catalogue = Catalogue.of(read(shop).items)
    assert catalogue.codes["subcategory"].tolist() == [1, 1, 0]
    assert catalogue.codes["product_code"].tolist() == [0, 0, 1]
    assert catalogue.names["colour_group_name"] == ["Black", "White"]
    assert catalogue.descriptions == ["Narrow straps.", "Narrow, long.", ""]
    assert catalogue.images == ["", str(shop / "images" / "010" / "0108775044.jpg"), ""]


def test_customers_have_an_age_in_bands_that_ascend_and_no_postal_code(shop: Path) -> None:
    found = read(shop)
    assert found.users.to_dicts() == [
        {"user_id": "a", "age": "20-24", "club_member_status": "ACTIVE", "fashion_news_frequency": "regularly"},
        {"user_id": "b", "age": "65-69", "club_member_status": "PRE-CREATE", "fashion_news_frequency": "none"},
        {"user_id": "c", "age": None, "club_member_status": None, "fashion_news_frequency": "none"},
    ]
    assert People.of(found.users, encode(found).users).attributes["age"].tolist() == [0.0, 1.0]


def test_without_customers_nothing_is_known_of_them(shop: Path) -> None:
    (shop / "customers.csv").unlink()
    assert read(shop).users.shape == (0, 1)


def test_packed_files_read_as_plain_ones_do(shop: Path) -> None:
    plain = read(shop)
    for name in ("articles.csv", "transactions_train.csv", "customers.csv"):
        (shop / f"{name}.gz").write_bytes(gzip.compress((shop / name).read_bytes()))
        (shop / name).unlink()
    packed = read(shop)
    assert all(packed.tables()[name].equals(table) for name, table in plain.tables().items())


def test_an_absent_image_folder_means_no_pictures_and_so_does_not_wanting_them(shop: Path) -> None:
    assert "image" not in read(shop, images=False).items.columns
    for picture in list((shop / "images").rglob("*.jpg")):
        picture.unlink()
        picture.parent.rmdir()
    assert read(shop).items["image"].null_count() == 3
    (shop / "images").rmdir()
    assert "image" not in read(shop).items.columns


def test_a_new_picture_changes_the_fingerprint_and_a_file_outside_of_the_folders_does_not(shop: Path) -> None:
    source = HMSource(folder=str(shop))
    before = fingerprint(source)
    assert sorted(before) == ["articles.csv", "customers.csv", "images", "transactions_train.csv"]
    (shop / "images" / "readme.txt").write_text("")
    assert fingerprint(source) == before
    (shop / "images" / "010" / "0108775015.jpg").write_bytes(b"one more")
    assert {name for name, digest in fingerprint(source).items() if before[name] != digest} == {"images"}
    assert "images" not in fingerprint(HMSource(folder=str(shop), images=False))


def test_a_purchase_can_be_no_later_than_the_transactions_file(shop: Path) -> None:
    os.utime(shop / "transactions_train.csv", (0, datetime(2020, 9, 23, 12, tzinfo=UTC).timestamp()))
    assert known_by(HMSource(folder=str(shop))) == datetime(2020, 9, 25)


def test_an_article_that_was_bought_but_is_not_listed_is_kept_by_its_id_and_counted(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (shop / "transactions_train.csv").open("a") as file:
        file.write("2020-09-20,a,0999999001,0.1,1\n")
    with caplog.at_level(logging.WARNING):
        items = read(shop).items
    assert items.row(3, named=True) == dict.fromkeys(items.columns) | {"item_id": "0999999001"}
    assert caplog.messages == ["articles.csv lacks 1 articles that were bought, for example ['0999999001']; only their ids are known."]


def test_ids_that_lost_their_zeros_as_numbers_get_them_back_so_that_both_files_and_the_pictures_agree(shop: Path) -> None:
    (shop / "articles.csv").write_text(ARTICLES.replace("\n0", "\n").replace(",0108775,", ",108775,").replace(",0551080,", ",551080,"))
    items = read(shop).items
    assert items["item_id"].to_list() == ["0108775015", "0108775044", "0551080001"]
    assert items["product_code"].to_list() == ["0108775", "0108775", "0551080"]
    assert items["image"].null_count() == 2


@pytest.mark.parametrize("name", ["articles.csv", "transactions_train.csv"])
def test_a_missing_file_is_named(shop: Path, name: str) -> None:
    (shop / name).unlink()
    assert f"neither {name} nor {name}.gz is there. Correct `source.folder`" in fault(shop)


@pytest.mark.parametrize("name", ["articles.csv", "customers.csv", "transactions_train.csv"])
def test_an_empty_file_is_named(shop: Path, name: str) -> None:
    (shop / name).write_text("")
    assert f"{name}: the file is empty" in fault(shop)


def test_a_header_without_rows_has_nothing_to_learn_from(shop: Path) -> None:
    (shop / "transactions_train.csv").write_text(TRANSACTIONS.splitlines()[0] + "\n")
    assert "no row after the header" in fault(shop)


def test_a_missing_column_is_named_with_the_nearest_one(shop: Path) -> None:
    (shop / "articles.csv").write_text(ARTICLES.replace("detail_desc", "detail_descr"))
    assert "articles.csv: column 'detail_desc' of the H&M layout is missing." in fault(shop)
    assert "Did you mean 'detail_descr'?" in fault(shop)


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("transactions_train.csv", "2020-09-19,b", "2020-19-09,b", "'t_dat', 1 of 6 values are not a day such as 2020-09-22"),
        ("transactions_train.csv", "0.05", "cheap", "'price', 1 of 6 values are not a number"),
        ("customers.csv", "24", "young", "'age', 1 of 3 values are not a number"),
    ],
)
def test_a_value_that_is_none_is_named_with_its_row(shop: Path, name: str, old: str, new: str, told: str) -> None:
    text = (shop / name).read_text()
    (shop / name).write_text(text.replace(old, new, 1))
    row = text[: text.index(old)].count("\n") - 1
    assert told in fault(shop)
    assert f"row {row}: '{new[:10]}" in fault(shop)


def test_a_packed_file_that_was_cut_short_is_named(shop: Path) -> None:
    rows = "".join(f"2020-09-20,{i * 7919 % 1000},0108775015,0.{i:05},1\n" for i in range(20_000))
    packed = gzip.compress((TRANSACTIONS + rows).encode())
    (shop / "transactions_train.csv").unlink()
    (shop / "transactions_train.csv.gz").write_bytes(packed[: len(packed) // 2])
    assert "transactions_train.csv.gz: the gzip file is damaged or cut short after row" in fault(shop)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs ../shared/data/hm-sample, which may not be handed on")
def test_the_sample_is_read_whole_by_the_configuration_of_the_project() -> None:
    config = load_config(Path(__file__).parent.parent / "configs" / "hm.yaml")
    found = sources.read(config.source, config.windows)
    assert found.interactions["quantity"].sum() == 240_311
    assert found.interactions["user_id"].n_unique() == 68_984
    assert found.items.height == 17_986
    assert found.items["image"].count() == 10_543
    assert found.items["subcategory"].null_count() == 0
    assert found.items["item_id"].str.len_bytes().unique().to_list() == [10]
