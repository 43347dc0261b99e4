"""Item words and pictures to vectors."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks import progress
from tasks.stage import MINUTE, Report, quarantine, run, save_rules, stage_task

CONTENT: Final = "content.safetensors"
#: The pictures that could not be read, with what was wrong.
PROBLEMS: Final = "pictures.parquet"
_SHOWN: Final = 3


@stage_task(name="embed", timeout_seconds=12 * 60 * MINUTE)
def embed_items(config: Config, encoded: StageOutput) -> StageOutput:
    """Embed the words and the picture of every item; what an earlier run embedded is kept by content."""
    from cortex_rec.catalogue import Catalogue

    # Also of an unchanged run, to see whether a picture has changed: so the catalogue alone, without a year's purchases.
    catalogue = Catalogue.load(encoded.path / "catalogue.parquet")

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.embeddings import images, text
        from cortex_rec.embeddings.content import Content, words
        from tasks.stage_gates import check_content

        cache = Path(config.workspace) / "vectors"
        said = text.embed(words(catalogue), config.embeddings.text, cache=cache, threads=config.threads, progress=report)
        shown = np.zeros((len(catalogue), 0), np.float32)
        if any(catalogue.images):
            found = images.embed(catalogue.images, config.embeddings.image, cache=cache, threads=config.threads, progress=report)
            shown, problems = found.vectors, found.problems
            problems.write_parquet(folder / PROBLEMS, statistics=False)
            if problems.height:
                first = "; ".join(f"{path}: {wrong}" for path, wrong in problems.head(_SHOWN).select("path", "problem").rows())
                first += " …" if problems.height > _SHOWN else ""
                told = "1 picture is" if problems.height == 1 else f"{problems.height:,} pictures are"
                progress.note(f"{told} missing or unreadable and left out ({first}): {PROBLEMS} of the stage")
        save_rules(folder, check_content(said, shown, len(catalogue), quarantine=quarantine(config)).rules)
        Content.of(said, shown, catalogue).save(folder / CONTENT)

    part = config.embeddings.model_dump(mode="json", include={"text", "image"})
    files = {"pictures": _state(catalogue.images)}
    return run(config, "embed", {"encoded": encoded}, part, __name__, write, suites=["content"], files=files)


def _state(images: Sequence[str]) -> str:
    """A digest that changes when a picture does: by size and time, since reading the pictures of a large shop takes minutes."""
    digest = hashlib.sha256()
    for path in filter(None, images):
        found = Path(path)
        told = found.stat() if found.is_file() else None
        digest.update(f"{path}\n{told and (told.st_size, told.st_mtime_ns)}\n".encode())
    return digest.hexdigest()
