"""Item words to vectors."""

from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, run, stage_task

VECTORS = "text.safetensors"


@stage_task(name="embed", timeout_seconds=60 * MINUTE)
def embed_text(config: Config, encoded: StageOutput) -> StageOutput:
    """Embed the words of every item."""

    def write(folder: Path) -> None:
        from cortex_rec.arrays import save_arrays
        from cortex_rec.embeddings.text import embed
        from cortex_rec.encoding import Encoded

        catalogue = Encoded.load(encoded.path).catalogue
        save_arrays(folder / VECTORS, {"text": embed(catalogue, config.text, cache=Path(config.workspace) / "text", seed=config.seed)})

    part = {"text": config.text.model_dump(mode="json"), "seed": config.seed}
    return run(config, "embed", {"encoded": encoded}, part, __name__, write)
