"""Who is shown what: arms by hash, lists drafted in turns, a little chance with exact probabilities."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from cortex_rec.errors import ConfigError
from cortex_rec.experiments.assignment import unit
from cortex_rec.experiments.config import Experiment, Exploration, load_experiment
from cortex_rec.experiments.exploration import explore, propensity
from cortex_rec.experiments.interleaving import team_draft

ARMS = [{"name": "A", "release": "production", "share": 0.5}, {"name": "B", "release": "candidate", "share": 0.5}]
WHOLE: dict[str, Any] = {"name": "test", "salt": "s1", "arms": ARMS}
USERS = [f"u{i}" for i in range(20_000)]


def test_arms_have_their_shares_and_depend_on_nothing_but_salt_and_user() -> None:
    arms = [{**ARMS[0], "share": 0.7}, {**ARMS[1], "share": 0.2}, {"name": "C", "release": "x", "share": 0.1}]
    experiment = Experiment.model_validate({**WHOLE, "arms": arms})
    labels = [experiment.label_of(user) for user in USERS]
    counts = Counter(labels)
    assert chisquare([counts[name] for name in "ABC"], [14_000, 4_000, 2_000]).pvalue > 0.001
    # Not the share of those with one arm who have it under another salt, which would tell that salts hang together.
    again = Experiment.model_validate({**WHOLE, "arms": arms, "salt": "s2"})
    both = sum(one == other == "A" for one, other in zip(labels, map(again.label_of, USERS), strict=True))
    assert binomtest(both, len(USERS), 0.49).pvalue > 0.001
    code = (
        "import json,sys;from cortex_rec.experiments.config import Experiment;"
        "e=Experiment.model_validate(json.loads(sys.argv[1]));print(''.join(e.label_of(f'u{i}') for i in reversed(range(200))))"
    )
    told = subprocess.run([sys.executable, "-c", code, experiment.model_dump_json()], capture_output=True, text=True, check=True).stdout
    assert list(told.strip()) == labels[:200][::-1]


def test_more_traffic_moves_nobody_to_another_arm() -> None:
    few, many = (Experiment.model_validate({**WHOLE, "traffic": share}) for share in (0.1, 0.6))
    before, after = ([experiment.label_of(user) for user in USERS] for experiment in (few, many))
    taking_part = [(one, other) for one, other in zip(before, after, strict=True) if one is not None]
    assert binomtest(len(taking_part), len(USERS), 0.1).pvalue > 0.001
    assert all(one == other for one, other in taking_part)
    # Who takes part tells nothing of the arm.
    assert binomtest(sum(one == "A" for one, _ in taking_part), len(taking_part), 0.5).pvalue > 0.001
    assert binomtest(sum(label is not None for label in after), len(USERS), 0.6).pvalue > 0.001
    assert Experiment.model_validate(WHOLE).label_of(None) is None
    assert Experiment.model_validate(WHOLE).label_of("") is None


def test_parts_of_a_hash_are_kept_apart() -> None:
    assert unit("ab", "c") != unit("a", "bc")
    assert unit("a", "b") == unit("a", "b")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"arms": [ARMS[0], {**ARMS[1], "share": 0.4}]}, "shares sum to 0.9, not to 1"),
        ({"arms": [ARMS[0], {**ARMS[1], "name": "A"}]}, "two arms are named 'A'"),
        ({"arms": [{**ARMS[0], "share": 1.0}]}, "one arm compares nothing"),
        ({"kind": "interleaving", "exploration": {"epsilon": 0.1}}, "exclude each other"),
        ({"kind": "interleaving", "arms": [{**ARMS[0], "share": 0.4}, {**ARMS[1], "share": 0.6}]}, "share of 0.5 each"),
        ({"kind": "interleaving", "arms": [{**ARMS[0], "name": "interleaved"}, ARMS[1]]}, "no arm can be named"),
        ({"arms": [ARMS[0], {**ARMS[1], "release": ""}]}, "`arms.1.release`"),
        ({"seed": 3}, "`seed` is not a known key; there are name, salt, arms"),
        ({"name": "my test"}, "`name`"),
        ({"exploration": {"epsilon": 0}}, "`exploration.epsilon`"),
        ({"salt": ""}, "`salt`"),
    ],
)
def test_a_file_that_asks_for_the_impossible_is_refused_by_name(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(WHOLE | change))
    with pytest.raises(ConfigError) as raised:
        load_experiment(file)
    assert told in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_experiment(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="got list"):
        load_experiment(tmp_path / "list.yaml")


def test_the_example_can_be_read() -> None:
    assert load_experiment(Path(__file__).parents[1] / "configs" / "experiments" / "candidate.yaml").kind == "ab"


@given(n=st.integers(1, 6), more=st.integers(-3, 5), epsilon=st.floats(0.01, 1))
def test_propensities_of_a_place_and_of_an_item_sum_to_one(n: int, more: int, epsilon: float) -> None:
    pool = max(1, n + more)
    places = min(n, pool)
    table = np.array([[propensity(place, rank, places, pool, epsilon) for rank in range(pool)] for place in range(places)])
    assert np.all(table >= -1e-12)
    assert np.allclose(table.sum(axis=1), 1)
    assert np.all(table.sum(axis=0) <= 1 + 1e-12)


@pytest.mark.parametrize(("n", "pool"), [(3, 5), (3, 3), (1, 4), (4, 2)])
def test_items_stand_at_places_as_often_as_their_propensities_say(n: int, pool: int) -> None:
    exploration, draws, seen = Exploration(epsilon=0.5), 40_000, Counter[tuple[int, int]]()
    for draw in range(draws):
        explored = explore(n, pool, exploration, "salt", str(draw))
        assert explored.propensities == tuple(propensity(place, rank, min(n, pool), pool, 0.5) for place, rank in enumerate(explored.ranks))
        seen.update(enumerate(explored.ranks))
    for place in range(min(n, pool)):
        for rank in range(pool):
            expected = propensity(place, rank, min(n, pool), pool, 0.5)
            assert binomtest(seen[place, rank], draws, min(1.0, max(0.0, expected))).pvalue > 1e-4, (place, rank)


def test_an_answer_is_repeatable_by_its_impression() -> None:
    one, same, other = (explore(5, 10, Exploration(epsilon=1), "salt", name) for name in ("a", "a", "b"))
    assert one == same != other


def test_teams_draft_in_turns_and_no_item_stands_twice() -> None:
    first, second = ["a", "b", "c", "d"], ["c", "a", "e", "f"]
    begun = Counter[int]()
    for number in range(2_000):
        items, teams = team_draft(first, second, 4, "salt", str(number))
        assert len(set(items)) == len(items) == 4
        # Each round has one of both.
        assert sorted(teams[:2]) == sorted(teams[2:]) == [0, 1]
        assert items[0] == (first, second)[teams[0]][0]
        for item, team in zip(items, teams, strict=True):
            assert item in (first, second)[team]
        begun[teams[0]] += 1
    assert binomtest(begun[0], 2_000, 0.5).pvalue > 0.001


def test_equal_rankings_credit_both_teams_alike_and_short_ones_are_used_up() -> None:
    same = ["a", "b", "c"]
    assert team_draft(same, same, 3, "s", "1")[0] == same
    items, teams = team_draft(["a"], ["a", "b", "c"], 5, "s", "1")
    assert (items, teams[1:]) == (["a", "b", "c"], [1, 1])
    assert team_draft([], [], 5, "s", "1") == ([], [])
