"""The packaged language model as a provider: each answer is the most probable of those that are possible."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from cortex_rec.arrays import F64
from cortex_rec.config import LocalModel
from cortex_rec.enrichment.gemma import Gemma
from cortex_rec.enrichment.provider import Answer
from cortex_rec.enrichment.schema import Schema
from cortex_rec.enrichment.trees import Question, Tree

_BEFORE: Final = "Products of a shop and what they are.\n\n"
_PRODUCT: Final = "Product: "
#: Products of which nothing is known: what is probable after them is so by itself, not because of a product's words.
_NOTHING: Final = ("N/A", "item", "")


class Local:
    """Scores every option of every field of the kind `one` in one pass of the model an item; nothing is generated.

    The model is believed only in fields that an example shows: without one it mostly guesses. There, and for `many`, an option is
    answered when its own words stand in the item's; what is quoted is the first match of the pattern. So small a model that is asked
    whether bread is gluten free says yes.

    An option's score is the logarithm of its probability after the item's words, less that after no words, plus that of its share of
    the catalogue: a model favours some answers whatever it is asked.

    Parameters
    ----------
    config
        How sure it has to be.
    schema
        What is asked.
    folder
        Where the model is unpacked.
    threads
        For each product of matrices.

    Source
    ------
    Zhao et al. 2021, Calibrate Before Use (arXiv:2102.09690); Holtzman et al. 2021, Surface Form Competition (arXiv:2104.08315).
    """

    def __init__(self, config: LocalModel, schema: Schema, folder: Path, *, threads: int = 1) -> None:
        self._sure, self._schema = config.sure, schema
        before = _BEFORE + "".join(_example(words, values, schema) for words, values in schema.examples)
        self._gemma = Gemma(folder, before, threads=threads)
        self._asked = [name for name, field in schema.fields.items() if field.kind == "one"]
        self._shown = {name for _, values in schema.examples for name in values}
        self._tree = Tree.of([self._question(name) for name in self._asked], self._gemma.end)
        nothing = [self._scores(self._gemma.tokens(_PRODUCT + words))[0] for words in _NOTHING]
        self._offset = {
            name: schema.log_share(name) - np.mean([scores[place] for scores in nothing], axis=0) for place, name in enumerate(self._asked)
        }
        said = json.dumps([before, _PRODUCT, _NOTHING, config.sure])
        self.prompt = hashlib.sha256(said.encode()).hexdigest()[:16]

    @property
    def model(self) -> str:
        return self._gemma.name

    def answer(self, text: str, complaint: str = "") -> Answer:
        shares, tokens = self.shares(text)
        said: dict[str, str | list[str] | None] = {}
        for name, field in self._schema.fields.items():
            if field.kind == "quoted":
                found = re.search(field.pattern, text)
                said[name] = None if found is None else found.group()
            elif field.kind == "many" or name not in self._shown:
                spelt = [option for option in field.options if _stands(option, text)]
                said[name] = spelt if field.kind == "many" else max(spelt, key=len, default=None)
            else:
                said[name] = field.options[int(shares[name].argmax())] if shares[name].max() >= self._sure else None
        return Answer(json.dumps(said, ensure_ascii=False), tokens)

    def shares(self, text: str) -> tuple[dict[str, F64], int]:
        """How sure the model is of each option of the fields of the kind `one`, in sum 1, and the tokens that it read."""
        scores, tokens = self._scores(self._gemma.tokens(_PRODUCT + text))
        shares: dict[str, F64] = {}
        for name, score in zip(self._asked, scores, strict=True):
            said = score + self._offset[name]
            odds = np.exp(said - said.max())
            shares[name] = odds / odds.sum()
        return shares, tokens

    def _question(self, name: str) -> Question:
        options = self._schema.fields[name].options
        return Question(self._gemma.tokens(_lead(name)), tuple(self._gemma.tokens(f" {_spoken(option)}") for option in options))

    def _scores(self, text: Sequence[int]) -> tuple[list[F64], int]:
        if not self._asked:
            return [], len(text)
        return self._tree.scores(self._gemma.choices(text, self._tree)), len(text) + len(self._tree.tokens)


def _lead(name: str) -> str:
    return f"\n{name.replace('_', ' ').capitalize()}:"


def _spoken(option: str) -> str:
    """Small letters, where a shop writes capitals only: those the model has seldom read."""
    return option.lower() if option.isupper() else option


def _stands(option: str, text: str) -> bool:
    """Whether the option is in the text, word for word."""
    return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE) is not None


def _example(words: str, values: Mapping[str, str], schema: Schema) -> str:
    lines = [f"{_lead(name)} {_spoken(values[name])}" for name, field in schema.fields.items() if field.kind == "one" and name in values]
    return f"{_PRODUCT}{words}{''.join(lines)}\n\n"
