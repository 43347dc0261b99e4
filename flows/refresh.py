"""From a release and the purchases since to the next one, between two trainings."""

from datetime import UTC, datetime
from typing import Any

from prefect import flow

from cortex_rec.config import load_config
from cortex_rec.releases.champion import released_at
from flows.alarm import tell_failure
from flows.artifacts import failed_gate_shown
from flows.promotion import tell_the_end
from tasks.check import check_tables
from tasks.embed import embed_items
from tasks.ingest import ingest
from tasks.refresh import (
    follow,
    judge_forward,
    newest_moment,
    open_production,
    part_of,
    place,
    promote_refreshed,
    refresh_retrievers,
    told_forward,
)
from tasks.release import release


@flow(name="refresh", persist_result=False, on_failure=[tell_failure], on_crashed=[tell_failure])
def refresh(config_path: str = "configs/complete_journey.yaml", overrides: dict[str, Any] | None = None) -> str:
    """Take production up to the newest purchases without training the ranker: a night's work in minutes.

    Parameters
    ----------
    config_path
        The YAML file that production was trained by.
    overrides
        Top-level keys that replace those of the file, for example `workspace`.

    Returns
    -------
    str
        The id of the new release, which now is in production, or a candidate where the gate kept it.
    """
    config = load_config(config_path, **(overrides or {}))
    former = open_production(config)
    since = datetime.fromtimestamp(released_at(former), UTC).replace(tzinfo=None)
    with failed_gate_shown():
        dataset = ingest(config, since, part_of(former, "encoded"))
        newest_moment(config, former, dataset)  # where there is nothing new, the night ends here
        tables = check_tables(config, dataset, whole=False)
        # A line that is dated to come is set aside by now.
        end = newest_moment(config, former, tables)
        encoded = follow(config, former, tables)
        content = embed_items(config, encoded)
        fusion = place(config, former, content)
        snapshot = refresh_retrievers(config, former, encoded, fusion, end)
        forward = judge_forward(config, former, tables, end)
    parts = {"encoded": encoded, "fusion": fusion, "snapshot": snapshot}
    parts |= {name: part_of(former, name) for name in ("ranker", "report", "reference")}
    stages = [dataset, tables, encoded, content, fusion, snapshot, forward]
    made = release(config, parts, end, stages, {"refreshed_from": former.id, "forward": told_forward(forward)})
    decision = promote_refreshed(config, former, made)
    tell_the_end(made, decision, stages, flow="refresh")
    return made.id
