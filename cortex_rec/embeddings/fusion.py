"""Words, picture and attributes of an item to one unit vector, answered in plain NumPy.

The training is in `fusion_training.py`, which needs torch; answering does not.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, Self

import numpy as np
from threadpoolctl import ThreadpoolController

from cortex_rec.arrays import F32, I32, Array, load_arrays, save_arrays
from cortex_rec.embeddings.content import Content
from cortex_rec.errors import ArtifactError, ConfigError

#: Items placed at once, the last ones filled up to as many: matrix products of another shape round otherwise, and an item added later
#: would not get the vector that it gets among all others.
BLOCK: Final = 256
# Several threads sum a product in another order than one does.
_blas: Final = ThreadpoolController().select(user_api="blas")
_ARRAYS: Final = "fusion.safetensors"
_NAMES: Final = "fusion.json"


@dataclass(frozen=True)
class Fusion:
    """The weights of `fusion_network.Network` by their names there, and what they read.

    Parameters
    ----------
    text_width, image_width
        Dimensions of the vectors of words and pictures; 0 in a shop without any.
    attributes
        Names of the attributes that it reads.
    weights
        float32 arrays; of a linear layer the transposed `weight` (inputs, outputs) and the `bias` (outputs,); of an attribute one row
        a code and a last one for unknown.
    """

    text_width: int
    image_width: int
    attributes: tuple[str, ...]
    weights: Mapping[str, F32]

    @property
    def dimensions(self) -> int:
        """Of an item's vector."""
        return len(self.weights["vector.bias"])

    def embed(self, content: Content) -> F32:
        """Place items by what they say and show.

        Parameters
        ----------
        content
            Anything may be absent: words, picture, an attribute's value (-1, or one that came after the training), or a whole attribute.

        Returns
        -------
        F32
            (n, d) float32 unit vectors; near ones are bought by the same people. An item's vector does not depend on which others
            are asked for.

        Raises
        ------
        ConfigError
            If the vectors of words or pictures are not of the width that the network learned from.
        """
        parts = [self._linear("vector", hidden) for hidden in self._hidden(content)]
        vectors = np.concatenate(parts)[: len(content)] if parts else np.zeros((0, self.dimensions), np.float32)
        unit: F32 = vectors / np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
        return unit

    def appeal(self, content: Content) -> F32:
        """(n,) float32: how much more than others such items are bought by anybody, added to the cosine of a user's taste and the item."""
        parts = [self._linear("appeal", hidden)[:, 0] for hidden in self._hidden(content)]
        return np.concatenate(parts)[: len(content)] if parts else np.zeros(0, np.float32)

    def _hidden(self, content: Content) -> Iterator[F32]:
        """(BLOCK, width) float32 of all items, block by block; the last ones of the last block are repetitions."""
        for name, vectors, width in (("text", content.text, self.text_width), ("image", content.image, self.image_width)):
            if vectors.shape[1] not in (0, width):
                raise ConfigError(
                    f"fusion: {name} vectors of {vectors.shape[1]} dimensions, but it learned from {width}. Use the model of "
                    f"embeddings.{name} that it was trained with, or train again."
                )
        with _blas.limit(limits=1):
            for start in range(0, len(content), BLOCK):
                yield self._block(content.take(np.minimum(np.arange(start, start + BLOCK, dtype=np.int32), len(content) - 1)))

    def _block(self, content: Content) -> F32:
        hidden = self._dense("text", content.text) + self._dense("image", content.image)
        for name in self.attributes:
            hidden += self._rows(name, content.attributes.get(name))
        hidden = np.maximum(self._normalised("entry", hidden), 0)
        for block in self._numbers("block"):
            inner = np.maximum(self._linear(f"{block}.first", self._normalised(f"{block}.norm", hidden)), 0)
            hidden = hidden + self._linear(f"{block}.second", inner)
        return hidden

    def _dense(self, name: str, vectors: F32) -> F32:
        """What words or pictures say, and the learned vector of their absence where there are none."""
        absent = self.weights[f"{name}.absent"]
        if vectors.shape[1] == 0:
            return np.tile(absent, (len(vectors), 1))
        there = vectors.any(axis=1, keepdims=True)
        return np.where(there, self._linear(name, vectors), absent)

    def _rows(self, name: str, codes: I32 | None) -> F32:
        table = self.weights[f"attribute.{name}"]
        unknown = len(table) - 1
        return table[unknown] if codes is None else table[np.where((codes >= 0) & (codes < unknown), codes, unknown)]

    def _linear(self, name: str, inputs: F32) -> F32:
        result: F32 = inputs @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result

    def _normalised(self, name: str, inputs: F32) -> F32:
        centred = inputs - inputs.mean(axis=1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(1e-5))
        result: F32 = centred / spread * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return result

    def _numbers(self, layers: str) -> Iterator[str]:
        for number in count():
            if f"{layers}.{number}.norm.weight" not in self.weights:
                return
            yield f"{layers}.{number}"

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        arrays: dict[str, Array] = dict(self.weights)
        save_arrays(folder / _ARRAYS, arrays)
        names = {"text_width": self.text_width, "image_width": self.image_width, "attributes": self.attributes}
        (folder / _NAMES).write_text(json.dumps(names), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing or damaged.
        """
        try:
            names = json.loads((folder / _NAMES).read_text(encoding="utf-8"))
            return cls(names["text_width"], names["image_width"], tuple(names["attributes"]), load_arrays(folder / _ARRAYS))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{folder}: the fusion network cannot be read ({error!r}). Verify the release with `cortex-rec releases verify`."
            ) from error
