"""An image to ECR: the control calls against moto's server, the push against a real registry on this machine."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from image_registry import PASSWORD, registry
from moto.server import ThreadedMotoServer
from serving import free_port

from cortex_rec.errors import ProgramMissing, RegistryError
from cortex_rec.packaging import ecr, push
from cortex_rec.packaging.ecr import Login
from cortex_rec.packaging.image import Image
from cortex_rec.testing.containers import storage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, Image]:
    """Two images of one file each that have the same tag."""
    folder = tmp_path_factory.mktemp("small")
    with storage(folder / "storage"):
        return _image(folder / "first", "one"), _image(folder / "second", "another")


def _image(folder: Path, content: str) -> Image:
    (folder / "1.0").mkdir(parents=True)
    (folder / "file").write_text(content)
    (folder / "Containerfile").write_text("FROM scratch\nCOPY file /file\n")
    for command in (
        ["build", "--quiet", "--format", "docker", "--tag", "small", str(folder)],
        ["push", "--quiet", "--compression-format", "gzip", "small", f"dir:{folder}/1.0/image"],
    ):
        subprocess.run(["buildah", *command], check=True, capture_output=True)
    return Image.open(folder / "1.0")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    yield
    server.stop()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path / "registry") as found:
        yield found


def test_a_repository_is_made_once_with_tags_that_never_change_a_scan_and_an_end(aws: None) -> None:
    assert ecr.ensure_repository("cortex-rec")
    assert not ecr.ensure_repository("cortex-rec")
    client = boto3.client("ecr")
    (made,) = client.describe_repositories(repositoryNames=["cortex-rec"])["repositories"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    policy = json.loads(client.get_lifecycle_policy(repositoryName="cortex-rec")["lifecyclePolicyText"])
    assert policy["rules"][0]["selection"]["countNumber"] == ecr.KEPT


def test_what_is_pushed_with_the_password_of_ecr_is_in_the_registry_under_the_same_digest(
    aws: None, host: str, small: tuple[Image, Image], tmp_path: Path
) -> None:
    login = ecr.login()
    assert login.registry == "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    pushed = push.push(small[0], "cortex-rec", login, registry=host)
    assert pushed == push.Pushed(f"{host}/cortex-rec@{small[0].digest}", "1.0", already=False)
    back = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"--src-creds=AWS:{PASSWORD}", f"docker://{pushed.reference}"]
    subprocess.run([*back, f"dir:{tmp_path}/back"], check=True, capture_output=True)
    assert (tmp_path / "back" / "manifest.json").read_bytes() == (small[0].files / "manifest.json").read_bytes()


def test_a_second_push_sends_nothing_and_another_image_under_the_tag_is_refused(host: str, small: tuple[Image, Image]) -> None:
    login = Login(host, "AWS", PASSWORD)
    push.push(small[0], "cortex-rec", login)
    assert push.push(small[0], "cortex-rec", login).already
    with pytest.raises(RegistryError) as refused:
        push.push(small[1], "cortex-rec", login)
    assert small[0].digest in str(refused.value)
    assert small[1].digest in str(refused.value)
    assert push.push(small[0], "cortex-rec", login).already, "the first one is still there"


def test_the_password_is_in_no_argument_no_message_and_no_file_that_stays(
    host: str, small: tuple[Image, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("skopeo")
    (tmp_path / "tools").mkdir()
    (tmp_path / "scratch").mkdir()
    watched = tmp_path / "tools" / "skopeo"
    watched.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {real} "$@"\n')
    watched.chmod(0o755)
    monkeypatch.setenv("PATH", f"{watched.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    push.push(small[0], "cortex-rec", Login(host, "AWS", PASSWORD))
    with pytest.raises(RegistryError) as refused:
        push.push(small[0], "cortex-rec", Login(host, "AWS", "a wrong password"))
    told = (tmp_path / "arguments").read_text()
    assert "copy" in told
    assert PASSWORD not in told
    assert "a wrong password" not in f"{refused.value}{told}{Login(host, 'AWS', 'a wrong password')}"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_registry_that_is_away_is_named(small: tuple[Image, Image]) -> None:
    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(RegistryError, match=f"{host}/cortex-rec.*does not answer"):
        push.push(small[0], "cortex-rec", Login(host, "AWS", PASSWORD))


def test_without_credentials_the_message_says_which_to_set(aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(RegistryError, match="AWS_PROFILE"):
        ecr.login()


def test_aws_that_is_away_and_a_region_that_is_not_set_are_named(aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(RegistryError, match="Could not connect"):
        ecr.login()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    with pytest.raises(RegistryError, match="AWS_REGION"):
        ecr.login()


def test_without_skopeo_the_message_names_its_package(small: tuple[Image, Image], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match="apt-get install skopeo"):
        push.push(small[0], "cortex-rec", Login("127.0.0.1:1", "AWS", PASSWORD))
