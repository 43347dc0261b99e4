"""The service as a Lambda function: how long a cold start from S3 takes, what a warm request takes, and how much memory it needs.

`make bench NAME=lambda-demo`; the release in production in `releases`, or that of `CORTEX_REC_RELEASES` and `CORTEX_REC_RELEASE`, is put
into moto's S3 on this machine. The real Runtime Interface Client asks a small Runtime API for work. What AWS adds is not in it: starting
the container, and the network between a function and S3.
"""

import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.harness import OUT, ROOT, Benchmark
from cortex_rec.ids import IdMap
from cortex_rec.releases import channels, store
from cortex_rec.releases.store import Release
from cortex_rec.testing.aws_server import REGION, AwsServer
from cortex_rec.testing.lambda_runtime import LambdaFunction, url_event

STARTS: Final = 3
REQUESTS: Final = 200
PLACE: Final = "s3://releases/demo"


def main() -> None:
    """Start a few times with an empty disk, then ask one started function for many users."""
    benchmark = Benchmark("lambda-demo", seed=0)
    OUT.mkdir(exist_ok=True)
    root, name = os.environ.get("CORTEX_REC_RELEASES", "releases"), os.environ.get("CORTEX_REC_RELEASE", "production")
    release = store.open_release(root, name)
    server = AwsServer()
    try:
        os.environ.update(server.variables())
        server.client("s3").create_bucket(Bucket="releases", CreateBucketConfiguration={"LocationConstraint": REGION})
        store.push(root, PLACE, release.id)
        channels.promote(PLACE, release.id, by="benchmark", why="measured", at=datetime.now(UTC))
        rows = [_measured(release, server, n) for n in range(STARTS)]
    finally:
        server.stop()
    benchmark.finish(rows, release=release.id, release_mb=_megabytes(release), requests=REQUESTS, starts=STARTS)


def _measured(release: Release, server: AwsServer, n: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        given = dict(os.environ) | {"PYTHONPATH": str(ROOT), "CORTEX_REC_RELEASES": PLACE, "CORTEX_REC_RELEASE": "production"}
        # A function has one core by default (cloudformation.yaml).
        given |= {"CORTEX_REC_CACHE": f"{folder}/tmp", "CORTEX_REC_LOG": "faults", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        function = LambdaFunction("lambda_handler.handler", ROOT / "deployments", given, Path(folder, "log"))
        try:
            cold_cpu = _cpu(function)
            (first, _), *asked = [_asked(function, user) for user in _users(release)]
            memory = psutil.Process(function.process.pid).memory_info().rss
            warm_cpu = _cpu(function) - cold_cpu
        finally:
            function.stop()
    taken, sizes = zip(*asked, strict=True)
    return {
        "method": f"start {n + 1}",
        "default": False,
        "cold_s": round(function.cold_seconds, 2),
        "cold_cpu_s": round(cold_cpu, 2),
        "first_ms": round(first, 1),
        "warm_p50_ms": round(float(np.percentile(taken, 50)), 1),
        "warm_p99_ms": round(float(np.percentile(taken, 99)), 1),
        "cpu_ms": round(1_000 * warm_cpu / (len(asked) + 1), 1),
        "resident_mb": round(memory / 2**20),
        "answer_kb": round(float(np.mean(sizes)) / 1e3, 2),
    }


def _asked(function: LambdaFunction, user: str) -> tuple[float, int]:
    """Milliseconds, and bytes of the answer."""
    start = time.perf_counter()
    answer = function.call(url_event("GET", f"/api/recommend/{user}"))
    assert answer["statusCode"] == 200, answer
    return 1_000 * (time.perf_counter() - start), len(answer["body"].encode())


def _cpu(function: LambdaFunction) -> float:
    """Seconds of a processor so far, which do not grow when others use the machine, too."""
    told = psutil.Process(function.process.pid).cpu_times()
    return float(told.user + told.system)


def _users(release: Release) -> list[str]:
    """Every so manyth user of the release."""
    users = IdMap.load(release.path / "encoded" / "users.parquet").ids
    return users.gather_every(max(1, len(users) // REQUESTS)).to_list()[:REQUESTS]


def _megabytes(release: Release) -> int:
    return round(sum(file.bytes for file in release.manifest.files.values()) / 1e6)


if __name__ == "__main__":
    main()
