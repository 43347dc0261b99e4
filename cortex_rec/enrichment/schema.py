"""What may be said of an item: a closed schema, so that no text can bring in anything but one of its values."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np
import polars as pl

from cortex_rec.arrays import F64
from cortex_rec.config import EnrichedExample, EnrichedField, Enrichment
from cortex_rec.errors import ConfigError

#: Between the values of a field of the kind `many`, in the order of its options.
JOINED: Final = ", "
#: A value of the catalogue is an option when so many items have it: a rarer one is as likely a slip.
_ITEMS: Final = 5
_MOST: Final = 1_000
_SPACES: Final = re.compile(r"[\s<>\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Fault:
    """A field whose answer is not taken.

    Parameters
    ----------
    field
        Its name; "" when the answer as a whole cannot be read.
    answer
        What was said, shortened.
    why
        What was expected.
    """

    field: str
    answer: str
    why: str


@dataclass(frozen=True)
class Schema:
    """The fields, each with its closed vocabulary.

    Parameters
    ----------
    fields
        By name; each of the kind `one` or `many` has options.
    counts
        Of fields whose options were learned: how many items have each.
    examples
        Words of items and what is right to say of them, joined where it is a list.
    """

    fields: Mapping[str, EnrichedField]
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    examples: tuple[tuple[str, Mapping[str, str]], ...] = ()

    @classmethod
    def learned(cls, config: Enrichment, items: pl.DataFrame) -> Self:
        """Fields whose options are not given take the values that at least five items have.

        Raises
        ------
        ConfigError
            If the items table has no such column, no or too many values in it, or an example does not fit the fields.
        """
        fields, counts = dict(config.fields), {}
        for name, each in config.fields.items():
            if each.kind != "quoted" and not each.options:
                found = _values(name, items)
                fields[name] = each.model_copy(update={"options": tuple(found)})
                counts[name] = tuple(found.values())
        schema = cls(fields, counts)
        return replace(schema, examples=tuple(schema._example(each, config.letters) for each in config.examples))

    def _example(self, example: EnrichedExample, letters: int) -> tuple[str, Mapping[str, str]]:
        words = clean(example.words, letters)
        values, faults = self.check(json.dumps(example.values), words)
        if faults:
            where = f"enrichment.examples: {short(example.words)!r}, {faults[0].field!r} is {faults[0].answer!r}"
            raise ConfigError(f"{where}; expected {faults[0].why}.")
        return words, values

    def log_share(self, name: str) -> F64:
        """(options,) logarithm of the share of items that have each; zeros where nothing is known of it."""
        if name not in self.counts:
            return np.zeros(len(self.fields[name].options))
        counts = np.array(self.counts[name], dtype=np.float64)
        shares: F64 = np.log(counts / counts.sum())
        return shares

    @property
    def digest(self) -> str:
        """Names the schema: an answer to another one is not taken from the cache."""
        said = {name: each.model_dump(mode="json") for name, each in self.fields.items()}
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def check(self, answer: str, text: str) -> tuple[dict[str, str], list[Fault]]:
        """Read a provider's answer.

        Parameters
        ----------
        answer
            Should be a JSON object: for each field an option, null, or (kind `many`) a list of options.
        text
            The item's words; what is quoted must stand in them.

        Returns
        -------
        tuple[dict[str, str], list[Fault]]
            The values that validate, those of a list joined, and what does not.
        """
        try:
            said = json.loads(answer)
        except (ValueError, RecursionError):
            return {}, [Fault("", short(answer), "a JSON object")]
        if not isinstance(said, dict):
            return {}, [Fault("", short(answer), "a JSON object")]
        values: dict[str, str] = {}
        faults = [
            Fault(short(name), short(said[name]), f"one of the fields {list(self.fields)}") for name in said if name not in self.fields
        ]
        for name, each in self.fields.items():
            given = said.get(name)
            if given is None or given == [] or given == "":
                continue
            why = _fault(each, given, text)
            if why is not None:
                faults.append(Fault(name, short(given), why))
            else:
                values[name] = JOINED.join(option for option in each.options if option in given) if each.kind == "many" else given
        return values, faults

    def parts(self, name: str, values: Mapping[str, str]) -> list[str]:
        """The values of a `many` field, apart again."""
        joined = values.get(name, "")
        return [option for option in self.fields[name].options if f"{JOINED}{option}{JOINED}" in f"{JOINED}{joined}{JOINED}"]

    def json_schema(self) -> dict[str, Any]:
        """The same as JSON Schema, for providers that can keep to one."""
        properties: dict[str, Any] = {}
        for name, each in self.fields.items():
            one: dict[str, Any] = {"type": ["string", "null"], "enum": [*each.options, None]}
            if each.kind == "many":
                one = {"type": "array", "items": {"type": "string", "enum": list(each.options)}}
            elif each.kind == "quoted":
                one = {"type": ["string", "null"]}
            properties[name] = one
        return {"type": "object", "properties": properties, "required": list(self.fields), "additionalProperties": False}


def clean(text: str, letters: int) -> str:
    """An item's words as a provider gets them: in one line, cut, and without the brackets that mark a model's own tokens."""
    return _SPACES.sub(" ", text).strip()[:letters].rstrip()


def short(value: Any) -> str:
    """What was said, for a person to read."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return said if len(said) <= 120 else said[:119] + "…"


def _fault(field: EnrichedField, given: Any, text: str) -> str | None:
    if field.kind == "many":
        if not isinstance(given, list) or not all(isinstance(each, str) and each in field.options for each in given):
            return f"a list of some of {short(list(field.options))}"
        return None
    if field.kind == "one":
        return None if isinstance(given, str) and given in field.options else f"one of {short(list(field.options))}, or null"
    if not isinstance(given, str) or re.fullmatch(field.pattern, given) is None or given not in text:
        return f"words of the item's own text that match {short(field.pattern)}, or null"
    return None


def _values(name: str, items: pl.DataFrame) -> dict[str, int]:
    """What enough items have in the column of this name, and how many."""
    if name not in items.columns:
        raise ConfigError(
            f"enrichment.fields.{name}: no `options`, and no column {name!r} in the items table to learn them from. Give some."
        )
    counted = items.filter(pl.col(name).is_not_null()).group_by(pl.col(name).cast(pl.String)).len().filter(pl.col("len") >= _ITEMS)
    if not 1 <= counted.height <= _MOST:
        found = f"{counted.height:,} values of the items' column {name!r} are on at least {_ITEMS} items, expected 1 to {_MOST:,}"
        raise ConfigError(f"enrichment.fields.{name}: {found}. Give `options`.")
    return dict(counted.sort(name).iter_rows())
