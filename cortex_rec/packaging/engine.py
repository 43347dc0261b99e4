"""buildah or podman, whichever is there: both build from the same Containerfile and keep images in the same storage."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cortex_rec.errors import ArtifactError, ProgramFailed
from cortex_rec.packaging import programs

#: Made by `cortex_rec.packaging.base` where no registry with a base image can be reached.
DEBIAN_BASE: Final = "localhost/cortex-rec-base:bookworm"


@dataclass(frozen=True)
class Engine:
    """What builds images here; `program` is `buildah` or `podman`."""

    program: str

    @classmethod
    def find(cls) -> "Engine":
        """The one that is installed.

        Raises
        ------
        ProgramMissing
            If neither is.
        """
        return cls(programs.choose("buildah", "podman", purpose="Building an image"))

    def has(self, image: str) -> bool:
        """Whether the local storage has an image."""
        return bool(programs.run([self.program, "images", "--quiet", "--filter", f"reference={image}"]).strip())

    def need_base(self, base: str) -> None:
        """Fail early where `base` can only be local and is not.

        Raises
        ------
        ArtifactError
            With the way out.
        """
        if base.startswith("localhost/") and not self.has(base):
            raise ArtifactError(
                f"The base image {base} is not in the storage of {self.program}. Make it with `make image-base` (Debian with Python, by "
                "debootstrap, as root, 2 minutes), or name one that can be pulled and has Python 3.11 as python3: `make image BASE=…`."
            )

    def build(
        self, context: Path, containerfile: Path, *, tag: str, arguments: Mapping[str, str], labels: Mapping[str, str], made: int
    ) -> None:
        """Build into the local storage.

        Parameters
        ----------
        context
            The folder that `COPY` takes from.
        arguments
            Values of the Containerfile's `ARG` lines.
        made
            Seconds since 1970 that all files and the image are stamped with, so that the same content has the same digest.

        Raises
        ------
        ProgramFailed
            With the last words of the step that failed.
        """
        named = [part for name, value in sorted(labels.items()) for part in ("--label", f"{name}={value}")]
        named += [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
        # Docker's format: that of OCI has no health check. Layers are kept, so that a new release repeats only its own.
        options = ["--format", "docker", "--layers", "--timestamp", str(made), "--tag", tag]
        programs.run([self.program, "build", *options, *named, "--file", str(containerfile), str(context)])

    def adopt(self, archive: Path, name: str) -> None:
        """Make an image of one layer from a root file system."""
        if self.program == "podman":
            programs.run(["podman", "import", "--quiet", str(archive), name])
            return
        made = programs.run(["buildah", "from", "scratch"]).strip()
        try:
            programs.run(["buildah", "add", "--quiet", made, str(archive), "/"])
            programs.run(["buildah", "commit", "--quiet", made, name])
        finally:
            programs.run(["buildah", "rm", made])

    def export(self, tag: str, folder: Path) -> None:
        """Write an image as files, compressed as in a registry: `manifest.json`, its configuration and its layers."""
        # gzip's own level: 9 takes twelve times as long for 4 % less.
        compress = ["--compression-format", "gzip"] if self.program == "buildah" else ["--compress"]
        programs.run([self.program, "push", "--quiet", *compress, tag, f"dir:{folder}"])

    def say(self, image: str, command: list[str]) -> str | None:
        """What a command says inside an image; None when it fails there."""
        if self.program == "podman":
            wrapped, made = ["podman", "run", "--rm", image, *command], None
        else:
            made = programs.run(["buildah", "from", "--quiet", image]).strip()
            wrapped = ["buildah", "run", made, "--", *command]
        try:
            return programs.run(wrapped)
        except ProgramFailed:
            return None
        finally:
            if made is not None:
                programs.run(["buildah", "rm", made])
