"""What every pretrained network needs before it loads. It brings torch with it, so import it inside of functions only."""

import torch

_OPERATORS = ("torchvision::nms", "torchvision::qnms")


def import_torchvision() -> None:
    """Import torchvision, also beside a torch without CUDA.

    PyPI's torchvision is built for CUDA. Beside a torch that is not, its compiled part does not load, and the import ends in
    "operator torchvision::nms does not exist", although nothing compiled is needed for transforms and networks. Declaring the
    two operators that the import looks up, which nobody calls here, lets it pass. sentence_transformers needs the same:
    transformers imports torchvision wherever it is installed.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if not any(name in str(error) for name in _OPERATORS):
            raise
        for name in _OPERATORS:
            torch.library.define(name, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401
