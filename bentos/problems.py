"""Why there is no answer: the refusal that the code raises, and the words for whatever in a request is not as it must be."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError

from cortex_rec.errors import CortexRecError

#: An id, a field or a value as long as this is shown whole.
SHOWN: Final = 80


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
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else "Leave it out."
    listed = f" Known: {', '.join(names)}." if names else ""
    return Refused(f"`{name[:SHOWN]}` is not a known field. {hint}{listed}", error="unknown_field", status=422)


def of_fault(error: ValidationError, model: type[BaseModel]) -> Refused:
    """The first fault in words; the others are as a rule its consequences."""
    fault = error.errors(include_url=False, include_context=False)[0]
    schema = _schema(model)
    if fault["type"] == "json_invalid":
        place = fault["msg"].removeprefix("Invalid JSON: ")
        return Refused(f"The body is not JSON: {place}. Send for example {_example(model)}.", error="not_json", status=400)
    if not fault["loc"]:
        return Refused(f"The body is JSON, but not an object. Send for example {_example(model)}.", error="not_an_object", status=422)
    if fault["type"] == "extra_forbidden":
        *outside, name = fault["loc"]
        return unknown_field(str(name), _at(schema, outside)["properties"])
    expected, place = _words(_at(schema, fault["loc"])), _place(fault["loc"])
    got = "nothing" if fault["type"] == "missing" else _shown(fault["input"])
    return Refused(f"`{place}`: expected {expected}, got {got}.", error="invalid_field", status=422)


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _example(model: type[BaseModel]) -> str:
    """That of `POST` bodies; no path or query is read as JSON."""
    extra = cast(dict[str, Any], model.model_config["json_schema_extra"])
    return json.dumps(extra["examples"][0])


def _place(location: Sequence[str | int]) -> str:
    first, *rest = location
    return str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part[:SHOWN]}" for part in rest if part != "[key]")


def _at(schema: Mapping[str, Any], location: Sequence[str | int]) -> Mapping[str, Any]:
    """The part of a JSON schema that describes a place."""
    part: Mapping[str, Any] = schema
    for step in location:
        part = _plain(part, schema)
        if step == "[key]":
            return {"type": "string", "minLength": 1, "maxLength": 200, **part.get("propertyNames", {})}
        if isinstance(step, int):
            part = part["items"]
        else:
            part = part["properties"][step] if "properties" in part else part["additionalProperties"]
    return {**_plain(part, schema), **{name: part[name] for name in ("examples",) if name in part}}


def _plain(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without reference, and as it is when it is not null."""
    if "anyOf" in part:
        (part,) = (choice for choice in part["anyOf"] if choice.get("type") != "null")
    if "$ref" in part:
        return dict(schema["$defs"][part["$ref"].rpartition("/")[2]])
    return part


def _words(part: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "enum" in part:
        return f"one of {', '.join(map(repr, part['enum']))}"
    example = f", for example {json.dumps(part['examples'][0])}" if "examples" in part else ""
    kind = part.get("type")
    if kind in ("integer", "number"):
        return f"{'a whole number' if kind == 'integer' else 'a number'}{_range(part)}{example}"
    if kind == "string":
        if part.get("format") == "date-time":
            return f"a moment as ISO 8601{example}"
        if part.get("minLength", 0) > 0:
            return f"text of {part['minLength']} to {part['maxLength']:,} characters{example}"
        return f"text of at most {part['maxLength']:,} characters{example}"
    if kind == "array":
        least = f"{part['minItems']} to " if part.get("minItems") else "at most "
        return f"a list of {least}{part['maxItems']:,}{example}"
    if kind == "boolean":
        return "true or false"
    return f"an object of at most {part['maxProperties']:,} fields{example}" if "maxProperties" in part else "an object"


def _range(part: Mapping[str, Any]) -> str:
    least, most = part.get("minimum"), part.get("maximum")
    if least is None:
        return f" above {part['exclusiveMinimum']:g} and at most {most:,g}"
    return f" from {least:g} to {most:,g}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}…"
