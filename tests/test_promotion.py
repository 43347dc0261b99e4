"""The decision of the promotion gate, on planted outcomes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged import ragged

from cortex_rec.arrays import F64
from cortex_rec.config import Promotion
from cortex_rec.errors import ArtifactError
from cortex_rec.releases import promotion
from cortex_rec.releases.promotion import Decision, Guard, Performance

USERS = 300
MARGINS = Promotion()
AT_RELEASE = (0.5, USERS)


def performance() -> Performance:
    """Everybody has an NDCG@10 of .5 on the mean; half of them bought something new, a third are light users."""
    rng = np.random.default_rng(0)
    ndcg = np.tile([0.3, 0.5, 0.7], USERS // 3)
    new = np.where(np.arange(USERS) % 2 == 0, 0.2, np.nan)
    light = np.where(np.arange(USERS) < USERS // 3, ndcg, np.nan)
    shown = ragged(*(sorted(rng.choice(100, 10, replace=False).tolist()) for _ in range(USERS)))
    return Performance(ndcg, new, light, shown, 100, np.full(100, 20.0), 40 * 2**20)


CHAMPION = performance()


def judged(challenger: Performance, champion: Performance = CHAMPION, margins: Promotion = MARGINS) -> dict[str, Guard]:
    guards = promotion.judge(champion, challenger, AT_RELEASE, margins, samples=200, seed=1)
    return {guard.name: guard for guard in guards}


def decided(challenger: Performance, champion: Performance = CHAMPION) -> Decision:
    return promotion.decide("new", "old", list(judged(challenger, champion).values()))


def lower(values: F64, share: float) -> F64:
    return values * (1 - share)


def test_an_equal_release_is_promoted_and_nothing_about_it_is_uncertain() -> None:
    decision = decided(CHAMPION)
    assert decision.promoted
    assert decision.told() == "Production is new, this release: not worse than old on 8 guards."
    assert decision.why == "not worse than old on 8 guards"
    assert [guard.outcome for guard in decision.guards] == ["holds"] * 8
    assert all((guard.change, guard.low, guard.high) == (0, 0, 0) for guard in decision.guards if guard.low is not None)


def test_a_better_release_is_promoted() -> None:
    better = replace(CHAMPION, ndcg=CHAMPION.ndcg * 1.2, milliseconds=CHAMPION.milliseconds / 2, bytes=CHAMPION.bytes // 2)
    decision = decided(better)
    assert decision.promoted
    assert decision.guards[0].change == pytest.approx(0.2)


WORSE = {
    "ndcg@10": replace(CHAMPION, ndcg=lower(CHAMPION.ndcg, 0.031)),
    "new items": replace(CHAMPION, new_items=lower(CHAMPION.new_items, 0.26)),
    "light users": replace(CHAMPION, light_users=lower(CHAMPION.light_users, 0.11)),
    "coverage": replace(CHAMPION, shown=ragged(*[list(range(10))] * USERS)),
    "latency, ms": replace(CHAMPION, milliseconds=CHAMPION.milliseconds * 1.51),
    "size, MiB": replace(CHAMPION, bytes=int(CHAMPION.bytes * 1.51)),
}


@pytest.mark.parametrize("name", WORSE)
def test_each_guard_alone_stops_a_release_and_says_so(name: str) -> None:
    decision = decided(WORSE[name])
    assert not decision.promoted
    assert decision.told().startswith(f"Production stays old; new is kept as a candidate: {name}: ")
    assert decision.told().endswith("`cortex-rec releases promote new --why …`.")
    assert [guard.name for guard in decision.guards if not guard.passed] == [name]
    assert decision.why.startswith(f"{name}: ")


WITHIN = {
    "ndcg@10": replace(CHAMPION, ndcg=lower(CHAMPION.ndcg, 0.029)),
    "new items": replace(CHAMPION, new_items=lower(CHAMPION.new_items, 0.24)),
    "light users": replace(CHAMPION, light_users=lower(CHAMPION.light_users, 0.09)),
    "latency, ms": replace(CHAMPION, milliseconds=CHAMPION.milliseconds * 1.49),
    "size, MiB": replace(CHAMPION, bytes=int(CHAMPION.bytes * 1.49)),
}


@pytest.mark.parametrize("name", WITHIN)
def test_what_is_worse_within_the_margin_stops_nothing(name: str) -> None:
    assert decided(WITHIN[name]).promoted


@pytest.mark.parametrize(("factor", "promoted"), [(0.74, False), (0.76, True), (1.24, True), (1.26, False)])
def test_a_window_in_which_production_is_unlike_itself_promotes_nothing(factor: float, promoted: bool) -> None:
    both = replace(CHAMPION, ndcg=CHAMPION.ndcg * factor)
    decision = decided(both, both)
    assert decision.promoted == promoted
    assert promoted or "window's ndcg@10: 0.5 to" in decision.why


@pytest.mark.parametrize(("asked", "promoted"), [(220, False), (230, True)])
def test_a_window_of_far_fewer_users_promotes_nothing(asked: int, promoted: bool) -> None:
    part = np.arange(asked)
    both = replace(CHAMPION, ndcg=np.full(asked, 0.5), new_items=CHAMPION.new_items[part], light_users=CHAMPION.light_users[part])
    assert decided(both, both).promoted == promoted


def test_a_difference_that_the_users_cannot_tell_is_called_uncertain_and_stops() -> None:
    rng = np.random.default_rng(3)
    noisy = replace(CHAMPION, ndcg=CHAMPION.ndcg + rng.permutation(np.repeat([-0.3, 0.3], USERS // 2)))
    guard = judged(noisy)["ndcg@10"]
    assert guard.change == pytest.approx(0)
    assert guard.low is not None
    assert guard.low < -MARGINS.ndcg
    assert guard.outcome == "uncertain"
    assert "all that 300 can tell is -" in decided(noisy).why


def test_the_interval_is_the_paired_bootstrap_of_the_relative_difference() -> None:
    """The same users are drawn for both, so that a gain which is the same share for everybody is known exactly, whoever is drawn."""
    ndcg = np.random.default_rng(4).random(USERS)
    guard = judged(replace(CHAMPION, ndcg=ndcg * 1.1), replace(CHAMPION, ndcg=ndcg))["ndcg@10"]
    assert guard.low == pytest.approx(0.1) == guard.high

    other = np.random.default_rng(5).random(USERS)
    found = judged(replace(CHAMPION, ndcg=other), replace(CHAMPION, ndcg=ndcg))["ndcg@10"]
    generator = np.random.default_rng(1)
    changes = []
    for _ in range(200):
        drawn = generator.integers(0, USERS, USERS)
        changes.append(other[drawn].mean() / ndcg[drawn].mean() - 1)
    assert found.change == pytest.approx(other.mean() / ndcg.mean() - 1, abs=1e-6)
    assert (found.low, found.high) == pytest.approx(np.quantile(changes, [0.025, 0.975]), abs=1e-6)


def test_a_slice_that_nobody_is_in_stops_nobody_but_without_any_user_nothing_is_promoted() -> None:
    nobody = np.full(USERS, np.nan)
    empty = replace(CHAMPION, new_items=nobody)
    assert judged(empty, empty)["new items"].outcome == "nobody"
    assert decided(empty, empty).promoted
    none = Performance(np.zeros(0), np.zeros(0), np.zeros(0), ragged(), 100, np.zeros(0), CHAMPION.bytes)
    decision = decided(none, none)
    assert not decision.promoted
    assert "ndcg@10: there is nobody to judge by" in decision.why


def test_what_production_never_finds_cannot_get_worse() -> None:
    never = replace(CHAMPION, new_items=CHAMPION.new_items * 0)
    assert judged(CHAMPION, never)["new items"].outcome == "holds"
    assert judged(never, never)["new items"].outcome == "holds"
    assert judged(never, CHAMPION)["new items"].outcome == "worse"


def test_a_margin_is_what_the_configuration_says() -> None:
    worse = WORSE["ndcg@10"]
    assert not judged(worse)["ndcg@10"].passed
    assert judged(worse, margins=Promotion(ndcg=0.05))["ndcg@10"].passed


def test_a_decision_is_read_as_it_was_written(tmp_path: Path) -> None:
    decision, path = decided(WORSE["coverage"]), promotion.decision_file(tmp_path, "new")
    decision.save(path)
    assert Decision.load(path) == decision
    path.write_text("{}")
    with pytest.raises(ArtifactError, match="cortex-rec train"):
        Decision.load(path)
