"""What people have brought is counted from exposures and events as one would by hand, and what is wrong with them is told."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from cortex_rec.arrays import DAY
from cortex_rec.errors import DataError
from cortex_rec.events.exposures import SCHEMA, Exposure
from cortex_rec.events.protocol import Event
from cortex_rec.experiments import page
from cortex_rec.experiments.analysis import analyse
from cortex_rec.experiments.config import Experiment
from cortex_rec.experiments.outcomes import events_table, outcomes

ARMS = [{"name": "A", "release": "r1", "share": 0.5}, {"name": "B", "release": "r2", "share": 0.5}]
EXPERIMENT = Experiment.model_validate({"name": "test", "salt": "t", "arms": ARMS, "days": 3})
MONDAY = 1_514_764_800
SHOWN = Exposure("", MONDAY, "", "", "r", "test", "", ("x", "y", "z"), (), (), (), (), (), "")


def user_of(arm: str, number: int = 0) -> str:
    """The id of some user whom the hash puts there."""
    return [user for user in (f"u{i}" for i in range(10_000)) if EXPERIMENT.label_of(user) == arm][number]


def frame(*shown: Exposure) -> pl.DataFrame:
    return pl.DataFrame([asdict(each) for each in shown], SCHEMA)


def shown(impression: str, user: str, after: int, **more: Any) -> Exposure:
    return replace(SHOWN, impression=impression, user=user, time=MONDAY + after, arm=more.pop("arm", EXPERIMENT.label_of(user)), **more)


def event(number: int, kind: str, user: str, item: str, after: int, impression: str = "", price: float = 2.0) -> Event:
    return Event(str(number), kind, user, item, MONDAY + after, impression=impression, price=price)  # type: ignore[arg-type]


def test_each_day_has_what_was_bought_from_the_answers_that_were_shown() -> None:
    one, other = user_of("A"), user_of("B")
    exposures = frame(
        shown("a", one, 100), shown("b", one, DAY + 5), shown("c", other, DAY + 50), replace(SHOWN, experiment="another", user="x")
    )
    happened = events_table(
        [
            event(1, "purchase", one, "x", 200, "a"),
            event(2, "purchase", one, "x", 300, "a"),  # the same item of the same answer again
            event(3, "purchase", one, "q", 300, "a"),  # was not shown
            event(4, "purchase", one, "y", DAY + 10, "b"),
            event(5, "click", one, "y", DAY + 9, "b"),
            event(6, "purchase", other, "x", 10, "c"),  # on the day before the first exposure
            event(7, "purchase", other, "z", DAY + 60, "c"),
            event(8, "purchase", other, "z", DAY + 60, "a"),  # names somebody else's answer
            event(9, "hide", other, "z", 2 * DAY, "c"),
            event(10, "purchase", other, "y", 3 * DAY, "c"),  # after the end
        ]
    )
    found = outcomes(EXPERIMENT, exposures, happened, until=MONDAY + 3 * DAY)
    at = {user: place for place, user in enumerate(found.users)}
    assert (found.start, found.warnings) == (MONDAY, ())
    assert found.arm[at[one]] == 0
    assert found.arm[at[other]] == 1
    assert found.days[[at[one], at[other]]].tolist() == [[1, 2, 3], [0, 1, 2]]
    assert {name: table[[at[one], at[other]]].tolist() for name, table in found.by_day.items()} == {
        "bought": [[1, 1, 0], [0, 1, 0]],
        "clicks": [[0, 1, 0], [0, 0, 0]],
        "spend": [[6, 2, 0], [0, 4, 0]],
        "lines": [[3, 1, 0], [0, 2, 0]],
        "hides": [[0, 0, 0], [0, 0, 1]],
    }


def test_an_interleaved_purchase_is_credited_to_the_team_that_gave_the_item() -> None:
    both = Experiment.model_validate({"name": "test", "salt": "s", "arms": ARMS, "kind": "interleaving"})
    exposures = frame(shown("a", "u1", 100, arm="interleaved", teams=("A", "B", "A")))
    happened = events_table(
        [event(1, "purchase", "u1", "y", 200, "a"), event(2, "purchase", "u1", "x", 200, "a"), event(3, "click", "u1", "z", 99, "a")]
    )
    found = outcomes(both, exposures, happened)
    assert {name: table.tolist() for name, table in found.by_day.items()} == {"bought": [[0]], "clicks": [[-1]]}


def test_a_changed_salt_is_told_and_people_of_two_arms_are_left_out() -> None:
    one, other, third = user_of("A"), user_of("B"), user_of("A", 1)
    exposures = frame(shown("a", one, 1), shown("b", one, 2, arm="B"), shown("c", other, 3, arm="A"), shown("d", third, 3))
    found = outcomes(EXPERIMENT, exposures, events_table([]))
    assert set(found.users) == {other, third}
    assert "1 of 3 people were in more than one arm and are left out: the salt or the shares were changed" in found.warnings[0]
    assert "1 of 3 people had another arm than this file gives them" in found.warnings[1]
    assert "No event follows an exposure" in found.warnings[2]


def test_what_cannot_be_reported_on_is_named() -> None:
    with pytest.raises(DataError, match=r"nobody was exposed\. Experiments in these exposures: another"):
        outcomes(EXPERIMENT, frame(replace(SHOWN, experiment="another")), events_table([]))
    with pytest.raises(DataError, match="exposures are of arm 'C', and there are A, B"):
        outcomes(EXPERIMENT, frame(shown("a", "u", 1, arm="C")), events_table([]))


def trial(lift: float, *, n: int = 3_000, lost: float = 0.0, seed: int = 3, spend: float = 1.0) -> dict[str, Any]:
    """What is found in three days of people who click and buy at random; the second arm's buy more from what is shown."""
    rng = np.random.default_rng(seed)
    exposures, events = [], []
    for number in range(n):
        user = f"u{number}"
        arm = EXPERIMENT.label_of(user)
        if arm == "B" and rng.random() < lost:
            continue
        for day in range(3):
            impression = f"{user}-{day}"
            exposures.append(shown(impression, user, day * DAY + 60))
            if rng.random() < 0.3 * (1 + lift * (arm == "B")):
                price = spend if arm == "B" else 1.0
                events.append(event(len(events), "purchase", user, "x", day * DAY + 90, impression, price))
    found = outcomes(EXPERIMENT, frame(*exposures), events_table(events))
    before = rng.poisson(5, (len(found.users), 1)).astype(float)
    return analyse(EXPERIMENT, found, before, ["light" if number % 2 else "heavy" for number in range(len(found.users))])


def test_a_real_difference_is_found_and_told_and_no_difference_is_not() -> None:
    result = trial(0.4)
    (compared,) = result["comparisons"]
    assert (compared["verdict"], result["ratio"]["broken"], result["warnings"]) == ("better", False, [])
    primary = compared["metrics"][0]
    assert primary["low"] < 0.12 < primary["high"]
    assert primary["control"] == pytest.approx(0.3, abs=0.03)
    assert {row["slice"] for row in compared["slices"]} == {"light", "heavy"}
    assert all(row["holm"] < 0.05 for row in compared["slices"])
    assert "B is better than A, since day" in page.told(result, compared)
    nothing = trial(0.0)
    assert nothing["comparisons"][0]["verdict"] == "no difference found"
    assert page.told(nothing, nothing["comparisons"][0]) == "No difference found between B and A in the 3 days that were planned."


def test_no_verdict_is_given_where_people_are_lost_or_too_few() -> None:
    lost = trial(0.4, lost=0.2)
    assert lost["ratio"]["broken"]
    assert "No verdict until that is found" in lost["warnings"][0]
    assert lost["comparisons"][0]["verdict"] == "none"
    few = trial(0.4, n=60)
    assert few["comparisons"][0]["verdict"] == "none"
    assert "Fewer than 50 people in an arm" in few["warnings"][-1]


def test_a_broken_guardrail_is_told_with_the_win() -> None:
    result = trial(0.6, spend=0.1)
    (compared,) = result["comparisons"]
    assert compared["verdict"] == "better"
    assert compared["guardrails"]["spend"] == "broken"
    assert page.told(result, compared).endswith("But a guardrail is broken: spend.")


def test_the_page_is_whole_and_the_same_for_the_same_figures() -> None:
    result = trial(0.4)
    text = page.render(result)
    assert text == page.render(result)
    for told in ("B is better than A", "<svg", "People by arm", "By slice", "guardrail 5%"):
        assert told in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "Nothing can be said" in page.render(trial(0.4, n=60))
