"""Two evaluations side by side: the same users, the difference and its paired interval."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from judged import history, judged, ragged, release_of
from typer.testing import CliRunner

from cortex_rec.cli import app
from cortex_rec.errors import ArtifactError, DataError
from cortex_rec.evaluation.compare import PER_USER, compare, per_user, read
from cortex_rec.ids import IdMap

USERS = IdMap(pl.Series(["ann", "bob", "cat", "dan"], dtype=pl.String))


def test_every_user_s_figures_are_kept_with_null_where_there_is_nothing_to_judge() -> None:
    table = per_user(judged(), USERS)
    assert table["user_id"].to_list() == ["ann", "bob", "cat", "dan"]
    assert table["test_week"].unique().to_list() == ["53"]
    assert table["activity"].to_list() == ["medium_users", "light_users", "heavy_users", "light_users"]
    assert table["recall@20"].to_list() == [1, 0.5, 0.5, 0]
    # Ann bought 2 for the first time and it was listed; -1 was new to Bob and cannot be; 4 is Cat's and listed; 5 is Dan's and not.
    assert table["new_items recall@20"].to_list() == [1, 0, 1, 0]
    assert table["repeat_items recall@20"].to_list() == [1, 1, 0, None]


def test_the_difference_is_the_mean_over_users_of_the_second_less_the_first() -> None:
    worse = replace(judged(), ranked=ragged([1, 2, 3], [0, 2], [2, 3, 4], [0, 1]))
    rows = compare(per_user(judged(), USERS), per_user(worse, USERS))
    (recall,) = [row for row in rows if (row["slice"], row["metric"]) == ("all", "recall@20")]
    assert (recall["users"], recall["first"], recall["second"]) == (4, 0.5, 0.25)
    assert recall["difference"] == -0.25
    # Two of four users lose one half each: a mean of resamples lies between -1/2 and 0.
    assert -0.5 <= recall["low"] <= recall["difference"] <= recall["high"] <= 0
    assert [row["slice"] for row in rows if row["metric"] == "ndcg@10"] == [
        "all", "new_items", "repeat_items", "light_users", "medium_users", "heavy_users",
    ]  # fmt: skip


def test_the_interval_is_paired_so_equal_systems_differ_by_exactly_nothing() -> None:
    table = per_user(judged(), USERS)
    assert all((row["difference"], row["low"], row["high"]) == (0, 0, 0) for row in compare(table, table.reverse()))


def test_other_users_or_another_week_cannot_be_compared() -> None:
    table = per_user(judged(), USERS)
    with pytest.raises(DataError, match="different users, 4 and 3 with 3 in common"):
        compare(table, table.head(3))
    with pytest.raises(DataError, match=r"different windows, \['53'\] and \['52'\].*windows.end"):
        compare(table, table.with_columns(test_week=pl.lit("52")))


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=PER_USER):
        read(tmp_path)
    (tmp_path / PER_USER).write_bytes(b"PAR1 and no more")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read(tmp_path)


def test_a_slice_that_nobody_is_in_has_no_row() -> None:
    alike = replace(judged(), history=history([0], [1], [3], [0]))
    rows = compare(per_user(alike, USERS), per_user(alike, USERS))
    assert {row["slice"] for row in rows} == {"all", "new_items", "repeat_items", "light_users"}
    json.dumps(rows, allow_nan=False)


def test_the_command_line_prints_the_rows_as_json_and_as_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path) -> None:
        (folder / "report").mkdir()
        per_user(judged(), USERS).write_parquet(folder / "report" / PER_USER)

    made = release_of(tmp_path, write)
    monkeypatch.setattr("flows.run.run_evaluate", lambda config: made.path / "report")
    done = CliRunner().invoke(app, ["compare", made.id, "tomorrow.yaml", "--releases", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert (found["first"], found["second"]) == (made.id, "tomorrow.yaml")
    assert {row["difference"] for row in found["rows"]} == {0}
    assert np.isfinite(found["rows"][0]["low"])
    shown = CliRunner().invoke(app, ["compare", made.id, "candidate", "--releases", str(tmp_path)])
    assert shown.exit_code == 0
    assert "new items" in shown.output
