"""What every pretrained network needs: torchvision where torch has no CUDA, a digest of its files, one thread a product."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from cortex_rec.folders import FileRecord, content_digest

_OPERATORS: Final = ("torchvision::nms", "torchvision::qnms")


def import_torchvision() -> None:
    """Import torchvision, also beside a torch without CUDA.

    PyPI's torchvision is built for CUDA. Beside a torch that is not, its compiled part does not load, and the import ends in
    "operator torchvision::nms does not exist", although nothing compiled is needed for transforms and networks. Declaring the
    two operators that the import looks up, which nobody calls here, lets it pass. sentence_transformers needs the same:
    transformers imports torchvision wherever it is installed.
    """
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        if not any(name in str(error) for name in _OPERATORS):
            raise
        for name in _OPERATORS:
            torch.library.define(name, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Within, torch computes each product in the thread that asks for it, so that its bits depend on no number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def files_digest(path: Path) -> str:
    """SHA-256 over names and bytes of a file or of all files in a folder; read again only when sizes or times have changed."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return _files_digest(path, tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=8)
def _files_digest(path: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    root = path if path.is_dir() else path.parent
    return content_digest({file.relative_to(root).as_posix(): FileRecord.of(file) for file, _, _ in files})
