"""Items added beside the releases: kept whole, one writer at a time, and answered with at once."""

import multiprocessing
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cortex_rec.errors import ArtifactError, DataError, UnknownItem
from cortex_rec.releases import added, store


def kept(*ids: str, **more: str) -> pl.DataFrame:
    """As the embedding leaves them: words are (1, 2, 3), and there is no picture."""
    table = pl.DataFrame({"item_id": ids, **{name: [value] * len(ids) for name, value in more.items()}})
    return table.with_columns(
        pl.Series(added.TEXT, [[1.0, 2.0, 3.0]] * len(ids), pl.List(pl.Float32)),
        pl.Series(added.IMAGE, [[]] * len(ids), pl.List(pl.Float32)),
        pl.lit("minilm").alias(added.TEXT_MODEL),
        pl.lit("efficientnet-lite0").alias(added.IMAGE_MODEL),
    )


def test_before_anything_was_added_there_is_an_empty_table(tmp_path: Path) -> None:
    assert added.read(tmp_path / "nowhere").is_empty()


def test_what_was_added_is_read_in_its_order_with_its_vectors(tmp_path: Path) -> None:
    added.add(tmp_path, kept("b", title="Beer"))
    added.add(tmp_path, kept("a", "c", colour="red"))
    table = added.read(tmp_path)
    assert table.select("item_id", "title", "colour").rows() == [("b", "Beer", None), ("a", None, "red"), ("c", None, "red")]
    assert added.vectors(table, added.TEXT, 3).tolist() == [[1, 2, 3]] * 3
    assert added.vectors(table, added.IMAGE, 4).tolist() == [[0] * 4] * 3
    assert added.vectors(table, added.IMAGE, 0).shape == (3, 0)


def test_vectors_keep_their_bits(tmp_path: Path) -> None:
    vector = np.random.default_rng(1).normal(size=5).astype(np.float32)
    added.add(tmp_path, kept("a").with_columns(pl.Series(added.TEXT, [vector.tolist()], pl.List(pl.Float32))))
    assert added.vectors(added.read(tmp_path), added.TEXT, 5).tobytes() == vector.tobytes()


def test_an_item_cannot_be_added_twice(tmp_path: Path) -> None:
    added.add(tmp_path, kept("a"))
    with pytest.raises(DataError, match="item 'a' is in the catalogue already"):
        added.add(tmp_path, kept("b", "a"))
    assert added.read(tmp_path)["item_id"].to_list() == ["a"]


def test_a_removed_item_is_gone_and_can_be_added_again(tmp_path: Path) -> None:
    added.add(tmp_path, kept("a", "b"))
    added.remove(tmp_path, "a")
    assert added.read(tmp_path)["item_id"].to_list() == ["b"]
    added.add(tmp_path, kept("a"))
    assert added.read(tmp_path)["item_id"].to_list() == ["b", "a"]
    with pytest.raises(UnknownItem, match="item 'x' was not added"):
        added.remove(tmp_path, "x")


@pytest.mark.parametrize("damage", ["cut short", "another table"])
def test_a_damaged_table_is_named_and_left_as_it_is(tmp_path: Path, damage: str) -> None:
    added.add(tmp_path, kept("a"))
    path = tmp_path / added.ADDED / "items.parquet"
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:50])
    else:
        pl.DataFrame({"item_id": ["a"]}).write_parquet(path)
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=r"items.parquet: cannot be read .* add its items again"):
        added.add(tmp_path, kept("b"))
    assert path.read_bytes() == before


def _add(root: Path, first: int) -> None:
    for number in range(first, first + 10):
        added.add(root, kept(f"i{number}"))


def test_of_two_writers_at_once_neither_loses_an_item(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add, args=(tmp_path, first)) for first in (0, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert sorted(added.read(tmp_path)["item_id"]) == sorted(f"i{number}" for number in range(20))


def test_the_folder_of_added_items_is_no_release(tmp_path: Path) -> None:
    added.add(tmp_path, kept("a"))
    assert store.release_ids(tmp_path) == []
