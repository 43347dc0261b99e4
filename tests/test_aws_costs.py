"""What AWS costs: the arithmetic by hand on round numbers, and the page's table is the command's."""

import re
from pathlib import Path

import pytest

from benchmarks.aws_costs import MEASURED, PRICES, SIZES, Measured, Size, lines

PAGE = Path(__file__).parents[1] / "docs" / "aws.md"
ROUND = Measured(release_gb=1, release_files=100, image_gb=1, warm_seconds=0.1, cold_seconds=10, answer_kb=1, log_kb=1)


def test_a_function_costs_its_seconds_its_requests_and_what_it_stores() -> None:
    told = lines(Size(1_000_000, cold_starts=1_000, function_gb=2, kept_releases=10, kept_images=2), ROUND)
    # (100,000 s warm + 10,000 s cold) x 2 GB
    assert told["function"] == pytest.approx(220_000 * 0.0000166667 + 0.20)
    # 10 GB kept and 30 GB of old versions; 100 files put in 30 nights, and read at 1,000 starts.
    assert told["releases"] == pytest.approx(40 * 0.023 + 100 * (30 * 0.000005 + 1_000 * 0.0000004))
    assert told["images"] == pytest.approx(0.20)
    assert (told["log"], told["answers out"]) == (pytest.approx(0.50), pytest.approx(0.09))
    assert told["tasks"] == told["balancer"] == told["redis"] == told["addresses"] == 0


def test_two_tasks_behind_a_balancer_with_redis() -> None:
    told = lines(Size(730_000_000, tasks=2, vcpu=1, task_gb=2, balanced=True, redis=True), ROUND)
    assert told["tasks"] == pytest.approx(730 * 2 * (0.04048 + 2 * 0.004445))
    # 730 GB in 730 hours is one unit; twice as much is two.
    assert told["balancer"] == pytest.approx(730 * (0.0225 + 0.008))
    assert lines(Size(1_460_000_000, tasks=2, balanced=True), ROUND)["balancer"] == pytest.approx(730 * (0.0225 + 0.016))
    assert told["redis"] == pytest.approx(730 * 0.017)
    assert told["addresses"] == pytest.approx(730 * 4 * 0.005)
    assert told["function"] == 0


def test_the_pages_table_is_what_the_command_prints() -> None:
    table = {row[0]: row[1:] for row in re.findall(r"^\| (.+?) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE.read_text(), re.MULTILINE)}
    costs = [lines(size, MEASURED) for size in SIZES.values()]
    assert {name: table[name] for name in costs[0]} == {name: tuple(f"{each[name]:.2f}" for each in costs) for name in costs[0]}
    assert table["**a month**"] == tuple(f"{sum(each.values()):.2f}" for each in costs)


def test_every_price_names_where_and_when_it_was_read() -> None:
    assert all(price.dollars > 0 and price.source for price in PRICES.values())
