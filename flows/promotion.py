"""The event that tells a Prefect server of a promotion; `package/on-promotion` waits for it (prefect.yaml)."""

from typing import Final

from prefect.events import emit_event

from cortex_rec.releases.promotion import Decision
from cortex_rec.releases.store import Release
from cortex_rec.stages import StageOutput
from flows.alarm import tell
from flows.artifacts import show_promotion, show_release, show_stages

PROMOTED: Final = "cortex-rec.promoted"


def emit_promoted(release: str, *, name: str) -> None:
    """Tell that a release is in production now.

    Parameters
    ----------
    release
        Its id; the event's resource is `cortex-rec.release.<id>`.
    name
        What the release recommends, for people who read the event.
    """
    resource = {"prefect.resource.id": f"cortex-rec.release.{release}", "prefect.resource.name": name}
    emit_event(event=PROMOTED, resource=resource, payload={"release": release})


def tell_the_end(made: Release, decision: Decision, stages: list[StageOutput], *, flow: str) -> None:
    """Leave at the dashboard what a run made and what became of it; tell the server of a promotion, and the webhook of none."""
    show_stages(stages)
    show_release(made)
    show_promotion(decision)
    if decision.moved:
        emit_promoted(made.id, name=made.manifest.name)
    if not decision.promoted:
        tell(decision.told(), flow=flow)
