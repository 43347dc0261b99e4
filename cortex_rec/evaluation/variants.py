"""The file of `cortex-rec evaluate --rules FILE`: filters and rules, named, by the fields and limits of the service's body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from cortex_rec import conditions, faults
from cortex_rec.config import read_yaml
from cortex_rec.errors import ConfigError, InvalidRequest
from cortex_rec.requests import Filters, Request, Rules

_EXPECTED: Final = "expected a variant with `name`, `filters` and `rules`, or a list of such. docs/rules.md has examples."


class _Written(conditions.Written):
    name: Annotated[str, Field(min_length=1, max_length=40, examples=["two of a brand"])]
    filters: conditions.Filters = conditions.Filters()
    rules: conditions.Rules = conditions.Rules()


@dataclass(frozen=True)
class Variant:
    """Conditions under which the test window is answered.

    Parameters
    ----------
    name
        What it is called.
    filters, rules
        As a request has them.
    file
        Where it stands, for messages.
    """

    name: str
    filters: Filters
    rules: Rules
    file: Path

    @property
    def place(self) -> str:
        """The file and the variant, as the beginning of a message."""
        return f"{self.file}: variant {self.name!r}"


def read(path: Path) -> tuple[Variant, ...]:
    """The variants of a YAML or JSON file, in their order.

    Raises
    ------
    ConfigError
        If the file is missing or is neither, or a field or value is not as it must be; the message names the variant and the field.
    """
    raw = read_yaml(path, where="docs/rules.md shows what it holds.")
    given = raw if isinstance(raw, list) else [raw]
    if not given or not all(isinstance(one, dict) for one in given):
        raise ConfigError(f"{path}: {_EXPECTED}")
    variants = tuple(_variant(path, place, one) for place, one in enumerate(given, start=1))
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: variant {name!r} is there twice. Give each a name of its own.")
    return variants


def _variant(path: Path, number: int, given: Mapping[str, Any]) -> Variant:
    name = given.get("name")
    where = f"{path}: variant {name!r}" if isinstance(name, str) else f"{path}: variant {number}"
    try:
        _refuse_other_keys(given, "")
        # As JSON, because that is what the service reads: the same values are taken, and the same refused.
        written = _Written.model_validate_json(json.dumps(given, default=str), strict=True)
        filters, rules = Filters(**written.filters.model_dump()), Rules(**written.rules.model_dump())
        Request(filters=filters, rules=rules)
    except ValidationError as error:
        raise ConfigError(f"{where}: {faults.in_words(faults.first_fault(error), _Written)}") from error
    except InvalidRequest as error:
        raise ConfigError(f"{where}: {error}") from error
    return Variant(written.name, filters, rules, path)


def _refuse_other_keys(value: object, place: str) -> None:
    """YAML takes `00017: 2` for the number 15, and it would become the id of another item."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if not isinstance(key, str):
            raise InvalidRequest(f"`{place or 'name'}`: the key {key!r} is no text. Put ids in quotes.")
        _refuse_other_keys(inner, f"{place}.{key}".lstrip("."))
