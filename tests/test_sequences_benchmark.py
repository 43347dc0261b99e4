"""The benchmark of next-item files on one small enough to check by hand."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.sequences import measured, read
from cortex_rec.errors import DataError


def write(folder: Path, text: str) -> Path:
    (folder / "data.txt").write_text(text, encoding="utf-8")
    return folder / "data.txt"


def test_the_last_item_is_test_and_with_validation_the_last_but_one(tmp_path: Path) -> None:
    path = write(tmp_path, "u 1 2 3 4\nv 2 3\nw 3 1 2\n")
    split, validation = read(path, False), read(path, True)
    assert [split.train[i].tolist() for i in range(3)] == [[0, 1, 2], [1, 2], [2, 0]]
    assert [split.test[i].tolist() for i in range(3)] == [[3], [], [1]]
    assert [validation.train[i].tolist() for i in range(3)] == [[0, 1], [1, 2], [2, 0]]
    assert [validation.test[i].tolist() for i in range(3)] == [[2], [], []]


def test_every_item_is_ranked_but_those_of_a_history_when_none_occurs_twice(tmp_path: Path) -> None:
    lines = [f"{user} {' '.join(map(str, range(100, 110)))} {200 + user}" for user in range(3)]
    split = read(write(tmp_path, "\n".join(lines)), False)
    # The test items have never been seen: first are the ten items of the history, unless these are masked.
    row = measured(split, "popularity")
    assert (row["hr@10"], row["unmasked hr@10"]) == (1, 0)
    repeating = read(write(tmp_path, "\n".join([*lines, "9 100 100 101"])), False)
    row = measured(repeating, "popularity")
    assert row["hr@10"] == row["unmasked hr@10"] == pytest.approx(1 / 4)


def test_figures_are_those_of_the_rank_of_the_last_item(tmp_path: Path) -> None:
    row = measured(read(write(tmp_path, "u a b d\nv a c b\nw a b c\n"), False), "popularity")
    # Before the last items a occurs three times, b twice, c once: u is offered c and then d, v at once b and w at once c.
    assert row["hr@10"] == 1
    assert row["ndcg@10"] == pytest.approx((1 / np.log2(3) + 2) / 3, abs=1e-6)


def test_a_file_in_which_nobody_can_be_judged_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no line has 3 items or more"):
        read(write(tmp_path, "u 1 2\n"), False)
    with pytest.raises(DataError, match="no line has 4 items or more"):
        read(write(tmp_path, "u 1 2 3\n"), True)
