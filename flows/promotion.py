"""The event that tells a Prefect server of a promotion; `package/on-promotion` waits for it (prefect.yaml)."""

from typing import Final

from prefect.events import emit_event

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
