"""Attributes of people: their order, who has none, and what is absent."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from purchases import bought, ids, queries

from cortex_rec.arrays import NO_ROW, Ragged
from cortex_rec.features import person
from cortex_rec.people import People

NAN = pytest.approx(float("nan"), nan_ok=True)
TABLE = pl.DataFrame(
    {
        "user_id": ["u1", "u9", "u0"],
        "income": ["100-124K", "Under 15K", "35-49K"],
        "home": ["Renter", "Homeowner", None],
        "never filled in": [None, None, None],
    },
    schema_overrides={"never filled in": pl.String},
)


def test_values_ascend_by_the_number_in_them_and_else_by_their_letters() -> None:
    people = People.of(TABLE, ids("u0", "u1", "u2"))
    # Under 15K comes first though nobody who buys has it; u2 has no row.
    assert people.attributes["income"].tolist() == [1, 2, NAN]
    assert people.attributes["home"].tolist() == [NAN, 1, NAN]
    assert list(people.attributes) == ["home", "income"]


def test_every_candidate_of_a_user_has_the_users_attributes_and_strangers_have_none() -> None:
    asked = queries(bought("u0", "a", 1), day=2, users=(1, NO_ROW, 0))
    found = person.features(asked, Ragged(np.array([0, 2, 3, 4]), np.zeros(4, np.int32)), People.of(TABLE, ids("u0", "u1")))
    assert found["person_income"].tolist() == [2, 2, NAN, 1]
    assert found["person_home"].tolist() == [1, 1, NAN, NAN]


def test_a_shop_that_records_nothing_of_people_has_no_features_of_them() -> None:
    nobody = People.of(pl.DataFrame({"user_id": ["u0"]}), ids("u0", "u1"))
    assert person.features(queries(day=2), Ragged(np.zeros(3, np.int64), np.zeros(0, np.int32)), nobody) == {}


@pytest.mark.parametrize("table", [TABLE, TABLE.select("user_id")])
def test_saved_people_are_the_same(table: pl.DataFrame, tmp_path: Path) -> None:
    people = People.of(table, ids("u0", "u1"))
    people.save(tmp_path / "people.safetensors")
    again = People.load(tmp_path / "people.safetensors")
    assert list(again.attributes) == list(people.attributes)
    assert all(np.array_equal(values, people.attributes[name], equal_nan=True) for name, values in again.attributes.items())
