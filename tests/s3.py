"""A real S3 server on this machine, which can be stopped and started again with what it holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import boto3
import pytest


class Server:
    """The server and its address."""

    def __init__(self) -> None:
        self.port = 0
        self._start()
        _, self.port = self._server.get_host_and_port()
        self._client = boto3.client(
            "s3", endpoint_url=self.variables["AWS_ENDPOINT_URL_S3"], aws_access_key_id="test", aws_secret_access_key="test"
        )

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def bucket(self) -> str:
        """A new bucket's name."""
        name = f"shop-{uuid4().hex}"
        self._client.create_bucket(Bucket=name)
        return name

    def stop(self) -> None:
        self._server.stop()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody answers at its address until the block ends."""
        self._server.stop()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        from moto.server import ThreadedMotoServer  # slow to import, and few tests need it

        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The server, with this process's variables set to it and a cache of the test's own."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CORTEX_REC_CACHE", str(tmp_path_factory.mktemp("cache")))
    return server


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of releases of each kind."""
    if request.param == "folder":
        return str(tmp_path / "releases")
    running: Server = request.getfixturevalue("s3")
    return f"s3://{running.bucket()}/releases"
