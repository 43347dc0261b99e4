"""Purchases that come block by block become the arrays that they become at once."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from cortex_rec import columns, sources
from cortex_rec.arrays import ArraysFile, save_arrays
from cortex_rec.config import FilesSource, LightGCNTextSource, TableFiles, Windows
from cortex_rec.dataset import Dataset, Stream, empty
from cortex_rec.encoding import encode, encode_stream
from cortex_rec.errors import DataError, EmptyTrainingSetError
from cortex_rec.folders import records
from cortex_rec.testing.shop import small_shop

SHOP = small_shop(5, users=23, weeks=4)


def encoded(dataset: Stream, folder: Path) -> Path:
    folder.mkdir()
    encode_stream(dataset, folder)
    return folder


@pytest.mark.parametrize("block", [1, 7, 60, 10_000])
def test_the_arrays_are_the_same_whatever_the_size_of_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    lines = SHOP.interactions.sample(min(8 * block, SHOP.interactions.height), shuffle=True, seed=1)
    shop = replace(SHOP, interactions=lines)
    whole = tmp_path / "whole"
    whole.mkdir()
    encode(shop).save(whole)
    for place in ("dataset", "encoding"):
        monkeypatch.setattr(f"cortex_rec.{place}.BLOCK", block)
    laid = tmp_path / "laid"
    laid.mkdir()
    shop.stream().save(laid)
    assert len(list((laid / "interactions").iterdir())) == -(-lines.height // block)
    assert records(encoded(Stream.load(laid), tmp_path / "blocks")) == records(whole)


def test_no_line_at_all_is_told(tmp_path: Path) -> None:
    none = Dataset(empty(columns.INTERACTIONS), SHOP.items, SHOP.users, SHOP.promotions)
    with pytest.raises(EmptyTrainingSetError, match="no row is left after the gates"):
        encoded(none.stream(), tmp_path / "a")
    (tmp_path / "laid").mkdir()
    none.save(tmp_path / "laid")
    assert Dataset.load(tmp_path / "laid").interactions.equals(none.interactions)


def test_arrays_written_piece_by_piece_are_the_file_that_is_written_at_once(tmp_path: Path) -> None:
    arrays = {
        "none": np.zeros(0, np.float32),
        "b": np.arange(5, dtype=np.int64),
        "a": np.arange(3, dtype=np.int32),
        "d": np.linspace(0, 1, 4, dtype=np.float32),
        "c": np.linspace(0, 1, 2),
    }
    save_arrays(tmp_path / "whole", arrays)
    file = ArraysFile(tmp_path / "pieces", {name: (array.dtype, len(array)) for name, array in arrays.items()})
    for name, array in arrays.items():
        for at in reversed(range(len(array))):
            file.write(name, at, array[at : at + 1])
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()
    assert load_file(tmp_path / "pieces")["d"].tolist() == arrays["d"].tolist()
    with pytest.raises(FileExistsError):
        ArraysFile(tmp_path / "pieces", {"a": (np.int32, 1)})


def test_files_with_other_columns_each_are_one_table_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.csv").write_text("user_id,item_id,timestamp\n" + "".join(f"u{i},x{i},2024-01-01\n" for i in range(5)))
    (tmp_path / "2.csv").write_text("item_id,user_id,timestamp,price\n" + "y,u7,2024-01-02,1.5\n" * 3)
    (tmp_path / "3.csv").write_text("user_id,item_id,timestamp,store_id\n")
    source = FilesSource(interactions=TableFiles(path=str(tmp_path / "*.csv")))
    whole = sources.read(source, Windows())
    monkeypatch.setattr("cortex_rec.sources.files.BLOCK", 2)
    made = sources.stream(source, Windows())
    blocks = list(made.blocks())
    assert max(block.height for block in blocks) <= 2
    assert pl.concat(blocks).equals(whole.interactions)
    assert whole.interactions.columns == ["user_id", "item_id", "timestamp", "price", "store_id"]
    assert whole.interactions["price"].to_list() == [None] * 5 + [1.5] * 3
    assert made.rest.items["item_id"].to_list() == ["x0", "x1", "x2", "x3", "x4", "y"]


def test_a_wrong_value_in_a_later_block_is_told_with_all_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortex_rec.sources.files.BLOCK", 2)
    rows = [f"u,x,2024-01-01,{price}\n" for price in ("1", "2", "3", "4", "cheap", "6", "7", "dear")]
    (tmp_path / "o.csv").write_text("user_id,item_id,timestamp,price\n" + "".join(rows))
    items = pl.DataFrame({"item_id": ["x"]})
    items.write_csv(tmp_path / "items.csv")
    tables = {name: TableFiles(path=str(tmp_path / path)) for name, path in (("interactions", "o.csv"), ("items", "items.csv"))}
    made = sources.stream(FilesSource(**tables), Windows())
    said = r"o.csv: column 'price', 2 of 8 values are not a number with a decimal point \(row 4: 'cheap', row 7: 'dear'"
    with pytest.raises(DataError, match=said):
        list(made.blocks())


def test_since_leaves_out_earlier_lines_of_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortex_rec.dataset.BLOCK", 10)
    monkeypatch.setitem(sources.READERS, "lightgcn_text", lambda source, windows: SHOP)
    start = SHOP.interactions[columns.TIMESTAMP].max()
    assert isinstance(start, datetime)
    later = sources.stream(LightGCNTextSource(folder="shop"), Windows(), since=start)
    assert later.whole().interactions.equals(SHOP.interactions.filter(pl.col(columns.TIMESTAMP) == start))


def test_rows_that_cannot_be_read_are_counted_in_the_file_however_late_the_first_line_is_that_is_asked_for(tmp_path: Path) -> None:
    times = [datetime(2024, 1, day) for day in range(1, 7)]
    lines = pl.DataFrame({"user_id": "ann", "item_id": "milk", "timestamp": times, "price": ["1", "2", "3", "4", "cheap", "6"]})
    lines.write_csv(tmp_path / "o.csv")
    made = sources.stream(FilesSource(interactions=TableFiles(path=str(tmp_path / "o.csv"))), Windows(), since=datetime(2024, 1, 6))
    assert [block.height for block in made.blocks()] == [1]
    with pytest.raises(DataError, match=r"1 of 6 values are not a number with a decimal point \(row 4: 'cheap'"):
        sources.stream(FilesSource(interactions=TableFiles(path=str(tmp_path / "o.csv"))), Windows(), since=datetime(2024, 1, 3)).whole()
