"""Item words to vectors."""

from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, quarantine, run, save_rules, stage_task

VECTORS = "text.safetensors"


@stage_task(name="embed", timeout_seconds=60 * MINUTE)
def embed_text(config: Config, encoded: StageOutput) -> StageOutput:
    """Embed the words of every item."""

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.arrays import save_arrays
        from cortex_rec.embeddings.text import embed
        from cortex_rec.encoding import Encoded
        from tasks.stage_gates import check_embeddings

        titles = Encoded.load(encoded.path).catalogue.titles
        vectors = embed(titles, config.embeddings.text, cache=Path(config.workspace) / "text", progress=report)
        save_rules(folder, check_embeddings(vectors, len(titles), quarantine=quarantine(config)).rules)
        save_arrays(folder / VECTORS, {"text": vectors})

    return run(
        config, "embed", {"encoded": encoded}, config.embeddings.text.model_dump(mode="json"), __name__, write, suites=["embeddings"]
    )
