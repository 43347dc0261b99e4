"""The service as it runs: `bentoml serve` on a small release, asked over HTTP."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from serving import ROOT, Served, environment, refused, serving

from cortex_rec import __version__
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request
from cortex_rec.testing.release import small_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("service") / "releases")


@pytest.fixture(scope="module")
def library(release: Release) -> Recommender:
    return Recommender.load(release.path)


@pytest.fixture(scope="module")
def served(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(release.path.parent, tmp_path_factory.mktemp("server")) as running:
        yield running


def expected(library: Recommender, request: Request) -> dict[str, Any]:
    (slate,) = library.recommend([request])
    items = [
        {"item_id": each.item, "title": each.title, "score": each.score, "probability": each.probability, "reasons": list(each.reasons)}
        for each in slate.items
    ]
    return {"items": items, "fallback": slate.fallback}


def told(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return {name: response.json()[name] for name in ("items", "fallback")}


@pytest.mark.parametrize("user", ["h000", "h031", "h059", "nobody", "a/b?c"])
def test_the_http_answer_is_the_librarys_by_get_and_by_post(served: Served, library: Recommender, user: str) -> None:
    own = expected(library, Request(user, store="s2", n=7))
    assert len(own["items"]) == 7
    assert told(served.client.post("/recommend", json={"user_id": user, "store_id": "s2", "n": 7})) == own
    assert told(served.client.get(f"/api/recommend/{quote(user, safe='')}?store_id=s2&n=7")) == own


def test_many_at_once_get_what_each_gets_alone(served: Served, library: Recommender) -> None:
    users = [f"h{user:03}" for user in range(0, 60, 3)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda user: told(served.client.post("/recommend", json={"user_id": user})), users))
    assert answers == [expected(library, Request(user)) for user in users]


def test_an_answer_names_its_release_and_has_an_impression_of_its_own(served: Served, release: Release) -> None:
    answers = [served.client.get("/api/recommend/h001").json() for _ in range(5)]
    assert set(answers[0]) == {"items", "release", "experiment", "impression_id", "took_ms", "fallback", "degraded", "widened", "trace"}
    assert {answer["release"] for answer in answers} == {release.id}
    assert len({answer["impression_id"] for answer in answers}) == 5
    assert all(0 < answer["took_ms"] < 10_000 for answer in answers)
    assert len(answers[0]["items"]) == 10, "ten is the default"


def test_who_is_not_known_gets_an_answer_that_says_so(served: Served, library: Recommender) -> None:
    stranger = told(served.client.get("/api/recommend/h999?n=3"))
    assert [item["probability"] for item in stranger["items"]] == [None] * 3
    assert stranger["fallback"] == "user 'h999' is unknown to this release: answered with what is popular"
    assert len(stranger["items"]) == 3
    assert told(served.client.get("/api/recommend/h003"))["fallback"] is None
    assert told(served.client.post("/recommend", json={}))["fallback"] == "no user given: answered with what is popular"

    session = told(served.client.post("/recommend", json={"items": ["i004", "i012"], "n": 20}))
    assert session == expected(library, Request(items=("i004", "i012"), n=20))
    assert session["fallback"] == "no user given: answered from the items in the basket"
    assert not {"i004", "i012"} & {item["item_id"] for item in session["items"]}


BODIES = [
    (b"n=3", 400, "not_json", "The body is not JSON: ", '{"user_id": "208", "n": 10}'),
    (b"", 400, "not_json", "The body is not JSON: ", '{"user_id": "208", "n": 10}'),
    (b'{"n": NaN}', 422, "invalid_field", "`n`: expected a whole number from 1 to 100", "got nan."),
    (b'"h001"', 422, "not_an_object", "not an object", '{"user_id": "208", "n": 10}'),
    (b'{"user": "h001"}', 422, "unknown_field", "`user` is not a known field", "Did you mean `user_id`?"),
    (b'{"zzz": 1}', 422, "unknown_field", "`zzz` is not a known field", "Known: user_id, items, store_id, n, filters, rules,"),
    (b'{"n": 0}', 422, "invalid_field", "`n`: expected a whole number from 1 to 100", "got 0."),
    (b'{"n": 101}', 422, "invalid_field", "`n`: expected a whole number from 1 to 100", "got 101."),
    (b'{"n": 2.5}', 422, "invalid_field", "`n`: expected a whole number from 1 to 100", "got 2.5."),
    (b'{"n": "10"}', 422, "invalid_field", "`n`: expected a whole number from 1 to 100", "got '10'."),
    (b'{"n": true}', 422, "invalid_field", "`n`: expected a whole number from 1 to 100", "got True."),
    (b'{"user_id": 208}', 422, "invalid_field", "`user_id`: expected text of 1 to 200 characters", "got 208."),
    (b'{"user_id": ""}', 422, "invalid_field", "`user_id`: expected text of 1 to 200 characters", "got ''."),
    (b'{"items": "i001"}', 422, "invalid_field", "`items`: expected a list of at most 500", "got 'i001'."),
    (b'{"items": ["i001", 7]}', 422, "invalid_field", "`items[1]`: expected text of 1 to 200 characters", "got 7."),
    (b'{"items": ["i001", "i999"]}', 422, "unknown_item", "item 'i999' is not in the catalogue", "Leave it out"),
    (json.dumps({"items": ["i001"] * 501}).encode(), 422, "invalid_field", "`items`: expected a list of at most 500", "got ["),
    (b'{"user_id": "' + b"x" * 300_000 + b'"}', 413, "too_large", "The body has more than 256 KiB", "Send less at once"),
]


@pytest.mark.parametrize(("body", "status", "error", "fault", "way_out"), BODIES, ids=[f"{row[0][:24]!r}" for row in BODIES])
def test_a_bad_body_is_refused_with_the_field_and_the_way_out(
    served: Served, body: bytes, status: int, error: str, fault: str, way_out: str
) -> None:
    response = served.client.post("/recommend", content=body)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert fault in response.json()["detail"]
    assert way_out in response.json()["detail"]
    assert set(response.json()) == {"error", "detail"}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("n=ten", "`n`: expected a whole number from 1 to 100, got 'ten'."),
        ("n=0", "`n`: expected a whole number from 1 to 100, got '0'."),
        ("n=1&n=2", "`n` is given more than once. Give it once."),
        ("store=s1", "`store` is not a known field. Did you mean `store_id`? Known: store_id, n."),
        ("items=i001", "`items` is not a known field. Leave it out. Known: store_id, n."),
    ],
)
def test_a_bad_query_is_refused_with_the_field_and_the_way_out(served: Served, query: str, detail: str) -> None:
    response = served.client.get(f"/api/recommend/h001?{query}")
    assert (response.status_code, response.json()["detail"]) == (422, detail)


def test_a_wrong_path_or_method_is_told_what_there_is(served: Served) -> None:
    for response, status, error in (
        (served.client.get("/recommendations"), 404, "not_found"),
        (served.client.get("/docs.json"), 404, "not_found"),
        (served.client.get("/recommend"), 405, "wrong_method"),
        (served.client.post("/api/recommend/h001"), 405, "wrong_method"),
    ):
        assert (response.status_code, response.json()["error"]) == (status, error)
        assert "POST /recommend/batch, GET /api/recommend/{user_id}" in response.json()["detail"]


def test_a_bad_request_leaves_no_traceback_in_the_log(served: Served) -> None:
    for body in (b"{", b'{"n": 0}', b'{"items": ["i999"]}'):
        assert served.client.post("/recommend", content=body).is_client_error
    assert "Traceback" not in served.log.read_text()


def samples(served: Served) -> dict[str, float]:
    text = served.client.get("/metrics").text
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))}


def test_metrics_count_by_route_template_and_status_and_by_what_an_answer_rests_on(served: Served, release: Release) -> None:
    before = samples(served)
    for user in ("h001", "h002", "secret-stranger"):
        served.client.get(f"/api/recommend/{user}")
    served.client.get("/api/recommend/h001?n=0")
    served.client.post("/recommend", json={"items": ["i001"]})
    served.client.get("/secret-path")
    after = samples(served)

    grown = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    template = '{route="/api/recommend/{user_id}",status='
    assert grown[f'cortex_rec_requests_total{template}"200"}}'] == 3
    assert grown[f'cortex_rec_request_seconds_count{template}"200"}}'] == 3
    assert grown[f'cortex_rec_requests_total{template}"422"}}'] == 1
    assert grown['cortex_rec_requests_total{route="/recommend",status="200"}'] == 1
    assert grown['cortex_rec_requests_total{route="(none)",status="404"}'] == 1
    assert grown['cortex_rec_answers_total{basis="personal"}'] == 2
    assert grown['cortex_rec_answers_total{basis="popular"}'] == 1
    assert grown['cortex_rec_answers_total{basis="basket"}'] == 1
    assert not any("secret" in name for name in after)
    (info,) = (name for name in after if name.startswith("cortex_rec_release_info"))
    assert f'release="{release.id}"' in info
    assert after[info] == 1


def test_the_page_says_what_runs_and_reaches_for_nothing_outside(served: Served, release: Release) -> None:
    page = served.client.get("/")
    assert release.id in page.text
    assert f">{release.manifest.metrics['metrics']['ndcg@10']:.3f}</data></b>" in page.text
    assert 'api/recommend/h000?n=10"' in page.text
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page.text)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    report = served.client.get("/report")
    assert report.content == (release.path / "report" / "report.html").read_bytes()
    assert report.headers["content-type"].startswith("text/html")
    (link,) = re.findall('<a href="([^"]+)">', report.text)
    catalogue = served.client.get(f"/{link}")
    assert catalogue.content == (release.path / "report" / "catalogue.html").read_bytes()
    assert catalogue.headers["content-security-policy"] == report.headers["content-security-policy"]


def test_a_release_of_before_there_was_a_page_of_the_catalogue_has_none(served: Served, release: Release) -> None:
    page, aside = release.path / "report" / "catalogue.html", release.path.parent.parent / "aside.html"
    page.rename(aside)
    try:
        answer = served.client.get("/catalogue.html")
    finally:
        aside.rename(page)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


def test_a_known_users_items_have_a_probability_that_falls_with_the_score(served: Served) -> None:
    items = served.client.get("/api/recommend/h001?n=50").json()["items"]
    chances = [item["probability"] for item in items]
    assert all(0 <= chance <= 1 for chance in chances)
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > chances[-1]
    assert '"span": "a week"' in served.client.get("/").text


def test_version_and_probes(served: Served, release: Release) -> None:
    assert served.client.get("/version").json() == {
        "library": __version__, "release": release.id, "name": "small-shop", "as_of": "2024-03-25", "git_commit": None,
    }  # fmt: skip
    assert served.client.get("/livez").status_code == served.client.get("/readyz").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_running_service_has_loaded_nothing_that_only_training_needs(served: Served) -> None:
    mapped = (Path("/proc") / str(served.worker()) / "maps").read_text()
    assert "lib_lightgbm" in mapped, "these are not the libraries of the worker"
    assert not re.findall(r"libtorch\S*|libdgl\S*", mapped)


def test_answering_imports_nothing_that_only_training_needs(release: Release) -> None:
    script = (
        "import sys; from starlette.testclient import TestClient; from bentos.service import load_app\n"
        "assert TestClient(load_app()).get('/api/recommend/h001').status_code == 200\n"
        "print(sorted({'dgl', 'torch', 'torchvision', 'sentence_transformers', 'prefect', 'great_expectations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(release.path.parent), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_damaged_release_is_refused_before_the_port_opens(tmp_path: Path) -> None:
    release = small_release(tmp_path / "releases")
    damaged = release.path / "snapshot" / "statistics.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    said = refused(tmp_path / "releases", tmp_path)
    assert "statistics.safetensors has SHA-256" in said
    assert "There is no other release; make one with `cortex-rec train`." in said
    assert "Traceback" not in said


def test_without_a_release_the_service_says_how_to_make_one(tmp_path: Path) -> None:
    said = refused(tmp_path / "releases", tmp_path)
    assert "There is no release yet; `cortex-rec train configs/complete_journey.yaml` makes one." in said
    assert "Traceback" not in said


def test_the_serving_page_lists_the_routes_and_names_that_there_are(served: Served) -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    for path in re.findall(r"`GET (/[a-z]*)`", text):
        assert served.client.get(path).status_code == 200, path
    (body,) = re.findall(r"/recommend -d '(.*)'", text)
    answer = served.client.post("/recommend", content=body).json()
    example = json.loads(text.split(f"'{body}'\n")[1].split("```")[0])
    assert (list(example), list(example["items"][0])) == (list(answer), list(answer["items"][0]))
    metrics = served.client.get("/metrics").text
    for name in re.findall(r"`(cortex_rec_[a-z_]+)`", text):
        assert name in metrics
