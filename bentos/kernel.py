"""The one thread that computes answers, and the bounded queue before it."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import faiss

from bentos.problems import later
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Request, Slate

#: Requests that wait are answered together, so many at most: more of them share the fixed costs of an answer, and wait for each other.
TOGETHER: Final = 8


@dataclass(frozen=True)
class Job:
    """A computation, and who waits for it. Of equal `recommender`, requests are answered together; other work has a `call`."""

    done: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    asked_at: float
    recommender: Recommender | None
    request: Request | None
    call: Callable[[], Any] | None


class Kernel:
    """Computes one thing at a time, on one thread: two would fight for the interpreter's lock and answer less together.

    Parameters
    ----------
    queue
        How many may wait; one more is refused at once.
    wait_seconds
        How long one may wait before its turn; it is refused then, since whoever asked has most likely gone on.
    """

    def __init__(self, *, queue: int, wait_seconds: float) -> None:
        self.queue = queue
        self.wait_seconds = wait_seconds
        self._waiting: deque[Job] = deque()
        self._ready = threading.Condition()
        # A daemon: nothing that it computes is worth keeping a process that was told to end.
        threading.Thread(target=self._work, name="kernel", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    async def recommend(self, recommender: Recommender, request: Request) -> Slate:
        """Answer one request, together with others that wait; the answer is the same as alone."""
        slate: Slate = await self._queued(recommender, request, None)
        return slate

    async def run(self, call: Callable[[], Any]) -> Any:
        """Compute something else.

        Raises
        ------
        Refused
            With 503, when too many wait or this one waited too long.
        """
        return await self._queued(None, None, call)

    async def _queued(self, recommender: Recommender | None, request: Request | None, call: Callable[[], Any] | None) -> Any:
        if len(self._waiting) >= self.queue:
            raise later(f"{self.queue} questions wait already. Ask again in a second.", error="overloaded")
        loop = asyncio.get_running_loop()
        job = Job(loop.create_future(), loop, perf_counter(), recommender, request, call)
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
        together = jobs[0].recommender
        while together is not None and self._waiting and self._waiting[0].recommender is together and len(jobs) < TOGETHER:
            jobs.append(self._waiting.popleft())
        return jobs

    def _answer(self, jobs: list[Job]) -> None:
        now = perf_counter()
        late = [job for job in jobs if now - job.asked_at > self.wait_seconds]
        for job in late:
            _tell(job, later(f"Waited {self.wait_seconds:g} s for its turn. Ask again in a second.", error="overloaded"))
        jobs = [job for job in jobs if job not in late and not job.done.cancelled()]
        if len(jobs) > 1:
            try:
                slates = _recommend(jobs)
            except Exception:  # noqa: BLE001  (whose request it is comes out when each is asked alone)
                for job in jobs:
                    self._answer_one(job)
            else:
                for job, slate in zip(jobs, slates, strict=True):
                    _tell(job, slate)
        elif jobs:
            self._answer_one(jobs[0])

    def _answer_one(self, job: Job) -> None:
        try:
            answer = job.call() if job.call is not None else _recommend([job])[0]
        except Exception as error:  # noqa: BLE001  (raised where it is waited for)
            _tell(job, error)
        else:
            _tell(job, answer)


def _recommend(jobs: list[Job]) -> list[Slate]:
    recommender = jobs[0].recommender
    assert recommender is not None
    return recommender.recommend([job.request for job in jobs if job.request is not None])


def _tell(job: Job, result: Any) -> None:
    def settle() -> None:
        if job.done.cancelled():
            return
        if isinstance(result, Exception):
            job.done.set_exception(result)
        else:
            job.done.set_result(result)

    job.loop.call_soon_threadsafe(settle)
