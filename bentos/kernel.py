"""The one thread that computes answers, and the bounded queue before it."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, NamedTuple

import faiss

from bentos.metrics import Metrics
from bentos.problems import later
from bentos.settings import Settings
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Request, Slate
from cortex_rec.watch import Stopwatch

#: Requests that wait are answered together, so many at most: more of them share the fixed costs of an answer, and wait for each other.
TOGETHER: Final = 8


class Computed(NamedTuple):
    """Answers, and where the time went.

    Parameters
    ----------
    slates
        One a request.
    asked_at, begun_at
        By `time.perf_counter`: when they were asked for, and when their turn came.
    watch
        What each stage took. Requests that are answered together share it.
    together
        How many requests were answered together, of all who asked.
    """

    slates: list[Slate]
    asked_at: float
    begun_at: float
    watch: Stopwatch
    together: int


@dataclass(frozen=True, eq=False)
class Job:
    """A computation, and who waits for it: either a `call`, or `requests` to a `recommender`."""

    done: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    asked_at: float
    recommender: Recommender | None = None
    requests: Sequence[Request] = ()
    call: Callable[[], Any] | None = None


class Kernel:
    """Computes one thing at a time, on one thread: two would fight for the interpreter's lock and answer less together.

    Parameters
    ----------
    settings
        `queue`: how many may wait; one more is refused at once. `wait_seconds`: how long one may wait before its turn; it is refused
        then, since whoever asked has most likely gone on. `deadline_ms`: from the turn on; then answers are finished without what can
        be left out. Each request of one caller adds as much.
    metrics
        Told of what each stage took.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._waiting: deque[Job] = deque()
        self._ready = threading.Condition()
        # A daemon: nothing that it computes is worth keeping a process that was told to end.
        threading.Thread(target=self._work, name="kernel", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    async def recommend(self, recommender: Recommender, requests: Sequence[Request]) -> Computed:
        """Answer requests; a single one together with others that wait, with the same answer as alone.

        Raises
        ------
        Refused
            With 503, when too many wait or these waited too long.
        """
        computed: Computed = await self._queued(recommender=recommender, requests=requests)
        return computed

    async def run(self, call: Callable[[], Any]) -> Any:
        """Compute something else; raises as `recommend` does."""
        return await self._queued(call=call)

    async def _queued(self, **work: Any) -> Any:
        if len(self._waiting) >= self._settings.queue:
            raise later(f"{self._settings.queue} questions wait already. Ask again in a second.", error="overloaded")
        loop = asyncio.get_running_loop()
        job = Job(loop.create_future(), loop, perf_counter(), **work)
        with self._ready:
            self._waiting.append(job)
            self._ready.notify()
        return await job.done

    def _work(self) -> None:
        faiss.omp_set_num_threads(1)
        while True:
            with self._ready:
                while not self._waiting:
                    self._ready.wait()
                jobs = self._next()
            self._answer(jobs)
            # The last release must not be kept in memory by an idle loop's variables.
            del jobs

    def _next(self) -> list[Job]:
        """The first that waits, with the next ones that can be answered together with it."""
        jobs = [self._waiting.popleft()]
        while self._waiting and len(jobs) < TOGETHER and _alike(jobs[0], self._waiting[0]):
            jobs.append(self._waiting.popleft())
        return jobs

    def _answer(self, jobs: list[Job]) -> None:
        now = perf_counter()
        in_time = []
        for job in jobs:
            self._metrics.waited(now - job.asked_at)
            if now - job.asked_at > self._settings.wait_seconds:
                _tell(job, later(f"Waited {self._settings.wait_seconds:g} s for its turn. Ask again in a second.", error="overloaded"))
            elif not job.done.cancelled():
                in_time.append(job)
        if len(in_time) > 1:
            try:
                answers = self._recommend(in_time)
            except Exception:  # noqa: BLE001  (whose request it is comes out when each is asked alone)
                for job in in_time:
                    self._answer_one(job)
            else:
                for job, answer in zip(in_time, answers, strict=True):
                    _tell(job, answer)
        elif in_time:
            self._answer_one(in_time[0])

    def _answer_one(self, job: Job) -> None:
        try:
            answer = job.call() if job.call is not None else self._recommend([job])[0]
        except Exception as error:  # noqa: BLE001  (raised where it is waited for)
            _tell(job, error)
        else:
            _tell(job, answer)

    def _recommend(self, jobs: list[Job]) -> list[Computed]:
        recommender = jobs[0].recommender
        assert recommender is not None
        begun_at, requests = perf_counter(), [request for job in jobs for request in job.requests]
        # Who waits for others' requests waits no longer for it, who asks for many at once does.
        patience = self._settings.deadline_ms / 1_000 * max(len(job.requests) for job in jobs) or float("inf")
        watch = Stopwatch(perf_counter, patience)
        slates = iter(recommender.recommend(requests, watch))
        self._metrics.computed(watch, len(jobs))
        return [Computed([next(slates) for _ in job.requests], job.asked_at, begun_at, watch, len(requests)) for job in jobs]


def _alike(one: Job, other: Job) -> bool:
    """Whether two jobs are a single request each to the same recommender."""
    return len(one.requests) == len(other.requests) == 1 and one.recommender is other.recommender


def _tell(job: Job, result: Any) -> None:
    def settle() -> None:
        if job.done.cancelled():
            return
        if isinstance(result, Exception):
            job.done.set_exception(result)
        else:
            job.done.set_result(result)

    # A loop that is closed has nobody who waits.
    with contextlib.suppress(RuntimeError):
        job.loop.call_soon_threadsafe(settle)
