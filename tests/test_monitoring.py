"""Prometheus, its alerts and Grafana's dashboard fit the metrics that the service really gives, and Prometheus really reads them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from serving import ROOT, SECONDS, app_of, free_port, serving, wait_until_ready
from starlette.testclient import TestClient

from cortex_rec.monitoring import gauges
from cortex_rec.monitoring.verdict import Part, Signal, Verdict
from cortex_rec.releases.store import Release
from cortex_rec.testing.release import small_release

DEPLOYMENTS = ROOT / "deployments"
MONITORING = DEPLOYMENTS / "monitoring"
BOARD = json.loads((MONITORING / "grafana" / "cortex-rec.json").read_text())
ALERTS = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
EXPRESSIONS = {
    **{f"panel {panel['title']!r}, {target['refId']}": target["expr"] for panel in BOARD["panels"] for target in panel["targets"]},
    **{f"alert {alert['alert']}": alert["expr"] for alert in ALERTS},
}
PRICE = Signal("purchases", "psi/price", 3.1, 0.0, 12.0, 1e-6)
UNLIKE = Verdict("r", "2018-01-01", "2018-01-02", 0.01, (Part("purchases", "judged", "", 100, 91, (PRICE,)),), ())
NEEDS_PROMETHEUS = pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no Prometheus: `apt-get install prometheus`")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return small_release(tmp_path_factory.mktemp("monitored") / "releases")


def ask(client: Any) -> None:
    """At least one of everything that is counted."""
    assert client.get("/api/recommend/h001").status_code == 200
    assert client.post("/recommend", json={"items": ["i001"]}).status_code == 200
    assert client.get("/api/recommend/h001?n=0").status_code == 422
    event = {"event_id": "e1", "kind": "click", "user_id": "h001", "item_id": "i003"}
    assert client.post("/feedback", json={"events": [event, event]}).status_code == 200


def given(text: str) -> set[str]:
    """The names of all samples and of all metrics; one that has labels has no sample before it is counted for the first time."""
    samples = {re.split(r"[ {]", line)[0] for line in text.splitlines() if not line.startswith("#")}
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    return samples | set(kinds) | {f"{name}_bucket" for name, kind in kinds.items() if kind == "histogram"}


def test_every_metric_that_a_panel_or_an_alert_names_is_given_by_the_service(release: Release, tmp_path: Path) -> None:
    with TestClient(app_of(release.path.parent, tmp_path)) as client:
        ask(client)
        names = given(client.get("/metrics").text)
    names |= given(gauges.write(UNLIKE, tmp_path, checked_at=0.0).read_text())
    named = {where: set(re.findall(r"cortex_rec_\w+", expression)) for where, expression in EXPRESSIONS.items()}
    assert {where: missing for where, each in named.items() if (missing := each - names)} == {}
    assert all(named[where] for where in named if where != "alert ServiceDown")


def test_every_metric_of_the_documentation_has_a_panel() -> None:
    documented = set(re.findall(r"^\| `(cortex_rec_\w+)`", (ROOT / "docs" / "serving.md").read_text(), re.MULTILINE))
    assert len(documented) >= 8
    shown = " ".join(EXPRESSIONS.values())
    assert [name for name in documented if name not in shown] == []


def test_panels_do_not_lie_over_each_other_and_read_the_provisioned_source() -> None:
    (source,) = yaml.safe_load((MONITORING / "grafana" / "datasources.yaml").read_text())["datasources"]
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    squares = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(squares) == len(set(squares))
    assert max(x for x, _ in squares) < 24
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_the_compose_file_mounts_files_that_exist_and_opens_ports_to_this_machine_alone() -> None:
    services = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())["services"]
    assert set(services) == {"service", "redis", "prefect", "worker", "drift", "prometheus", "grafana"}
    mounts = [mount.split(":")[0] for each in services.values() for mount in each.get("volumes", [])]
    files = [DEPLOYMENTS / mount for mount in mounts if mount.startswith(".")]
    assert len(files) == 5
    assert all(file.is_file() for file in files)
    ports = [port for each in services.values() for port in each.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert services["redis"]["command"][1:5] == ["--appendonly", "yes", "--appendfsync", "always"]
    scraped = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["scrape_configs"]
    assert [each["static_configs"] for each in scraped] == [[{"targets": [f"{name}"]}] for name in ("service:3000", "drift:9100")]
    assert f"--collector.textfile.directory=/{services['drift']['volumes'][0].split(':')[0]}/drift" in services["drift"]["command"]


def test_the_nightly_training_reads_the_list_of_the_forgotten_that_the_service_of_the_compose_file_writes() -> None:
    services = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())["services"]
    state = services["worker"]["environment"]["CORTEX_REC_STATE"]
    assert f"CORTEX_REC_STATE={state}" in (DEPLOYMENTS / "Containerfile").read_text()
    folder = str(Path(state).parent)
    assert all(f"state:{folder}" in services[each]["volumes"] for each in ("service", "worker"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("podman") is None, reason="there is no podman: `apt-get install podman`")
def test_podman_compose_reads_the_file_and_asks_for_a_password() -> None:
    command = ["podman-compose", "-f", str(DEPLOYMENTS / "compose.yaml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=only("GRAFANA_PASSWORD=secret"))
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"]["service"]["depends_on"]["redis"]["condition"] == "service_healthy"
    without = subprocess.run(command, capture_output=True, text=True, check=False, env=only())
    assert without.returncode != 0
    assert "set GRAFANA_PASSWORD" in without.stderr


def only(*given: str) -> dict[str, str]:
    """The programs of this environment, and the variables that are given."""
    programs = str(Path(sys.executable).parent)
    return {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": os.environ["HOME"]} | dict(one.split("=") for one in given)


@pytest.mark.slow
@NEEDS_PROMETHEUS
@pytest.mark.parametrize("told", [("check", "config", MONITORING / "prometheus.yaml"), ("test", "rules", ROOT / "tests" / "alerts.yaml")])
def test_promtool_finds_the_configuration_right_and_every_alert_fires_when_it_should(told: tuple[Any, ...]) -> None:
    done = subprocess.run(["promtool", *map(str, told)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[httpx.Client]:
    """Debian's Prometheus with the real configuration, but that it looks every half second, at `target`."""
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms", "scrape_timeout": "500ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    shutil.copy(MONITORING / "alerts.yaml", folder)
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address, log = f"127.0.0.1:{free_port()}", folder / "prometheus.log"
    where = [f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with (
        log.open("wb") as output,
        subprocess.Popen(["prometheus", *where], stdout=output, stderr=output) as process,
        httpx.Client(base_url=f"http://{address}", timeout=SECONDS) as client,
    ):
        try:
            wait_until_ready(client, process, log, path="/-/ready")
            yield client
        finally:
            process.terminate()


def answer(client: httpx.Client, expression: str) -> list[dict[str, Any]]:
    told = client.get("/api/v1/query", params={"query": expression.replace("$__rate_interval", "1m")})
    assert told.status_code == 200, told.text
    result: list[dict[str, Any]] = told.json()["data"]["result"]
    return result


@pytest.mark.slow
@NEEDS_PROMETHEUS
def test_prometheus_reads_the_running_service_and_every_panel_can_be_drawn(release: Release, tmp_path: Path) -> None:
    arms = [{"name": name, "release": "production", "share": 0.5} for name in ("one", "other")]
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump({"name": "trial", "salt": "s", "arms": arms}))
    experiment = {"CORTEX_REC_EXPERIMENT": str(tmp_path / "experiment.yaml"), "CORTEX_REC_EXPOSURES": str(tmp_path / "shown")}
    with serving(release.path.parent, tmp_path, **experiment) as served:
        target = f"{served.client.base_url.host}:{served.client.base_url.port}"
        with prometheus(target, tmp_path) as client:
            # A rate needs two looks with something counted between them; each question here takes its time, so that the loop ends.
            for _ in range(SECONDS * 20):
                ask(served.client)
                rate = answer(client, "sum by (basis) (rate(cortex_rec_answers_total[1m])) > 0")
                if {each["metric"]["basis"] for each in rate} == {"personal", "basket"}:
                    break
            else:
                raise AssertionError("Prometheus has not seen the answers")
            drawn = {where: answer(client, expression) for where, expression in EXPRESSIONS.items()}
    empty = {where for where, result in drawn.items() if where.startswith("panel") and not result}
    # Nothing went wrong, so there is nothing to show in this panel, and no alert.
    drift = {where for where, expression in EXPRESSIONS.items() if where.startswith("panel") and "cortex_rec_drift" in expression}
    assert empty == {"panel 'Degraded answers', A"} | drift, "the service knows nothing of drift"
    assert [where for where, result in drawn.items() if where.startswith("alert") and result] == []
    (info,) = drawn["panel 'Release', A"]
    assert info["metric"]["release"] == release.id
    assert {each["metric"]["route"] for each in drawn["panel 'Requests by route', A"]} >= {
        "/api/recommend/{user_id}",
        "/recommend",
        "/feedback",
    }
