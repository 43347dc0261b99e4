"""How large the service's image is, part by part, and how soon a container of it answers.

`make bench NAME=image`; needs buildah, podman, runc and debootstrap (`make test-all` installs them), and root for debootstrap. Takes the
newest release of `releases`, and trains the default one when there is none. The image is removed from podman's storage again; its
files stay in `benchmarks/out/image`.
"""

import json
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.harness import CONFIG, OUT, ROOT, Benchmark
from cortex_rec.config import load_config
from cortex_rec.packaging import base
from cortex_rec.packaging.image import NAME, Image
from cortex_rec.recommender import Recommender
from cortex_rec.releases import store
from cortex_rec.testing.containers import Running, podman, running, storage
from flows.run import run_package, run_train

STARTS: Final = 5
PARTS: Final = {1: "base: Debian, Python", 2: "Python packages", 3: "their byte code"}


def main() -> None:
    """Build, start `STARTS` containers one after the other, and ask each."""
    benchmark = Benchmark("image", seed=load_config(CONFIG).seed)
    releases = ROOT / "releases"
    if not store.release_ids(releases):
        releases = OUT / "image" / "releases"
        run_train(str(CONFIG), workspace=str(OUT / "complete-journey"), releases=str(releases))
    (newest, *_) = store.release_ids(releases)
    user = Recommender.load(store.open_release(releases, newest).path).data.users.external([0])[0]
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as scratch, storage(Path(scratch) / "storage"):
        base.make()
        start = time.perf_counter()
        told = run_package(workspace=str(OUT / "image"), releases=str(releases), release=newest)
        seconds = time.perf_counter() - start
        image = Image.open(Path(str(told["files"])))
        taken = [_started(f"{NAME}:{image.tag}", user) for _ in range(STARTS)]
        later = _later(f"{NAME}:{image.tag}", user)
    rows: list[dict[str, Any]] = [{"method": name, "default": False, "compressed_mb": round(size / 1e6, 1)} for name, size in _parts(image)]
    figures = {name: round(median(each[name] for each in taken), 3) for name in taken[0]}
    rows.append(
        {"method": "image", "default": True, "compressed_mb": round(image.compressed_mb, 1), **figures, "later_answer_ms": round(later, 1)}
    )
    benchmark.finish(rows, release=newest, starts=taken, build_seconds=round(seconds, 1), **rows[-1])


def _parts(image: Image) -> list[tuple[str, int]]:
    base_size, packages, code, *rest = image.layers
    return [*zip(PARTS.values(), (base_size, packages, code), strict=True), ("bill, code and release", sum(rest))]


def _started(name: str, user: str) -> dict[str, float]:
    with running(name) as container:
        first = _asked(container, user)
        (told,) = json.loads(podman("stats", "--no-stream", "--format", "json", container.name))
    return {"ready_seconds": container.ready_seconds, "first_answer_ms": first, "memory_mb": float(told["mem_usage"].split("MB")[0])}


def _later(name: str, user: str) -> float:
    """Milliseconds of an answer that is not the first."""
    with running(name) as container:
        _asked(container, user)
        return median(_asked(container, user) for _ in range(20))


def _asked(container: Running, user: str) -> float:
    body = json.dumps({"user_id": user}).encode()
    start = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(f"{container.url}/recommend", body), timeout=10) as answer:
        answer.read()
    return 1_000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
