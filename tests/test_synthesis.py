"""Synthetic purchases: the same seed gives the same bytes, as many as asked for, in the likeness of the real year."""

import hashlib
from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cortex_rec import columns, sources
from cortex_rec.config import load_config
from cortex_rec.errors import ConfigError
from cortex_rec.synthesis import catalogue, households, write
from cortex_rec.synthesis.shape import Shape
from cortex_rec.synthesis.write import Size
from tests.command_line import cortex_rec

SIZE = Size(users=300, items=5_000, events=60_000)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "shop"
    write.write(SIZE, folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def lines(shop: Path) -> pl.DataFrame:
    return pl.read_parquet(shop / "interactions" / "*.parquet").sort(columns.TIMESTAMP, maintain_order=True)


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_the_same_numbers_give_the_same_bytes_with_any_number_of_threads_and_another_seed_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = Size(users=40, items=500, events=3_000)
    monkeypatch.setattr(write, "BLOCK", 1_000)
    for name, seed, threads in (("one", 1, 1), ("again", 1, 3), ("other", 2, 1)):
        write.write(size, tmp_path / name, seed=seed, threads=threads)
    first, again, other = (digests(tmp_path / name) for name in ("one", "again", "other"))
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_there_are_as_many_events_users_and_items_as_asked_for(shop: Path, lines: pl.DataFrame) -> None:
    assert lines.height == SIZE.events
    assert lines[columns.USER].n_unique() == pytest.approx(SIZE.users, rel=0.02)
    items = pl.read_parquet(shop / "items.parquet")
    assert items[columns.ITEM].sort().to_list() == list(range(1, SIZE.items + 1))
    assert lines[columns.ITEM].is_in(items[columns.ITEM].implode()).all()


def test_each_file_holds_the_purchases_of_its_day_in_the_order_of_time(shop: Path) -> None:
    files = sorted((shop / "interactions").iterdir())
    assert len(files) > 350
    for file in files:
        moments = pl.read_parquet(file)[columns.TIMESTAMP]
        assert moments.dt.date().unique().to_list() == [date.fromisoformat(file.stem)]
        assert moments.is_sorted()


def test_a_basket_has_one_household_one_moment_one_store_and_no_item_twice(lines: pl.DataFrame) -> None:
    one = lines.group_by(columns.BASKET).agg(pl.col(columns.USER, columns.TIMESTAMP, columns.STORE).n_unique())
    assert one.select(pl.col(columns.USER, columns.TIMESTAMP, columns.STORE).max()).row(0) == (1, 1, 1)
    assert not lines.select(columns.BASKET, columns.ITEM).is_duplicated().any()


def test_prices_and_discounts_are_those_of_an_item_and_a_week(lines: pl.DataFrame) -> None:
    assert lines[columns.PRICE].min() > 0  # type: ignore[operator]
    assert lines[columns.DISCOUNT].is_between(0, 1).all()
    assert 0.35 < (lines[columns.DISCOUNT] > 0).to_numpy().mean() < 0.65
    week = (pl.col(columns.TIMESTAMP) - datetime(2017, 1, 1)).dt.total_days() // 7
    assert lines.group_by(columns.ITEM, week.alias("week")).agg(pl.col(columns.PRICE).n_unique())[columns.PRICE].max() == 1


def test_few_items_make_most_purchases(lines: pl.DataFrame) -> None:
    counts = lines[columns.ITEM].value_counts(sort=True)["count"].to_numpy()
    assert counts[: len(counts) // 10].sum() > 0.5 * counts.sum()


def test_households_buy_again_after_a_usual_gap_and_more_so_late_in_the_year(lines: pl.DataFrame) -> None:
    before = pl.col(columns.TIMESTAMP).shift(1).over(columns.USER, columns.ITEM)
    told = lines.with_columns(gap=(pl.col(columns.TIMESTAMP) - before).dt.total_seconds() / 86_400)
    month = told.group_by(pl.col(columns.TIMESTAMP).dt.month().alias("month")).agg(pl.col("gap").is_not_null().mean()).sort("month")
    assert month["gap"][0] < 0.25
    assert 0.3 < month["gap"][10] < 0.6
    assert 10 < told["gap"].median() < 45  # type: ignore[operator]
    # A cycle: of habits, the spread of gaps within a pair is smaller than the spread among all.
    often = told.filter(pl.col("gap").is_not_null() & (pl.len().over(columns.USER, columns.ITEM) >= 6)).with_columns(pl.col("gap").log())
    within = often.select((pl.col("gap") - pl.col("gap").mean().over(columns.USER, columns.ITEM)).std()).item()
    assert within < 0.9 * often.select(pl.col("gap").std()).item()


def test_the_project_reads_it_with_the_config_beside_it(shop: Path) -> None:
    config = load_config(shop / "config.yaml")
    found = sources.read(config.source, config.windows)
    assert found.interactions.height == SIZE.events
    assert found.items.height == SIZE.items
    assert set(columns.INTERACTIONS) == set(found.interactions.columns)
    assert {columns.TITLE, columns.DEPARTMENT, columns.CATEGORY, columns.SUBCATEGORY} < set(found.items.columns)


def test_what_is_in_memory_at_once_does_not_grow_with_the_events() -> None:
    shape = Shape.load()
    for growth in (1, 10):
        size = write.sized(shape, None, None, growth * 3_000_000)
        plans = households.plan(shape, size.users, size.events, np.random.default_rng(0))
        cuts, ends = write._cuts(plans, size.events)
        assert np.diff(ends).max() < 1.1 * write.BLOCK
        assert np.diff(cuts).max() < write.BLOCK / write._IDLE
        assert ends[-1] == size.events
        assert cuts[-1] == size.users


def test_users_grow_with_the_events_and_items_with_their_square_root() -> None:
    shape = Shape.load()
    assert (shape.users, shape.items, shape.events) == (2_467, 91_701, 1_442_237)
    assert write.sized(shape, None, None, 4 * shape.events) == Size(4 * shape.users, 2 * shape.items, 4 * shape.events)
    assert write.sized(shape, 7, 50, 100) == Size(7, 50, 100)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0, None, None), "--users 0 is not above zero"),
        ((None, -3, None), "--items -3 is not above zero"),
        ((None, None, 0), "--events 0 is not above zero"),
        ((11, None, 10), "10 events are too few for 11 users"),
        ((None, 2**31, None), "cannot be numbered"),
    ],
)
def test_numbers_that_cannot_be_are_refused(numbers: tuple[int | None, int | None, int | None], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        write.sized(Shape.load(), *numbers)


def test_a_folder_with_something_in_it_is_left_alone_and_an_unfinished_one_is_never_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        write.write(Size(2, 10, 20), tmp_path / "full", seed=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(write, "_write_day", fail)
    with pytest.raises(OSError, match="gone"):
        write.write(Size(2, 10, 20), tmp_path / "new", seed=1)
    assert not (tmp_path / "new").exists()


def test_what_is_drawn_by_a_taste_follows_its_shares_and_stays_within_the_group() -> None:
    shape = Shape.load()
    goods = catalogue.make(shape, 4_000, np.random.default_rng(3))
    group = int(np.argmax(np.diff(goods.pointer)))
    low, high = goods.pointer[group], goods.pointer[group + 1]
    at = 5 * (len(goods.group) + 1)
    steps = np.diff(goods.ladder[at + low : at + high + 1])
    n = 200_000
    found = goods.draw(np.full(n, 5), np.full(n, low), np.full(n, high), np.random.default_rng(4).random(n))
    assert found.min() >= low
    assert found.max() < high
    np.testing.assert_allclose(np.bincount(found - low, minlength=high - low) / n, steps / steps.sum(), atol=0.01)


def test_the_command_line_makes_a_folder_and_says_what_is_wrong(tmp_path: Path) -> None:
    made = cortex_rec("synth", "--users", "20", "--items", "300", "--events", "1000", "--output", "shop", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "1,000 events of 20 users, 300 items listed" in made.stdout
    assert (tmp_path / "shop" / "config.yaml").is_file()
    again = cortex_rec("synth", "--events", "1000", "--output", "shop", folder=tmp_path)
    assert again.returncode == 1
    assert "ConfigError: shop: is there already and not empty" in again.stderr
    assert cortex_rec("synth", "--events", "-5", "--output", "x", folder=tmp_path).returncode == 1
