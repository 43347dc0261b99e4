"""A fusion network whose weights were drawn instead of learned: places for the items of a test in no time."""

import numpy as np

from cortex_rec.arrays import F32
from cortex_rec.catalogue import Catalogue
from cortex_rec.embeddings.fusion import Fusion, Tower

_HIDDEN = 16


def small_fusion(catalogue: Catalogue, *, text_width: int = 4, image_width: int = 6, dimensions: int = 8, seed: int = 0) -> Fusion:
    """A network for the attributes of a catalogue; the same arguments give the same weights.

    Parameters
    ----------
    text_width, image_width
        Of the vectors that it reads.
    dimensions
        Of those that it gives.
    """
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> F32:
        return rng.normal(size=shape).astype(np.float32)

    def linear(name: str, inputs: int, outputs: int) -> dict[str, F32]:
        return {f"{name}.weight": drawn(inputs, outputs), f"{name}.bias": drawn(outputs)}

    weights = linear("text", text_width, _HIDDEN) | linear("image", image_width, _HIDDEN) | linear("vector", _HIDDEN, dimensions)
    weights |= linear("first", _HIDDEN, _HIDDEN) | linear("second", _HIDDEN, _HIDDEN) | linear("appeal", _HIDDEN, 1)
    weights |= {f"{name}.absent": drawn(_HIDDEN) for name in ("text", "image")}
    weights |= {f"{name}.weight": np.ones(_HIDDEN, np.float32) for name in ("entry", "norm")}
    weights |= {f"{name}.bias": np.zeros(_HIDDEN, np.float32) for name in ("entry", "norm")}
    rows = {name: np.arange(len(catalogue.names[name]) + 1, dtype=np.int32) for name in sorted(catalogue.codes)}
    weights |= {f"attribute.{name}": drawn(len(own), _HIDDEN) for name, own in rows.items()}
    return Fusion(text_width, image_width, rows, (Tower(weights),), np.eye(dimensions, dtype=np.float32))
