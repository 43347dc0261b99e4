"""A folder and a bucket as places of releases: the same verbs, the same promises."""

import subprocess
import sys
from pathlib import Path

import pytest
from s3 import Server

from cortex_rec.errors import ArtifactError, ConfigError, StoreUnavailable
from cortex_rec.releases import places
from cortex_rec.releases.places import bucket_of, home_of, state_of, storage_of
from cortex_rec.releases.storage import Storage
from cortex_rec.testing.storage_contract import StorageContract


class TestLocalFolder(StorageContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.root = tmp_path_factory.mktemp("store") / "releases"

    def open(self) -> Storage:
        return storage_of(self.root)


class TestS3Bucket(StorageContract):
    @pytest.fixture(autouse=True)
    def place(self, s3: Server) -> None:
        self.root = f"s3://{s3.bucket()}/some/prefix"

    def open(self) -> Storage:
        return storage_of(self.root)


class TestS3BucketWithoutPrefix(StorageContract):
    @pytest.fixture(autouse=True)
    def place(self, s3: Server) -> None:
        self.root = f"s3://{s3.bucket()}"

    def open(self) -> Storage:
        return storage_of(self.root)


@pytest.mark.parametrize(
    ("root", "bucket"),
    [
        ("s3://shop", ("shop", "")),
        ("s3://shop/", ("shop", "")),
        ("s3://shop/a/b/", ("shop", "a/b")),
        ("releases", None),
        ("/srv/s3/releases", None),
        (Path("releases"), None),
    ],
)
def test_a_place_is_a_folder_or_a_bucket(root: str, bucket: tuple[str, str] | None) -> None:
    assert bucket_of(root) == bucket


@pytest.mark.parametrize(
    "root",
    ["s3:/shop", "s3:shop", "s3://", "s3://a", "S3://shop", "s3://Shop/a", "gs://shop/a", "https://shop.example", Path("s3://shop/a")],
)
def test_what_is_no_place_is_refused_with_what_is_one(root: str) -> None:
    with pytest.raises(ConfigError, match=r"is no place of releases. Give a folder, or s3://bucket/prefix"):
        storage_of(root)


def test_what_belongs_to_a_place_has_folders_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_REC_CACHE", str(tmp_path))
    names = ["s3://shop/a/b", "s3://shop/a-b", "s3://shop/a", "s3://shop-a", "s3://shop"]
    homes = [home_of(name) for name in names]
    assert len(set(homes)) == len(names)
    assert {home.parent for home in homes} == {tmp_path / "releases"}
    assert home_of(names[0], tmp_path / "x").parent == tmp_path / "x"
    assert {state_of(name).parent for name in names} == {tmp_path / "state"}
    assert (home_of("releases"), state_of("releases")) == (Path("releases"), Path("releases"))
    monkeypatch.setenv("CORTEX_REC_STATE", "/var/lib/shop")
    assert {state_of(name) for name in (*names, "releases")} == {Path("/var/lib/shop")}


def test_an_address_stays_and_a_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert places.absolute("s3://shop/a") == "s3://shop/a"
    assert places.absolute("releases") == str(tmp_path / "releases")


def test_an_unknown_bucket_is_named(s3: Server) -> None:
    for ask in (lambda storage: storage.read("a"), lambda storage: storage.list(), lambda storage: storage.write("a", b"", expected=None)):
        with pytest.raises(ConfigError, match="there is no bucket 'no-such-shop' here"):
            ask(storage_of("s3://no-such-shop/a"))


def test_missing_credentials_are_named(s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = f"s3://{s3.bucket()}"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"no credentials .* Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        storage_of(place).read("a")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody"):
        storage_of(place)


def test_an_endpoint_that_is_none_is_named(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nowhere")
    with pytest.raises(ConfigError, match="nowhere"):
        storage_of("s3://shop")


def test_a_server_that_is_away_is_told_apart_from_a_wrong_place_and_used_again_when_it_is_back(s3: Server) -> None:
    storage = storage_of(f"s3://{s3.bucket()}")
    storage.write("a", b"1", expected=None)
    with s3.away(), pytest.raises(StoreUnavailable, match=r"/a: does not answer .* AWS_ENDPOINT_URL_S3"):
        storage.read("a")
    found = storage.read("a")
    assert found is not None
    assert found.content == b"1"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"file/releases: cannot be written .* Make it writable"):
        storage_of(tmp_path / "file" / "releases").write("a", b"", expected=None)
    assert storage_of(tmp_path / "file" / "releases").read("a") is None


def test_a_local_place_loads_no_client_of_s3() -> None:
    script = (
        "import sys\nfrom cortex_rec.releases import store\nstore.release_ids('nowhere')\nprint({'boto3', 'botocore'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
