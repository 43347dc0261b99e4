"""Windows in time, and who is judged in one."""

from datetime import datetime

import numpy as np
import pytest
from purchases import bought, histories, moment

from cortex_rec.config import Windows
from cortex_rec.errors import ConfigError
from cortex_rec.splits import Window, check_buyers, distinct, truth, windows

# Days 0 to 27.5, so that the data end at midnight after day 27.
FOUR_WEEKS = histories(bought("u0", "a", 0), bought("u0", "b", 22), bought("u1", "a", 27.5))


def test_the_test_window_ends_at_the_midnight_after_the_last_purchase() -> None:
    training, test = windows(Windows(days=7, training=2), FOUR_WEEKS)
    assert test == Window(moment(21), moment(28))
    assert training == [Window(moment(7), moment(14)), Window(moment(14), moment(21))]
    assert test.label == "2024-01-22"


def test_an_end_in_the_configuration_moves_all_windows() -> None:
    training, test = windows(Windows(days=7, training=1, end=datetime(2024, 1, 24)), FOUR_WEEKS)
    assert (training[0].start, test.start, test.end) == (moment(9), moment(16), moment(23))


def test_a_purchase_on_the_last_second_of_a_day_ends_the_window_at_that_days_midnight() -> None:
    _, test = windows(Windows(days=1, training=1), histories(bought("u0", "a", 0), bought("u0", "a", 10 - 1 / 86_400)))
    assert test.end == moment(10)


@pytest.mark.parametrize(("days", "words"), [(1, "day of 2024-01-22"), (7, "week of 2024-01-22"), (28, "28 days from 2024-01-22")])
def test_a_window_says_its_length_in_words(days: int, words: str) -> None:
    assert Window(moment(21), moment(21 + days)).title == words


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Windows(days=7, training=3), "3 training windows of 7 days before the test window 2024-01-22 reach back to 2024-01-01"),
        (Windows(days=7, training=1, end=datetime(2023, 6, 1)), "the first purchase is of 2024-01-01"),
        (Windows(days=7, training=1, end=datetime(2025, 6, 1)), "no purchase lies in the test window 2025-05-25 to 2025-06-01"),
    ],
)
def test_impossible_windows_name_the_days_and_the_way_out(config: Windows, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        windows(config, FOUR_WEEKS)
    assert "`windows.end`" in str(caught.value)


def test_a_window_in_which_nobody_known_bought_is_named() -> None:
    training, test = windows(Windows(days=7, training=1), FOUR_WEEKS)
    check_buyers(FOUR_WEEKS, [test])
    with pytest.raises(ConfigError, match=r"nobody who had bought before 2024-01-15 bought in the week of 2024-01-15.*windows\.days"):
        check_buyers(FOUR_WEEKS, [*training, test])
    newcomers = histories(bought("u0", "a", 0), bought("u1", "a", 27.5))
    with pytest.raises(ConfigError, match="bought in the week of 2024-01-22"):
        check_buyers(newcomers, [test])


def test_judged_are_those_with_a_purchase_in_the_window_and_one_before_it() -> None:
    of = histories(
        bought("u0", "a", 1), bought("u0", "c", 8), bought("u0", "b", 8), bought("u0", "b", 9), bought("u0", "d", 14),
        bought("u1", "a", 8), bought("u2", "a", 1), bought("u3", "b", 7), bought("u3", "b", 2),
        users=("u0", "u1", "u2", "u3"),
    )  # fmt: skip
    users, items = truth(of, Window(moment(7), moment(14)))
    assert users.tolist() == [0, 3]
    assert [items[i].tolist() for i in range(2)] == [[1, 2], [1]]


def test_distinct_items_of_nobody_are_nothing() -> None:
    nothing = distinct(histories())
    assert [nothing[i].tolist() for i in range(2)] == [[], []]
    assert nothing.item.dtype == np.int32
