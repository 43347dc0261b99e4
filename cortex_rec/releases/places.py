"""Places of releases by name, a local folder or `s3://bucket/prefix`, and where this machine keeps what belongs to one."""

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from cortex_rec.errors import ConfigError
from cortex_rec.releases.storage import Storage
from cortex_rec.releases.storage_local import LocalFolder


class Bucket(NamedTuple):
    """What `s3://bucket/prefix` names; the prefix has no slash at its ends."""

    name: str
    prefix: str


def storage_of(root: Path | str) -> Storage:
    """The storage at a place.

    Parameters
    ----------
    root
        A folder, or `s3://bucket/prefix`; endpoint, region and credentials of a bucket are those of the usual `AWS_…` variables and files.

    Raises
    ------
    ConfigError
        If it is neither, or boto3 cannot make a client of what the variables say.
    """
    bucket = bucket_of(root)
    if bucket is None:
        return LocalFolder(Path(root))
    from cortex_rec.releases.storage_s3 import S3Bucket

    return S3Bucket(*bucket, _client(tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))))


def bucket_of(root: Path | str) -> Bucket | None:
    """The bucket that a place names; None when it is a local folder.

    Raises
    ------
    ConfigError
        If it looks like an address but is none of a bucket.
    """
    text = str(root)
    if "://" not in text and not text.lower().startswith("s3:"):
        return None
    found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", text)
    if found is None or isinstance(root, Path):
        raise ConfigError(f"{text}: is no place of releases. Give a folder, or s3://bucket/prefix as a text.")
    return Bucket(found[1], (found[2] or "").strip("/"))


def absolute(root: str) -> str:
    """The same place, whatever the working directory."""
    return str(Path(root).resolve()) if bucket_of(root) is None else root


def home_of(root: Path | str, cache: Path | None = None) -> Path:
    """The local folder that holds a place's releases: itself, or what was fetched from the bucket.

    Parameters
    ----------
    cache
        The folder of all that is fetched; `releases` in `cache_folder()` when absent.
    """
    bucket = bucket_of(root)
    return Path(root) if bucket is None else (cache or cache_folder() / "releases") / _folder_name(bucket)


def state_of(root: Path | str, *, cache: Path | None = None) -> Path:
    """The local folder of what is kept beside releases: added items, who is forgotten, events.

    `CORTEX_REC_STATE` when it is set. Else the folder of releases itself; of a bucket, a folder in `cache` (`cache_folder()` when absent)
    that nothing but a person empties.
    """
    bucket, given = bucket_of(root), os.environ.get("CORTEX_REC_STATE")
    if given:
        return Path(given)
    return Path(root) if bucket is None else (cache or cache_folder()) / "state" / _folder_name(bucket)


def cache_folder() -> Path:
    """`CORTEX_REC_CACHE`, or `~/.cache/cortex-rec`."""
    given = os.environ.get("CORTEX_REC_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "cortex-rec"


def _folder_name(bucket: Bucket) -> str:
    """A flat name, so that one place's folder is never inside another's."""
    readable = re.sub(r"[^a-zA-Z0-9.-]+", "-", "-".join(filter(None, bucket)))[:80]
    return f"{readable}-{hashlib.sha256('/'.join(bucket).encode()).hexdigest()[:8]}"


@lru_cache(maxsize=8)
def _client(variables: tuple[tuple[str, str], ...]) -> Any:
    """A client takes a tenth of a second to make and is safe to share; other variables give another one."""
    from cortex_rec.releases.storage_s3 import connect

    return connect()
