"""From checked tables to dense arrays."""

from pathlib import Path

from cortex_rec.config import Config
from cortex_rec.stages import StageOutput
from tasks.stage import MINUTE, Report, run, stage_task


@stage_task(name="encode", timeout_seconds=15 * MINUTE)
def encode(config: Config, tables: StageOutput) -> StageOutput:
    """Replace external ids by dense rows and order purchases by user."""

    def write(folder: Path, report: Report) -> None:
        from cortex_rec.dataset import Stream
        from cortex_rec.encoding import encode_stream

        encode_stream(Stream.load(tables.path), folder)

    return run(config, "encode", {"tables": tables}, {}, __name__, write)
