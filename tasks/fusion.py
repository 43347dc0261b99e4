"""Words, pictures and attributes to one vector an item."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.embed import CONTENT
from tasks.stage import MINUTE, Report, quarantine, run, save_rules, stage_task

if TYPE_CHECKING:
    from cortex_rec.embeddings.content import Content
    from cortex_rec.embeddings.fusion import Fusion

#: Inside the stage's folder: the network, and where it places the items.
MODEL: Final = "model"
PLACES: Final = "places.safetensors"


@stage_task(name="fusion", timeout_seconds=120 * MINUTE)
def fuse(config: Config, encoded: StageOutput, content: StageOutput, as_of: int) -> StageOutput:
    """Learn from the purchases before `as_of` what is bought by the same people, and place every item by what it says and shows."""
    from cortex_rec.splits import day_of

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.embeddings import fusion_training
        from cortex_rec.embeddings.content import Content
        from cortex_rec.encoding import Encoded
        from cortex_rec.histories import Past

        items = Content.load(content.path / CONTENT)
        past = Past(Encoded.load(encoded.path, mapped=True).histories, as_of)
        network = fusion_training.fit(items, past, config.embeddings.fusion, seed=config.seed, threads=config.threads, progress=report)
        keep_places(folder, network, items, config)

    part = {"fusion": config.embeddings.fusion.model_dump(mode="json"), "seed": config.seed, "threads": config.threads, "as_of": as_of}
    inputs = {"encoded": encoded, "content": content}
    return run(config, "fusion", inputs, part, __name__, write, label=day_of(as_of), suites=["embeddings"])


def keep_places(folder: Path, network: "Fusion", items: "Content", config: Config) -> None:
    """Place all items by a network, hold the places to their gate, and save both."""
    from tasks.stage_gates import check_embeddings

    placed = network.place(items)
    save_rules(folder, check_embeddings(placed.vectors, len(items), quarantine=quarantine(config)).rules)
    (folder / MODEL).mkdir()
    network.save(folder / MODEL)
    placed.save(folder / PLACES)
