"""What in a value is not as its pydantic model wants it: one sentence that names the field, what was expected, and what came."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

#: An id, a field or a value as long as this is shown whole.
SHOWN: Final = 80


def first_fault(error: ValidationError) -> ErrorDetails:
    """The first fault of a value; the others are as a rule its consequences."""
    return error.errors(include_url=False, include_context=False)[0]


def in_words(fault: ErrorDetails, model: type[BaseModel]) -> str:
    """A fault that lies in a field of the model, as a sentence."""
    schema = _schema(model)
    if fault["type"] == "extra_forbidden":
        return unknown(fault["loc"], _at(schema, fault["loc"][:-1])["properties"])
    got = "nothing" if fault["type"] == "missing" else _shown(fault["input"])
    return f"`{_place(fault['loc'])}`: expected {_words(_at(schema, fault['loc']))}, got {got}."


def unknown(location: Sequence[str | int], known: Iterable[str]) -> str:
    """A field, by the way to it, that is not among those known there."""
    names = list(known)
    near = difflib.get_close_matches(str(location[-1]), names, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else "Leave it out."
    listed = f" Known: {', '.join(names)}." if names else ""
    return f"`{_place(location)}` is not a known field. {hint}{listed}"


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _place(location: Sequence[str | int]) -> str:
    first, *rest = location
    return str(first)[:SHOWN] + "".join(f"[{part}]" if isinstance(part, int) else f".{part[:SHOWN]}" for part in rest if part != "[key]")


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
