"""The image, really built from Debian's packages and the locked wheels, started with as few rights as possible, and asked."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from s3 import Server
from serving import ROOT

from cortex_rec import __version__
from cortex_rec.packaging import base, requirements
from cortex_rec.packaging.image import NAME, Image
from cortex_rec.recommender import Recommender
from cortex_rec.releases import channels, store
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request
from cortex_rec.testing.containers import Running, podman, running, storage
from cortex_rec.testing.release import small_release

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Built:
    release: Release
    inside: Image
    bare: Image
    said: str

    @property
    def name(self) -> str:
        return f"{NAME}:{self.inside.tag}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("image")
    release = small_release(folder / "releases")
    with storage(folder / "storage"):
        without_base = make_image(folder)
        assert without_base.returncode == 1
        assert "make image-base" in without_base.stderr
        base.make()
        whole, bare = make_image(folder), make_image(folder, "--release", "none")
        assert whole.returncode == bare.returncode == 0, whole.stderr + bare.stderr
        images = {path.name: Image.open(path) for path in (folder / "work" / "image").glob("*-*/") if (path / "image").is_dir()}
        (inside,) = (image for tag, image in images.items() if tag.startswith(release.id))
        (empty,) = (image for tag, image in images.items() if tag.startswith("no-release"))
        yield Built(release, inside, empty, whole.stdout)


def make_image(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.image", "--releases", str(folder / "releases"), "--workspace", str(folder / "work"), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def asked(image: str, *options: str, **variables: str) -> Iterator[tuple[httpx.Client, Running]]:
    with running(image, *options, variables=variables) as container, httpx.Client(base_url=container.url, timeout=60) as client:
        yield client, container


def test_what_was_built_is_printed_and_two_images_share_all_but_the_release(built: Built) -> None:
    told = dict(line.split(maxsplit=1) for line in built.said.splitlines())
    assert told["tag"] == built.inside.tag
    assert told["digest"] == built.inside.digest
    assert float(told["compressed_mb"]) == round(built.inside.compressed_mb, 1) < 450
    layers = [json.loads((image.files / "manifest.json").read_text())["layers"] for image in (built.inside, built.bare)]
    shared = [one["digest"] for one in layers[0] if one in layers[1]]
    assert sum(one["size"] for one in layers[0] if one["digest"] in shared) > 0.95 * sum(built.inside.layers)


def test_the_image_says_what_it_is_and_asks_for_no_rights(built: Built) -> None:
    (told,) = json.loads(podman("inspect", built.name))
    labels = told["Config"]["Labels"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert labels["org.opencontainers.image.revision"].removesuffix("-dirty") == commit
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.cortex-rec.release"] == built.release.id
    assert told["Config"]["User"] == "65534:65534"
    assert told["Config"]["Volumes"] == {"/var/lib/cortex-rec": {}}
    assert "/readyz" in " ".join(told["HealthCheck" if "HealthCheck" in told else "Healthcheck"]["Test"])


def test_every_package_of_the_image_is_in_its_bill_and_none_that_only_training_needs(built: Built) -> None:
    beside = (built.inside.folder / "sbom.cdx.json").read_text()
    inside = podman("run", "--rm", "--network", "host", "--entrypoint", "cat", built.name, "/usr/share/sbom/cortex-rec.cdx.json")
    assert inside == beside.strip()
    bill = json.loads(beside)
    assert bill["bomFormat"] == "CycloneDX"
    listed = {part["name"].lower(): part["version"] for part in bill["components"] if part["purl"].startswith("pkg:pypi")}
    assert listed == requirements.pinned()
    assert not {"torch", "dgl", "torchvision", "sentence-transformers", "prefect", "great_expectations", "pandas"} & set(listed)
    debian = {part["name"] for part in bill["components"] if part["purl"].startswith("pkg:deb/")}
    assert {"libc6", "python3.11", "libgomp1"} <= debian


def test_it_answers_like_the_library_from_a_root_that_it_cannot_write(built: Built) -> None:
    library = Recommender.load(built.release.path)
    user = library.data.users.external([0])[0]
    (expected,) = library.recommend([Request(user=user, n=5)])
    with asked(built.name) as (client, container):
        assert podman("exec", container.name, "id", "-u") == "65534"
        told = client.post("/recommend", json={"user_id": user, "n": 5}).json()
        assert [(item["item_id"], item["score"]) for item in told["items"]] == [(item.item, item.score) for item in expected.items]
        assert told["release"] == built.release.id
        assert client.get("/version").json()["release"] == built.release.id
        wrote = subprocess.run(
            ["podman", "exec", container.name, "touch", "/opt/cortex-rec/x"], capture_output=True, text=True, check=False
        )
        assert "Read-only file system" in wrote.stderr
        podman("healthcheck", "run", container.name)
        event = {"kind": "click", "event_id": "e1", "user_id": user, "item_id": expected.items[0].item}
        assert client.post("/feedback", json={"events": [event]}).status_code == 200
        assert client.delete(f"/api/users/{user}").json() == {"user_id": user, "events": 1, "exposures": 0}
        assert podman("exec", container.name, "ls", "/var/lib/cortex-rec/state").split() != []
        podman("stop", "--time", "20", container.name)
        assert container.state()["ExitCode"] == 0, "SIGTERM ended it in good order"


def test_a_new_item_is_refused_in_words_because_the_encoders_are_left_out(built: Built) -> None:
    with asked(built.name) as (client, _):
        put = client.put("/api/items/new", json={"title": "Oat milk"})
        assert (put.status_code, put.json()["error"]) == (501, "no_encoders")
        assert "cortex-rec items add" in put.json()["detail"]


def test_an_image_without_a_release_says_so_and_serves_what_is_mounted(built: Built) -> None:
    name = f"{NAME}:{built.bare.tag}"
    refused = subprocess.run(
        ["podman", "run", "--rm", "--network", "host", "--read-only", "--tmpfs", "/tmp", name], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "no release" in refused.stdout + refused.stderr
    mounted = f"{built.release.path.parent}:/srv/releases:ro"
    with asked(name, "--volume", mounted, CORTEX_REC_RELEASES="/srv/releases") as (client, _):
        assert client.get("/version").json()["release"] == built.release.id


def test_an_image_without_a_release_serves_what_is_in_production_in_a_bucket(built: Built, s3: Server) -> None:
    place = f"s3://{s3.bucket()}/shop"
    store.push(built.release.path.parent, place)
    channels.promote(place, built.release.id, by="test", why="the first one", at=datetime.now(UTC))
    with asked(f"{NAME}:{built.bare.tag}", CORTEX_REC_RELEASES=place, **s3.variables) as (client, _):
        assert client.get("/version").json()["release"] == built.release.id
        assert len(client.post("/recommend", json={}).json()["items"]) == 10
