"""Why there is no answer: the refusal that the code raises, also for whatever in a request is not as it must be."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from cortex_rec import faults
from cortex_rec.errors import CortexRecError


class Refused(CortexRecError):
    """A request that is not answered.

    Parameters
    ----------
    message
        What is wrong, what was expected, and the way out.
    error
        A short name for programs.
    status
        HTTP status: 400 to 499 when asking otherwise helps, 503 when asking later does.
    headers
        What else to send, such as `Retry-After` in seconds.
    """

    def __init__(self, message: str, *, error: str, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.status = status
        self.headers = headers


class Problem(BaseModel):
    """Why there is no answer: a short name for programs, a sentence for people."""

    error: str
    detail: str


def later(message: str, *, error: str, seconds: int = 1, status: int = 503) -> Refused:
    """A refusal that names the time after which to ask again."""
    return Refused(message, error=error, status=status, headers={"Retry-After": str(seconds)})


def unknown_field(name: str, known: Iterable[str]) -> Refused:
    """A field that is not among those known."""
    return Refused(faults.unknown([name], known), error="unknown_field", status=422)


def of_fault(error: ValidationError, model: type[BaseModel]) -> Refused:
    """The first fault in words."""
    fault = faults.first_fault(error)
    if fault["type"] == "json_invalid":
        place = fault["msg"].removeprefix("Invalid JSON: ")
        return Refused(f"The body is not JSON: {place}. Send for example {_example(model)}.", error="not_json", status=400)
    if not fault["loc"]:
        return Refused(f"The body is JSON, but not an object. Send for example {_example(model)}.", error="not_an_object", status=422)
    name = "unknown_field" if fault["type"] == "extra_forbidden" else "invalid_field"
    return Refused(faults.in_words(fault, model), error=name, status=422)


def _example(model: type[BaseModel]) -> str:
    """That of `POST` bodies; no path or query is read as JSON."""
    extra = cast(dict[str, Any], model.model_config["json_schema_extra"])
    return json.dumps(extra["examples"][0])
