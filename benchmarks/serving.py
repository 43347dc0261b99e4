"""The service under load: its answers' milliseconds beside those of its parts, feedback, and releases changed while shoppers ask.

`make bench NAME=serving`; needs `wrk` (Debian package of the same name). Everything runs on this machine's loopback, one after the other.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import faiss
import httpx
import numpy as np
import psutil
from threadpoolctl import threadpool_limits

from benchmarks.harness import CONFIG, OUT, ROOT, Benchmark
from cortex_rec.config import load_config
from cortex_rec.features.assemble import assemble
from cortex_rec.recommender import Recommender
from cortex_rec.releases import channels, store
from cortex_rec.releases.manifest import Contents
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request
from flows.run import run_train

N: Final = 20
#: Of each load with `wrk`, and how many households it asks for in turn.
SECONDS: Final = 20
HOUSEHOLDS: Final = 500
SWAPS: Final = 20
SWAP_RATE: Final = 200
#: Threads that ask at that rate together.
CLIENTS: Final = 8
CLIENTS_APART: Final = 1 / SWAP_RATE
EVENTS: Final = 20_000
BATCH: Final = 100
#: Libraries that only training needs; the answering process must not have loaded their code.
TRAINING_ONLY: Final = ("libtorch", "libdgl", "sentence_transformers")
#: Asks for one household after the other and prints what the shell cannot read from wrk's own report.
SCRIPT: Final = """
local users = {%s}
local at = 0
request = function()
  at = at %% #users + 1
  return wrk.format("POST", "/recommend", {["Content-Type"] = "application/json"}, '{"user_id": "' .. users[at] .. '", "n": %d}')
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "errors": %%d}\\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    url: str
    process: subprocess.Popen[bytes]
    ready_seconds: float

    @property
    def worker(self) -> psutil.Process:
        """The process that answers: the largest of its children."""
        children: list[psutil.Process] = psutil.Process(self.process.pid).children()
        return max(children, key=lambda child: child.memory_info().rss)


def main() -> None:
    """Print one row a load; trains the default release when none is there."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: `apt-get install wrk`, then run again.")
    seed = load_config(CONFIG).seed
    benchmark = Benchmark("serving", seed=seed)
    trained = store.open_release(
        OUT / "scoring", run_train(str(CONFIG), workspace=str(OUT / "complete-journey"), releases=str(OUT / "scoring"))
    )
    with tempfile.TemporaryDirectory() as folder:
        releases = Path(folder) / "releases"
        first, second = (republished(trained, releases, name) for name in ("one", "two"))
        point(releases, first)
        users = Recommender.load(first.path).data.users.external(np.random.default_rng(seed).permutation(2_000)[:HOUSEHOLDS])
        rows, candidates = kernel(first, users)
        with running(releases, Path(folder)) as service:
            loads = [wrk(service, users, connections) for connections in (1, 16)]
            rows += [{"method": f"POST /recommend, {each.pop('connections')}", "default": False, **each} for each in loads]
            rows[1] |= {"default": True, "kernel_ratio": round(rows[1]["p50_ms"] / rows[0]["p50_ms"], 2)}
            rows.append(feedback(service, users, first))
            rows.append(swapped(service, releases, (first, second), users))
            worker = service.worker
            facts = {"ready_seconds": round(service.ready_seconds, 1), "rss_mb": round(worker.memory_info().rss / 2**20)}
            mapped = {Path(entry.path).name for entry in worker.memory_maps()}
            facts["training_libraries"] = sorted(name for name in mapped if name.startswith(TRAINING_ONLY))
        rows.append(killed(releases, Path(folder), users, first))
    benchmark.finish(rows, n=N, candidates=candidates, **facts)


def republished(release: Release, root: Path, name: str) -> Release:
    """The same release under another name, and so with another id."""
    manifest = release.manifest
    contents = Contents(**{field: getattr(manifest, field) for field in Contents.model_fields if hasattr(manifest, field)} | {"name": name})

    def write(folder: Path) -> None:
        for file in manifest.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(release.path / file, folder / file)

    return store.publish(root, write, contents, {})


def point(releases: Path, release: Release) -> None:
    """Put a release into production."""
    channels.promote(releases, release.id, by="benchmark", why="serving", at=datetime.now(UTC))


def kernel(release: Release, users: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """What an answer cannot do without, in this process on one thread: retrieval, features and both models."""
    faiss.omp_set_num_threads(1)
    recommender = Recommender.load(release.path)
    taken, sizes = [], []
    with threadpool_limits(1):
        for user in users:
            queries = recommender.ask([Request(user=user)]).queries
            start = time.perf_counter()
            found = recommender.snapshot.union.retrieve(queries)
            recommender.ranker.score(assemble(queries, found, recommender.snapshot, recommender.data.catalogue))
            taken.append(1_000 * (time.perf_counter() - start))
            sizes.append(len(found.lists.item))
    low, high = np.percentile(taken, [50, 99])
    row = {"method": "kernel, in this process", "default": False, "p50_ms": round(float(low), 2), "p99_ms": round(float(high), 2)}
    return [row], int(np.median(sizes))


@contextmanager
def running(releases: Path, folder: Path) -> Iterator[Running]:
    """Serve until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    own = {"CORTEX_REC_RELEASES": str(releases), "CORTEX_REC_CACHE": str(folder / "compiled"), "CORTEX_REC_EVENTS": str(folder / "events")}
    variables = os.environ | own | {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "cortex_rec.cli", "serve", "--port", str(port)]
    url, start = f"http://127.0.0.1:{port}", time.perf_counter()
    with (folder / "service.log").open("ab") as log, subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=log) as process:
        try:
            wait_until_ready(url, process, folder / "service.log")
            yield Running(url, process, time.perf_counter() - start)
        finally:
            process.send_signal(signal.SIGTERM)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until the service says that it is ready; a minute at most."""
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    sys.exit(f"The service did not become ready:\n{log.read_text()}")


def wrk(service: Running, users: Sequence[str], connections: int) -> dict[str, Any]:
    """Answers for one household after the other over so many connections, first for a moment that is not counted."""
    script = SCRIPT % (", ".join(json.dumps(user) for user in users), N)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", "--timeout", "5s", "-s", file.name]
        for seconds in (3, SECONDS):
            done = subprocess.run([*command, f"-d{seconds}s", service.url], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    named = "1 connection" if connections == 1 else f"{connections} connections"
    milliseconds = {name: round(told[name], 2) for name in ("p50_ms", "p99_ms")}
    return {"connections": named, **milliseconds, "per_second": round(told["requests"] / told["seconds"], 1), "errors": told["errors"]}


def feedback(service: Running, users: Sequence[str], release: Release) -> dict[str, Any]:
    """Events in batches, each acknowledged before the next; then how soon an answer knows of one."""
    item = Recommender.load(release.path).data.items.external([0])[0]
    seconds, waits = [], []
    with httpx.Client(base_url=service.url, timeout=5) as client:
        for start in range(0, EVENTS, BATCH):
            events = [_event("click", users[(start + place) % len(users)], item) for place in range(BATCH)]
            begun = time.perf_counter()
            client.post("/feedback", json={"events": events}).raise_for_status()
            seconds.append(time.perf_counter() - begun)
        for user in users[:50]:
            body = {"user_id": user, "n": N, "explain": False}
            shown = client.post("/recommend", json=body).raise_for_status().json()["items"][0]["item_id"]
            client.post("/feedback", json={"events": [_event("hide", user, shown)]}).raise_for_status()
            begun = time.perf_counter()
            while shown in [each["item_id"] for each in client.post("/recommend", json=body).raise_for_status().json()["items"]]:
                if time.perf_counter() - begun > 5:
                    sys.exit(f"Item {shown} was hidden by user {user}, and is still recommended after 5 seconds.")
            waits.append(1_000 * (time.perf_counter() - begun))
    low, high = np.percentile(np.array(seconds) * 1_000, [50, 99])
    return {
        "method": f"POST /feedback, {BATCH} events each",
        "default": False,
        "p50_ms": round(float(low), 2),
        "p99_ms": round(float(high), 2),
        "events_per_second": round(EVENTS / sum(seconds)),
        "next_answer_ms": round(max(waits), 1),
    }


def swapped(service: Running, releases: Path, two: tuple[Release, Release], users: Sequence[str]) -> dict[str, Any]:
    """Change the release again and again while shoppers ask at a steady rate; an answer that none of the two gave is an error."""
    taken: list[float] = []
    errors, seen, stop = 0, set(), threading.Event()

    def ask(number: int) -> None:
        nonlocal errors
        with httpx.Client(base_url=service.url, timeout=5) as client:
            due = time.perf_counter() + number * CLIENTS_APART
            while not stop.is_set():
                stop.wait(max(0.0, due - time.perf_counter()))
                begun, due = time.perf_counter(), due + CLIENTS / SWAP_RATE
                try:
                    response = client.get(f"/api/recommend/{users[len(taken) % len(users)]}?n={N}")
                except httpx.TransportError:
                    errors += 1
                    continue
                taken.append(time.perf_counter() - begun)
                if response.status_code != 200:
                    errors += 1
                else:
                    seen.add(response.json()["release"])

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    begun = time.perf_counter()
    for client in clients:
        client.start()
    waits = []
    for swap in range(SWAPS):
        wanted = two[(swap + 1) % 2]
        start = time.perf_counter()
        point(releases, wanted)
        while httpx.get(f"{service.url}/version").json()["release"] != wanted.id:
            if time.perf_counter() - start > 60:
                sys.exit(f"Release {wanted.id} is not served a minute after it became the latest.")
            time.sleep(0.05)
        waits.append(time.perf_counter() - start)
    stop.set()
    for client in clients:
        client.join()
    low, high = np.percentile(np.array(taken) * 1_000, [50, 99])
    return {
        "method": f"{SWAPS} releases changed meanwhile",
        "default": False,
        "p50_ms": round(float(low), 2),
        "p99_ms": round(float(high), 2),
        "per_second": round(len(taken) / (time.perf_counter() - begun), 1),
        "errors": errors + len(seen - {release.id for release in two}),
        "swap_seconds": round(max(waits), 1),
    }


def killed(releases: Path, folder: Path, users: Sequence[str], release: Release) -> dict[str, Any]:
    """Kill the answering process in the middle of feedback and count what was acknowledged and is gone: as errors."""
    item = Recommender.load(release.path).data.items.external([0])[0]
    acknowledged: list[dict[str, Any]] = []
    with running(releases, folder) as service, httpx.Client(base_url=service.url, timeout=5) as client:
        worker = service.worker
        timer = threading.Timer(2, worker.kill)
        timer.start()
        while True:
            events = [_event("click", users[place], item) for place in range(BATCH)]
            try:
                client.post("/feedback", json={"events": events}).raise_for_status()
            except httpx.HTTPError:
                break
            acknowledged += events
    with running(releases, folder) as service, httpx.Client(base_url=service.url, timeout=5) as client:
        repeated = 0
        for start in range(0, len(acknowledged), BATCH):
            answer = client.post("/feedback", json={"events": acknowledged[start : start + BATCH]}).raise_for_status().json()
            repeated += answer["repeated"]
    return {
        "method": "killed in the middle of feedback",
        "default": False,
        "events": len(acknowledged),
        "errors": len(acknowledged) - repeated,
    }


def _event(kind: str, user: str, item: str) -> dict[str, str]:
    return {"event_id": uuid4().hex, "kind": kind, "user_id": user, "item_id": item}


if __name__ == "__main__":
    main()
