"""The API as OpenAPI 3.1, made of the same table and the same models that answer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bentos.problems import Problem
from bentos.table import Operation
from cortex_rec import __version__

_AT: Final = "#/components/schemas/{model}"
#: Statuses that a route may answer beside 200, by what it does.
_PROBLEMS: Final = {
    400: "The body is not JSON.",
    401: "A key is asked for, and none or an unknown one came.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    409: "The release holds this already.",
    413: "The body is too large.",
    422: "A field is not as it must be.",
    429: "The key asks too often.",
    500: "A defect of the service.",
    501: "This service was installed without what the request needs.",
    503: "Too many wait, or something is not ready: ask again after `Retry-After` seconds.",
}


def document(table: Sequence[Operation]) -> dict[str, Any]:
    """The whole document."""
    models = [Problem, *(model for each in table for model in (each.asked, each.answered))]
    kinds = [(model, "validation" if any(model is each.asked for each in table) else "serialization") for model in dict.fromkeys(models)]
    _, schemas = models_json_schema(kinds, ref_template=_AT)  # type: ignore[arg-type]
    paths: dict[str, dict[str, Any]] = {}
    for each in table:
        paths.setdefault(each.template, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "CORTEX-Rec", "version": __version__, "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "Where the service has API keys."}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    told = (operation.call.__doc__ or "").strip()
    described: dict[str, Any] = {
        "operationId": operation.call.__name__,
        "summary": told.split(".")[0],
        "description": told,
        "tags": [operation.call.__module__.rpartition(".")[2]],
        "parameters": _parameters(operation),
        "responses": {"200": {"description": "The answer.", **_json(operation.answered)}}
        | {str(status): {"description": text, **_json(Problem)} for status, text in _PROBLEMS.items()},
    }
    if operation.has_body:
        content = {"schema": _body(operation)}
        examples = operation.asked.model_config.get("json_schema_extra")
        if isinstance(examples, Mapping):
            content["example"] = examples["examples"][0]  # type: ignore[index,assignment]
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _body(operation: Operation) -> dict[str, Any]:
    """The model; without what the path says."""
    names = operation.in_path
    if not names:
        return {"$ref": _AT.format(model=operation.asked.__name__)}
    schema = operation.asked.model_json_schema(ref_template=_AT)
    schema["properties"] = {name: part for name, part in schema["properties"].items() if name not in names}
    schema["required"] = [name for name in schema.get("required", []) if name not in names]
    return schema


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    schema = operation.asked.model_json_schema(ref_template=_AT)
    found = []
    for name, part in schema.get("properties", {}).items():
        if name in operation.in_path:
            found.append({"name": name, "in": "path", "required": True, "schema": part})
        elif not operation.has_body:
            plain = next((choice for choice in part.get("anyOf", []) if choice.get("type") != "null"), part)
            found.append({"name": name, "in": "query", "required": False, "schema": plain})
    return found


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": _AT.format(model=model.__name__)}}}}


def path_names(template: str) -> tuple[str, ...]:
    """The names in braces of a path."""
    return tuple(re.findall(r"{(\w+)}", template))
