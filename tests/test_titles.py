"""Looking up an item by id or by words of its title."""

import numpy as np
import polars as pl
import pytest

from cortex_rec.ids import IdMap
from cortex_rec.titles import Titles

TITLES = ["Oat milk, 1 l", "Whole MILK, 1 l", "Milk chocolate", "Bread", ""]


@pytest.fixture
def titles() -> Titles:
    items = IdMap(pl.Series(["a1", "a2", "a3", "a4", "milk"]))
    return Titles(items, [title.lower() for title in TITLES], np.array([5, 9, 5, 1, 0]))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("chocolate", [2]),
        ("1 l milk", [1, 0]),
        ("Bre", [3]),
        ("a4", [3]),
        ("milk", [4, 1, 0, 2]),
        ("cheese", []),
        ("", [1, 0, 2, 3, 4]),
    ],
)
def test_all_words_must_be_there_the_best_sold_is_first_and_an_id_stands_before_all(titles: Titles, text: str, rows: list[int]) -> None:
    assert titles.search(text, 10) == (rows, len(rows))


def test_no_more_than_asked_for_are_given_but_all_are_counted(titles: Titles) -> None:
    assert titles.search("milk", 2) == ([4, 1], 4)
