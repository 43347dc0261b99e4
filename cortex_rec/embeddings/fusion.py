"""Words, picture and attributes of an item to one unit vector, answered in plain NumPy.

The training is in `fusion_training.py`, which needs torch; answering does not.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from threadpoolctl import ThreadpoolController

from cortex_rec.arrays import F32, I32, NO_ROW, Array, load_arrays, save_arrays
from cortex_rec.embeddings.content import Content
from cortex_rec.embeddings.placed import Placed
from cortex_rec.errors import ConfigError
from cortex_rec.folders import readable

#: Items placed at once, the last ones filled up to as many: matrix products of another shape round otherwise, and an item added later
#: would not get the vector that it gets among all others.
BLOCK: Final = 256
# Several threads sum a product in another order than one does.
_blas: Final = ThreadpoolController().select(user_api="blas")
_ARRAYS: Final = "fusion.safetensors"
_NAMES: Final = "fusion.json"


@dataclass(frozen=True)
class Tower:
    """The weights of one `fusion_network.Network` by their names there; an attribute's table has a last row for unknown.

    Parameters
    ----------
    weights
        float32 arrays; of a linear layer the transposed `weight` (inputs, outputs) and the `bias` (outputs,).
    """

    weights: Mapping[str, F32]

    def place(self, content: Content) -> Placed:
        """Codes of `content` are rows of the tables."""
        hidden = self._hidden(content)
        return Placed(_unit(self._linear("vector", hidden)), self._linear("appeal", hidden)[:, 0])

    def _hidden(self, content: Content) -> F32:
        hidden = self._dense("text", content.text) + self._dense("image", content.image)
        for name, rows in content.attributes.items():
            hidden += self.weights[f"attribute.{name}"][rows]
        hidden = _silu(self._normalised("entry", hidden))
        return hidden + self._linear("second", _silu(self._linear("first", self._normalised("norm", hidden))))

    def _dense(self, name: str, vectors: F32) -> F32:
        """What words or pictures say, and the learned vector of their absence where there are none."""
        absent = self.weights[f"{name}.absent"]
        if vectors.shape[1] == 0:
            return np.tile(absent, (len(vectors), 1))
        return np.where(vectors.any(axis=1, keepdims=True), self._linear(name, vectors), absent)

    def _linear(self, name: str, inputs: F32) -> F32:
        result: F32 = inputs @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result

    def _normalised(self, name: str, inputs: F32) -> F32:
        centred = inputs - inputs.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(1e-5))
        result: F32 = centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result


@dataclass(frozen=True)
class Fusion:
    """Several networks that learned the same in different order: what they agree on is what holds for an item not seen before.

    Parameters
    ----------
    text_width, image_width
        Dimensions of the vectors of words and pictures; 0 in a shop without any.
    rows
        For each attribute that it reads, the row in the networks' tables of every code, and last of unknown: (n_codes + 1,) int32.
    towers
        The networks.
    projection
        (towers x dimensions, d) float32: from the vectors of all towers, side by side, to the item's.
    """

    text_width: int
    image_width: int
    rows: Mapping[str, I32]
    towers: tuple[Tower, ...]
    projection: F32

    @property
    def dimensions(self) -> int:
        """Of an item's vector."""
        return int(self.projection.shape[1])

    def place(self, content: Content) -> Placed:
        """Place items by what they say and show.

        Parameters
        ----------
        content
            Anything may be absent: words, picture, an attribute's value (-1, or one that came after the training), or a whole attribute.

        Returns
        -------
        Placed
            An item's place does not depend on which others are asked for.

        Raises
        ------
        ConfigError
            If the vectors of words or pictures are not of the width that the network learned from.
        """
        placed = Placed(np.zeros((len(content), self.dimensions), np.float32), np.zeros(len(content), np.float32))
        for at, block in self._blocks(content):
            n, towers = at.stop - at.start, [tower.place(block) for tower in self.towers]
            placed.vectors[at] = _unit(np.concatenate([each.vectors for each in towers], axis=1) @ self.projection)[:n]
            placed.appeal[at] = np.mean([each.appeal for each in towers], axis=0)[:n]
        return placed

    def _blocks(self, content: Content) -> Iterator[tuple[slice, Content]]:
        """Places of at most `BLOCK` items, and as many items with codes turned to rows; the last one fills up the last block."""
        for name, vectors, width in (("text", content.text, self.text_width), ("image", content.image, self.image_width)):
            if vectors.shape[1] not in (0, width):
                raise ConfigError(
                    f"fusion: {name} vectors of {vectors.shape[1]} dimensions, but it learned from {width}. Use the model of "
                    f"embeddings.{name} that it was trained with, or train again."
                )
        n = len(content)
        rows = {name: row[_known(content.attributes.get(name, np.full(n, NO_ROW)), len(row) - 1)] for name, row in self.rows.items()}
        placed = Content(content.text, content.image, rows)
        with _blas.limit(limits=1):
            for start in range(0, n, BLOCK):
                yield slice(start, min(start + BLOCK, n)), placed.take(np.minimum(np.arange(start, start + BLOCK, dtype=np.int32), n - 1))

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        arrays: dict[str, Array] = {"projection": self.projection} | {f"rows.{name}": rows for name, rows in self.rows.items()}
        for number, tower in enumerate(self.towers):
            arrays |= {f"tower.{number}.{name}": values for name, values in tower.weights.items()}
        save_arrays(folder / _ARRAYS, arrays)
        # Attributes by name, since a tower adds up what they say in this order.
        told = {"text_width": self.text_width, "image_width": self.image_width, "attributes": list(self.rows), "towers": len(self.towers)}
        (folder / _NAMES).write_text(json.dumps(told), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing or damaged.
        """
        with readable(folder, "the fusion network"):
            told, arrays = json.loads((folder / _NAMES).read_text(encoding="utf-8")), load_arrays(folder / _ARRAYS)
            rows = {name: arrays[f"rows.{name}"] for name in told["attributes"]}
            towers = tuple(Tower(_under(f"tower.{number}.", arrays)) for number in range(told["towers"]))
            return cls(told["text_width"], told["image_width"], rows, towers, arrays["projection"])


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _known(codes: I32, unknown: int) -> I32:
    """Codes with `unknown` for -1 and for those that the training did not know."""
    return np.where((codes >= 0) & (codes < unknown), codes, unknown)


def _unit(vectors: F32) -> F32:
    result: F32 = vectors / np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    return result


def _silu(values: F32) -> F32:
    # Further down it is zero to the last bit, and the exponential too large for a number.
    result: F32 = values / (1 + np.exp(-np.maximum(values, -80)))
    return result
