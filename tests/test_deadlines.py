"""What each stage of an answer takes is counted, and an answer that would come too late is finished with what there is."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import app_of
from starlette.testclient import TestClient

from bentos import kernel
from cortex_rec.finding import NOT_FURTHER
from cortex_rec.queries import Queries
from cortex_rec.recommender import WITHOUT_REASONS, Recommender
from cortex_rec.releases.store import Release
from cortex_rec.requests import Filters, Request
from cortex_rec.retrieval.union import REGISTRY
from cortex_rec.testing.release import small_release
from cortex_rec.watch import Stopwatch, Watch

STAGES = ["ask", "retrieve", "features", "rank", "rules", "explain"]
SLOW = "copurchase"
LATER = list(REGISTRY)[list(REGISTRY).index(SLOW) + 1 :]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("deadlines") / "releases")


@pytest.fixture
def client(release: Release, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(app_of(release.path.parent, tmp_path, deadline_ms=400)) as client:
        yield client


@dataclass
class Clock:
    """Time that passes only where a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The kernel's clock; retriever `SLOW` takes a second each time that it is asked."""
    clock, plain = Clock(), REGISTRY[SLOW].model.retrieve

    def slow(self: Any, queries: Queries, n: int) -> Any:
        clock.now += 1.0
        return plain(self, queries, n)

    monkeypatch.setattr(kernel, "perf_counter", clock)
    monkeypatch.setattr(REGISTRY[SLOW].model, "retrieve", slow)
    return clock


def counted(client: TestClient) -> Counter[str]:
    lines = (line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#"))
    return Counter({name: float(value) for name, value in lines})  # type: ignore[dict-item]


def test_each_stage_is_timed_once_for_who_asks_and_candidates_are_counted_by_who_proposed_them(
    client: TestClient, release: Release
) -> None:
    library = Recommender.load(release.path)
    before = counted(client)
    for user in ("h001", "h002", "nobody"):
        assert client.post("/recommend", json={"user_id": user}).json()["degraded"] == []
    client.post("/recommend/batch", json={"requests": [{"user_id": "h003"}, {"items": ["i004"]}]})
    client.get("/api/similar/i004")
    grown = counted(client)
    grown.subtract(before)

    times = {stage: grown[f'cortex_rec_stage_seconds_count{{stage="{stage}"}}'] for stage in ("wait", *STAGES)}
    assert times == {"wait": 5, **dict.fromkeys(STAGES, 4)}
    in_stages = sum(grown[f'cortex_rec_stage_seconds_sum{{stage="{stage}"}}'] for stage in ("wait", *STAGES))
    in_all = sum(value for name, value in grown.items() if name.startswith("cortex_rec_request_seconds_sum"))
    assert 0 < in_stages < in_all
    requests = [*map(Request, ("h001", "h002", "nobody", "h003")), Request(items=("i004",))]
    ranks = library.answer(requests).found.everything.ranks
    assert {name: grown[f'cortex_rec_candidates_total{{retriever="{name}"}}'] for name in REGISTRY} == dict(
        zip(library.snapshot.union.names, np.isfinite(ranks).sum(axis=0).tolist(), strict=True)
    )


def test_who_comes_after_the_deadline_is_left_out_and_the_answer_says_so_and_is_counted(client: TestClient, clock: Clock) -> None:
    answer = client.post("/recommend", json={"user_id": "h001", "n": 5}).json()
    late = [f"retriever {name!r} was not asked, the time was up" for name in LATER]
    assert answer["degraded"] == [*late, WITHOUT_REASONS]
    assert len(answer["items"]) == 5
    assert [item["reasons"] for item in answer["items"]] == [[]] * 5
    counts = counted(client)
    assert [counts[f'cortex_rec_degraded_total{{part="{part}"}}'] for part in (*late, "reasons")] == [1] * (len(late) + 1)
    assert counts[f'cortex_rec_candidates_total{{retriever="{SLOW}"}}'] > 0
    assert counts[f'cortex_rec_candidates_total{{retriever="{LATER[0]}"}}'] == 0


def test_each_request_that_one_caller_asks_at_once_has_its_own_time(client: TestClient, clock: Clock) -> None:
    def degraded(users: list[str]) -> list[bool]:
        asked = client.post("/recommend/batch", json={"requests": [{"user_id": user} for user in users]})
        return [bool(answer["degraded"]) for answer in asked.json()["answers"]]

    # A second in all: more than 0.8 for two, less than 1.2 for three.
    assert degraded(["h001", "h002"]) == [True, True]
    assert degraded(["h001", "h002", "h003"]) == [False] * 3


def test_without_a_deadline_all_are_asked(release: Release, tmp_path: Path, clock: Clock) -> None:
    with TestClient(app_of(release.path.parent, tmp_path, deadline_ms=0)) as client:
        assert client.post("/recommend", json={"user_id": "h001"}).json()["degraded"] == []


class After(Watch):
    """Late once a stage is done."""

    def __init__(self, stage: str) -> None:
        self.stage, self.over = stage, False

    def done(self, stage: str) -> None:
        self.over = self.over or stage == self.stage

    def late(self) -> bool:
        return self.over


def test_what_was_found_in_time_is_ranked_and_arranged_as_ever_only_reasons_are_left_out(recommender: Recommender) -> None:
    requests = [Request("h001"), Request("h002", explain=False)]
    usual, late = recommender.recommend(requests), recommender.recommend(requests, After("rank"))
    assert [slate.degraded for slate in late] == [(WITHOUT_REASONS,), ()]
    assert [[(item.item, item.score) for item in slate.items] for slate in late] == [
        [(item.item, item.score) for item in slate.items] for slate in usual
    ]
    assert all(item.reasons == () for slate in late for item in slate.items)
    assert all(item.reasons for item in usual[0].items)


class Ticking(Stopwatch):
    """A second passes with each look at it."""

    def __init__(self, patience: float) -> None:
        ticks = count()
        super().__init__(lambda: float(next(ticks)), patience)


def test_a_wider_look_that_would_come_too_late_is_told_of_only_where_it_was_needed(recommender: Recommender) -> None:
    union = replace(recommender.snapshot.union, sizes=dict.fromkeys(REGISTRY, 1))
    narrow = replace(recommender, snapshot=replace(recommender.snapshot, union=union))
    dairy = Filters(groups={"department": ("DAIRY",)})
    requests = [Request("h001", n=3, explain=False), Request("h002", n=10, filters=dairy, explain=False)]
    # `ask` is done and each retriever looks once, then the time is up; or one retriever more has looked by then.
    for patience, widened in ((len(REGISTRY) + 1.5, 0), (len(REGISTRY) + 3.5, 1)):
        usual, needy = narrow.recommend(requests, Ticking(patience))
        assert (len(usual.items), usual.degraded) == (3, ())
        assert (needy.widened, needy.degraded) == (widened, (NOT_FURTHER,))
        assert len(needy.items) < 10
    assert [(len(slate.items), slate.degraded) for slate in narrow.recommend(requests)] == [(3, ()), (10, ())]
