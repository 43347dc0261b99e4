"""A bucket of S3, or of a server that speaks its protocol, as a `Storage`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from cortex_rec.errors import ArtifactError, ConfigError, StoreUnavailable
from cortex_rec.releases.storage import Versioned

#: Who asks waits for no longer than this, three tries together, before it goes on with what it has.
_CONFIG: Final = Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
_LOOK: Final = "Look at the AWS_… variables and at ~/.aws."
_MISSING: Final = ("NoSuchKey", "404")
#: Somebody else was quicker.
_CHANGED: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_FORBIDDEN: Final = (
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "403",
)


def connect() -> Any:
    """A client by what the `AWS_…` variables and files say.

    Raises
    ------
    ConfigError
        If there is no client of that.
    """
    try:
        return boto3.session.Session().client("s3", config=_CONFIG)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"S3 cannot be asked ({error}). {_LOOK}") from error


class S3Bucket:
    """Objects of a bucket below a prefix.

    Parameters
    ----------
    bucket
        Its name.
    prefix
        Without slashes at its ends; may be empty.
    client
        As of `connect`; may be shared.
    """

    def __init__(self, bucket: str, prefix: str, client: Any) -> None:
        self._bucket, self._prefix, self._client = bucket, f"{prefix}/" if prefix else "", client

    def where(self, name: str = "") -> str:
        return f"s3://{self._bucket}/{self._prefix}{name}".rstrip("/")

    def read(self, name: str) -> Versioned | None:
        with self._told(name):
            try:
                found = self._client.get_object(**self._at(name))
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
            return Versioned(found["Body"].read(), found["ETag"])

    def write(self, name: str, content: bytes, *, expected: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        with self._told(name):
            try:
                self._client.put_object(**self._at(name), Body=content, **condition)
            except ClientError as error:
                if _code(error) in (*_CHANGED, *_MISSING):
                    return False
                raise
        return True

    def list(self, prefix: str = "") -> dict[str, int]:
        with self._told(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
            return {each["Key"].removeprefix(self._prefix): each["Size"] for page in pages for each in page.get("Contents", ())}

    def upload(self, path: Path, name: str) -> None:
        # One request: an object is whole or not there, and no parts are left that nobody lists and everybody pays for.
        with self._told(name), path.open("rb") as file:
            self._client.put_object(**self._at(name), Body=file)

    def download(self, name: str, path: Path) -> None:
        with self._told(name):
            try:
                found = self._client.get_object(**self._at(name))
            except ClientError as error:
                if _code(error) in _MISSING:
                    raise ArtifactError(f"{self.where(name)}: is missing.") from error
                raise
            with path.open("wb") as file:
                shutil.copyfileobj(found["Body"], file, 1 << 20)

    def remove(self, name: str) -> None:
        with self._told(name):
            self._client.delete_object(**self._at(name))

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """What boto3 raises, as one of our errors that names the place and the way out."""
        where = self.where(name)
        try:
            yield
        except ClientError as error:
            raise self._refused(where, error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise ConfigError(
                f"{where}: no credentials ({error}). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or run under a role."
            ) from error
        except (BotoConnectionError, HTTPClientError, IncompleteReadError) as error:
            raise StoreUnavailable(
                f"{where}: does not answer ({error}). Try again; AWS_ENDPOINT_URL_S3 says where another S3 is."
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"{where}: cannot be asked ({error}). {_LOOK}") from error

    def _refused(self, where: str, error: ClientError) -> Exception:
        code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchBucket":
            return ConfigError(f"{where}: there is no bucket {self._bucket!r} here. Make it, or correct the place.")
        if code in _FORBIDDEN:
            return ConfigError(
                f"{where}: is not allowed ({code}). Other credentials, or more rights for these, are needed (docs/releases.md)."
            )
        if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout"):
            return StoreUnavailable(f"{where}: does not answer ({code}). Try again.")
        return ArtifactError(f"{where}: was refused ({error}).")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
