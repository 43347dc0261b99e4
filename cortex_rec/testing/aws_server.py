"""Moto in a process of its own, on a free port: what stands in for S3, ECR, IAM and CloudFormation in tests and benchmarks."""

import os
import socket
import subprocess
import sys
from typing import Any, Final

REGION: Final = "eu-central-1"
#: Moto asks for some, and looks at none.
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": REGION}
_SECONDS: Final = 180


class AwsServer:
    """Started when made, and empty; keeps everything in memory.

    Parameters
    ----------
    port
        Where it listens on this machine; any free one when 0.
    """

    def __init__(self, port: int = 0) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", port))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        # It writes a line for each request.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | CREDENTIALS,
        )
        self._wait()

    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to take this for AWS."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": self.url}

    def client(self, service: str) -> Any:
        """A boto3 client."""
        import boto3

        return boto3.client(service, endpoint_url=self.url, region_name=REGION, aws_access_key_id="any", aws_secret_access_key="any")

    def stop(self) -> None:
        """End it; everything in it is gone."""
        self.process.terminate()
        self.process.wait(_SECONDS)

    def _wait(self) -> None:
        # Each try waits a little for the process to end, so that the loop ends.
        for _ in range(20 * _SECONDS):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                try:
                    raise AssertionError(f"moto ended with {self.process.wait(0.05)}: `pip install 'moto[server]'`")
                except subprocess.TimeoutExpired:
                    continue
            return
        raise AssertionError(f"moto does not answer on port {self.port} after {_SECONDS} s")
