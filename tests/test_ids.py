"""Ids to rows and back; ragged lists; their files."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_rec.arrays import NO_ROW, Ragged, load_arrays, owners, pointers, ranges, save_arrays
from cortex_rec.errors import ArtifactError
from cortex_rec.ids import IdMap

TEXTS = st.lists(st.text(max_size=5), max_size=20)


def test_rows_are_in_ascending_order_of_the_ids_whatever_the_columns_order() -> None:
    ids = IdMap.of(pl.Series(["b", None, "a"]), pl.Series(["c", "a"]))
    assert ids.external([0, 1, 2]) == ["a", "b", "c"]


def test_a_few_ids_are_looked_up_as_many_are_without_a_join(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = IdMap.of(pl.Series(["a", "b", "c"]))
    asked = ["b", "x", "c", "b"]
    many = ids.rows(asked * 1_000)
    monkeypatch.delattr(pl.DataFrame, "join")
    few = ids.rows(asked)
    assert few.dtype == many.dtype == np.int32
    assert few.tolist() == many[:4].tolist() == [1, NO_ROW, 2, 1]
    assert (ids.rows([]).tolist(), ids.rows([]).dtype) == ([], np.int32)


def test_numbers_become_text_ids() -> None:
    assert IdMap.of(pl.Series([10, 9])).external([0, 1]) == ["10", "9"]


def test_an_unknown_or_missing_id_has_no_row() -> None:
    ids = IdMap.of(pl.Series(["a", "b"]))
    assert ids.rows(pl.Series(["b", "x", None, "a", "b"])).tolist() == [1, NO_ROW, NO_ROW, 0, 1]
    assert (ids.row("b"), ids.row("x")) == (1, NO_ROW)


def test_no_ids_have_no_rows() -> None:
    rows = IdMap.of(pl.Series(["a"])).rows([])
    assert rows.shape == (0,)
    assert rows.dtype == np.int32


@given(TEXTS, TEXTS)
def test_every_id_comes_back_from_its_row(known: list[str], asked: list[str]) -> None:
    ids = IdMap.of(pl.Series(known, dtype=pl.String))
    assert ids.external(ids.rows(known)) == known
    assert ids.rows(asked).tolist() == [ids.row(text) for text in asked]
    assert [row == NO_ROW for row in ids.rows(asked)] == [text not in known for text in asked]


@pytest.mark.parametrize("ids", [pl.Series(["a", "a"]), pl.Series(["a", None]), pl.Series([1, 2])])
def test_ids_that_are_not_a_bijection_are_refused(ids: pl.Series) -> None:
    with pytest.raises(ArtifactError, match="unique, non-null text"):
        IdMap(ids)


def test_a_saved_map_is_the_same_and_a_damaged_file_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "ids.parquet"
    IdMap.of(pl.Series(["b", "a"])).save(path)
    assert IdMap.load(path).external([0, 1]) == ["a", "b"]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=r"ids\.parquet: cannot be read as an id map"):
        IdMap.load(path)


def test_a_list_of_a_ragged_array_is_its_own_slice() -> None:
    lists = Ragged(pointers(np.array([2, 0, 1])), np.array([7, 8, 9], np.int32))
    assert [lists[i].tolist() for i in range(len(lists))] == [[7, 8], [], [9]]
    assert lists.owner.tolist() == [0, 0, 2]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6))
def test_a_ragged_array_made_from_owners_holds_the_lists(lists: list[list[int]]) -> None:
    owner = np.array([i for i, items in enumerate(lists) for _ in items], np.int64)
    made = Ragged.from_owner(owner, np.array([item for items in lists for item in items], np.int64), len(lists))
    assert [made[i].tolist() for i in range(len(made))] == lists
    assert owners(made.pointer).tolist() == owner.tolist()


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 5)), max_size=6))
def test_ranges_are_the_positions_of_slices_one_after_the_other(slices: list[tuple[int, int]]) -> None:
    starts, counts = (np.array([pair[side] for pair in slices], np.int64) for side in (0, 1))
    assert ranges(starts, counts).tolist() == [at for start, count in slices for at in range(start, start + count)]


def test_saved_arrays_keep_values_and_types_and_the_file_does_not_depend_on_their_order(tmp_path: Path) -> None:
    left, right = {"a": np.arange(3, dtype=np.int32), "b": np.array([True, False])}, tmp_path / "right"
    save_arrays(tmp_path / "left", left)
    save_arrays(right, {"b": left["b"], "a": left["a"][::-1][::-1]})
    assert right.read_bytes() == (tmp_path / "left").read_bytes()
    loaded = load_arrays(right)
    assert {name: (value.dtype, value.tolist()) for name, value in loaded.items()} == {
        name: (value.dtype, value.tolist()) for name, value in left.items()
    }


@pytest.mark.parametrize("content", [b"", b"no arrays at all", None])
def test_a_missing_or_damaged_file_of_arrays_names_itself(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.safetensors: cannot be read"):
        load_arrays(path)
