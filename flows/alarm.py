"""Who is told when a night goes wrong: the webhook that `CORTEX_REC_WEBHOOK` names, if it names one."""

import logging
import os
from typing import Any, Final

import httpx
from prefect import Flow, State
from prefect.client.schemas.objects import FlowRun

WEBHOOK: Final = "CORTEX_REC_WEBHOOK"
#: Seconds that a webhook may take.
_PATIENCE: Final = 10.0
_LOG: Final = logging.getLogger(__name__)


def tell(text: str, *, flow: str) -> None:
    """Post `{"text", "flow"}` as JSON, which Slack, Mattermost and most others take as a message.

    A webhook that fails is told in the log and ends no run. Its address may hold a secret, so it is named by its variable alone.
    """
    address = os.environ.get(WEBHOOK, "")
    if not address:
        return
    try:
        httpx.post(address, json={"text": text, "flow": flow}, timeout=_PATIENCE).raise_for_status()
    except httpx.HTTPStatusError as error:
        _LOG.warning("The webhook of %s answered %d: nobody was told.", WEBHOOK, error.response.status_code)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _LOG.warning("The webhook of %s cannot be reached (%s): nobody was told.", WEBHOOK, type(error).__name__)


def tell_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of a flow that failed or crashed: a gate that stopped it says which, and what to do."""
    del flow_run
    tell(f"{flow.name} failed: {state.message}", flow=flow.name)
