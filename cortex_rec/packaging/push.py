"""An image to a registry by skopeo: pushed once, never over another one, and looked at afterwards."""

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cortex_rec.errors import ProgramFailed, RegistryError
from cortex_rec.packaging import programs
from cortex_rec.packaging.ecr import Login
from cortex_rec.packaging.image import Image

#: What registries say of a tag or a repository that is not there.
_ABSENT: Final = ("manifest unknown", "name unknown", "repository name not known", "not found")


@dataclass(frozen=True)
class Pushed:
    """Where an image is now; `reference` names it by digest. `already` when it was there before."""

    reference: str
    tag: str
    already: bool


def push(image: Image, repository: str, login: Login, *, registry: str | None = None) -> Pushed:
    """Push under the image's tag, and compare what the registry then has with what is here.

    Parameters
    ----------
    repository
        Its name in the registry, such as `cortex-rec`.
    registry
        Host and port, where they are not those of `login`; only on this machine (127.0.0.1, localhost) without TLS.

    Raises
    ------
    ProgramMissing
        If skopeo is not installed.
    RegistryError
        If the registry does not answer or refuses, has another image under the tag, or another digest after the push.
    """
    skopeo = programs.choose("skopeo", purpose="Pushing an image")
    host = registry or login.registry
    place = f"{host}/{repository}"
    target = f"docker://{place}:{image.tag}"
    tls = "false" if host.partition(":")[0] in ("127.0.0.1", "localhost") else "true"
    with _authfile(host, login) as authfile:
        present = _digest(skopeo, target, authfile, tls)
        if present not in (None, image.digest):
            raise RegistryError(
                f"{place}:{image.tag} is {present} already, and this image is {image.digest}. Tags never change: commit what differs, "
                "which gives the image another tag, or remove the one in the registry."
            )
        if present is None:
            copy = [skopeo, "copy", "--quiet", "--preserve-digests", "--authfile", str(authfile), f"--dest-tls-verify={tls}"]
            _ask([*copy, f"dir:{image.files}", target], place)
            found = _digest(skopeo, target, authfile, tls)
            if found != image.digest:
                raise RegistryError(f"{place}:{image.tag} was pushed as {image.digest}, and the registry says that it has {found}.")
    return Pushed(f"{place}@{image.digest}", image.tag, already=present is not None)


def _digest(skopeo: str, target: str, authfile: Path, tls: str) -> str | None:
    """The digest that a registry has for a tag; None when it has none."""
    command = [skopeo, "inspect", "--authfile", str(authfile), f"--tls-verify={tls}", "--no-tags", "--format", "{{.Digest}}", target]
    try:
        return _ask(command, target.removeprefix("docker://")).strip()
    except RegistryError as error:
        cause = error.__cause__
        if isinstance(cause, ProgramFailed) and any(word in cause.said.lower() for word in _ABSENT):
            return None
        raise


def _ask(command: list[str], place: str) -> str:
    try:
        return programs.run(command)
    except ProgramFailed as error:
        raise RegistryError(
            f"{place}: the registry does not answer or refuses. Check its address, your permissions and the network, then push again: "
            f"layers that are there are not sent twice. skopeo says: {error.said}"
        ) from error


@contextmanager
def _authfile(host: str, login: Login) -> Iterator[Path]:
    """The password where only this user's programs can read it, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "auth.json"
        path.touch(0o600)
        token = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
        path.write_text(json.dumps({"auths": {host: {"auth": token}}}), encoding="utf-8")
        yield path
