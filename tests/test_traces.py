"""Traces: the running service sends spans to a collector, which here is a small one of our own that decodes what really came."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from serving import ROOT, environment, free_port, refused, serving

from bentos.settings import traced
from cortex_rec.errors import ConfigError
from cortex_rec.releases.store import Release
from cortex_rec.retrieval.union import REGISTRY
from cortex_rec.testing.release import small_release

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = ["wait", "ask", "retrieve", "features", "rank", "rules", "explain"]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("traces") / "releases")


class Collector:
    """What an OTLP/HTTP collector got."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.paths: set[str] = set()
        self.body = b""

    def of(self, name: str) -> Span:
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def stages_of(self, span: Span) -> list[Span]:
        return sorted((each for each in self.spans if each.parent_span_id == span.span_id), key=lambda each: each.end_time_unix_nano)


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """Listen until the block ends; gives what came and the address."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            collector.body += body
            collector.paths.add(self.path)
            for whole in ExportTraceServiceRequest.FromString(body).resource_spans:
                collector.resources.append(values(whole.resource.attributes))
                collector.spans += [span for scope in whole.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listening = threading.Thread(target=server.serve_forever)
        listening.start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            listening.join()


def values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def test_each_request_is_a_span_with_its_stages_and_all_are_sent_before_the_service_ends(release: Release, tmp_path: Path) -> None:
    with collecting() as (collector, address):
        more = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test"}
        with serving(release.path.parent, tmp_path, **more) as served:
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            answer = served.client.post("/recommend", json={"user_id": "h001", "store_id": "s2", "n": 7}, headers=headers)
            assert len(answer.json()["items"]) == 7
            assert served.client.get("/api/similar/i004").status_code == 200
            assert served.client.get("/api/items/secret-item").status_code == 404
            assert served.client.get("/secret-path").status_code == 404
            two = {"requests": [{"user_id": "h002"}, {"user_id": "h003"}]}
            assert served.client.post("/recommend/batch", json=two).status_code == 200
            assert served.stop() == 0
        log = served.log.read_text()

    assert collector.paths == {"/v1/traces"}
    assert all((each["service.name"], each["deployment.environment"]) == ("cortex-rec", "test") for each in collector.resources), (
        collector.resources
    )
    asked = collector.of("POST /recommend")
    assert (asked.trace_id.hex(), asked.parent_span_id.hex(), asked.kind) == (TRACE, CALLER, Span.SPAN_KIND_SERVER)
    assert values(asked.attributes) == {
        "http.request.method": "POST", "http.route": "/recommend", "http.response.status_code": 200, "cortex_rec.release": release.id,
        "cortex_rec.requests": 1, "cortex_rec.together": 1, "cortex_rec.candidates": 80, "cortex_rec.degraded": False,
    }  # fmt: skip
    stages = collector.stages_of(asked)
    assert [each.name for each in stages] == STAGES
    assert {each.trace_id.hex() for each in stages} == {TRACE}
    for before, after in pairwise(stages):
        assert abs(before.end_time_unix_nano - after.start_time_unix_nano) < 1_000_000
    # Two clocks: a millisecond of difference is none.
    assert asked.start_time_unix_nano < stages[0].start_time_unix_nano + 1_000_000
    assert stages[-1].end_time_unix_nano < asked.end_time_unix_nano + 1_000_000
    proposed = values(stages[2].attributes)
    assert set(proposed) == {f"cortex_rec.proposed.{name}" for name in REGISTRY}
    assert 80 < sum(proposed.values()) <= 80 * len(REGISTRY)

    assert values(collector.of("GET /api/similar/{item_id}").attributes)["cortex_rec.release"] == release.id
    missing = values(collector.of("GET /api/items/{item_id}").attributes)
    assert (missing["http.route"], missing["http.response.status_code"]) == ("/api/items/{item_id}", 404)
    batch = collector.of("POST /recommend/batch")
    assert (values(batch.attributes)["cortex_rec.requests"], len(collector.stages_of(batch))) == (2, len(STAGES))
    assert not [name for name in (b"h001", b"i004", b"secret", b"s2") if name in collector.body]
    assert any(f'"trace_id": "{TRACE}"' in line for line in log.splitlines() if '"/recommend"' in line)
    assert "Traceback" not in log


def test_a_caller_who_does_not_keep_its_trace_is_not_traced(release: Release, tmp_path: Path) -> None:
    with collecting() as (collector, address), serving(release.path.parent, tmp_path, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=address) as served:
        assert served.client.get("/api/recommend/h001", headers={"traceparent": f"00-{TRACE}-{CALLER}-00"}).status_code == 200
        assert served.client.get("/version", headers={"traceparent": "nonsense"}).status_code == 200
        assert served.stop() == 0
        assert [span.name for span in collector.spans] == ["GET /version"]


def test_a_collector_that_is_gone_costs_no_answer_and_keeps_no_service_from_ending(release: Release, tmp_path: Path) -> None:
    gone = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    with serving(release.path.parent, tmp_path, **gone) as served:
        assert served.client.get("/api/recommend/h001").status_code == 200
        served.process.terminate()
        assert served.process.wait(10) == 0


def test_without_the_variables_nothing_of_it_is_imported(release: Release, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, 'tests')\n"
        "from serving import app_of; from starlette.testclient import TestClient\n"
        f"client = TestClient(app_of(Path({str(release.path.parent)!r}), Path({str(tmp_path)!r})))\n"
        "assert client.get('/api/recommend/h001', headers={'traceparent': '00-" + f"{TRACE}-{CALLER}" + "-01'}).status_code == 200\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(release.path.parent), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "shop"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "console"}, False),
    ],
)
def test_the_standard_variables_decide_whether_there_are_traces(variables: dict[str, str], wanted: bool) -> None:
    assert traced(variables) is wanted


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER=console: traces go out by otlp only. Set otlp, or none"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: traces go out by http/protobuf only",
        ),
    ],
)
def test_traces_that_cannot_be_sent_as_asked_are_refused(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        traced(variables)


def test_the_service_does_not_start_where_traces_cannot_be_sent(release: Release, tmp_path: Path) -> None:
    said = refused(release.path.parent, tmp_path, OTEL_TRACES_EXPORTER="zipkin")
    assert "OTEL_TRACES_EXPORTER=zipkin: traces go out by otlp only" in said
