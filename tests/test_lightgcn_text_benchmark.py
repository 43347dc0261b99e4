"""The benchmark of the LightGCN paper's files on a folder small enough to check by hand."""

from pathlib import Path

import pytest

from benchmarks.lightgcn_text import measured, read
from cortex_rec.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.txt").write_text("0 0 1\n1 0\n2 2 0\n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("0 2\n1 1 3\n2\n", encoding="utf-8")
    return tmp_path


def test_both_files_are_read_with_one_numbering(folder: Path) -> None:
    split = read(folder)
    assert split.n_items == 4
    assert [split.train[i].tolist() for i in range(3)] == [[0, 1], [0], [0, 2]]
    assert [split.test[i].tolist() for i in range(3)] == [[2], [1, 3], []]


def test_every_method_is_judged_over_all_items_by_the_users_of_test(folder: Path) -> None:
    row = measured(folder, "popularity", validation=False)
    assert row["recall@20"] == 1
    assert row["ndcg@20"] == pytest.approx((1 + (1 + 1 / 2) / (1 + 1 / 1.584963)) / 2, abs=1e-4)


def test_a_folder_without_the_files_says_which_one_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither train\.txt nor train\.txt\.gz is there"):
        read(tmp_path)
