"""LightGCN's only layer: vectors smoothed over the graph of who bought what, by DGL, or by torch.sparse where DGL has no build."""

import os
from collections.abc import Callable

import numpy as np
import torch

from cortex_rec.arrays import Ragged
from cortex_rec.errors import EmptyTrainingSetError

os.environ.setdefault("DGLBACKEND", "pytorch")
import dgl
import dgl.function as message

#: From vectors (n_users + n_items, d) to smoothed ones.
Propagate = Callable[[torch.Tensor], torch.Tensor]


def propagation(pairs: Ragged, n_items: int, layers: int, device: torch.device) -> Propagate:
    """The mean over layers of D^-1/2 A D^-1/2 applied 0 .. `layers` times, A being the graph of the pairs in both directions.

    Parameters
    ----------
    pairs
        Each user's distinct items.
    n_items
        Size of the catalogue; items follow the users in the vectors.
    device
        On the CPU the sums are DGL's, on a GPU those of torch.sparse: DGL's wheel of PyPI knows the CPU alone. Equal up to rounding.

    Raises
    ------
    EmptyTrainingSetError
        If there is no pair.

    Source
    ------
    He et al. 2020, LightGCN (arXiv:2002.02126), equations 3 to 8.
    """
    if len(pairs.item) == 0:
        raise EmptyTrainingSetError(
            "lightgcn: no purchase before the training cut-off. Move `windows.end` or ask for fewer training windows."
        )
    user, item = torch.from_numpy(pairs.owner.copy()), torch.from_numpy(pairs.item.astype(np.int64)) + len(pairs)
    ends = torch.cat([user, item]), torch.cat([item, user])
    return (by_dgl if device.type == "cpu" else by_torch)(ends, len(pairs) + n_items, layers, device)


def by_dgl(ends: tuple[torch.Tensor, torch.Tensor], n: int, layers: int, device: torch.device) -> Propagate:
    """Messages over a DGL graph of `n` nodes."""
    graph = dgl.graph(ends, num_nodes=n, device=device)
    scale = _scale(ends[1], n).to(device)

    def smoothed(vectors: torch.Tensor) -> torch.Tensor:
        with graph.local_scope():
            graph.ndata["h"] = vectors * scale
            graph.update_all(message.copy_u("h", "m"), message.sum("m", "h"))
            return graph.ndata["h"] * scale  # type: ignore[no-any-return]

    return lambda vectors: _mean_of_layers(vectors, smoothed, layers)


def by_torch(ends: tuple[torch.Tensor, torch.Tensor], n: int, layers: int, device: torch.device) -> Propagate:
    """Products with a sparse matrix, which is its own transpose."""
    scale = _scale(ends[1], n).ravel()
    values = scale[ends[0]] * scale[ends[1]]
    matrix = torch.sparse_coo_tensor(torch.stack(ends), values, (n, n), device=device, check_invariants=True).coalesce()
    return lambda vectors: _mean_of_layers(vectors, lambda layer: _Symmetric.apply(layer, matrix), layers)  # type: ignore[no-untyped-call]


class _Symmetric(torch.autograd.Function):
    """A product with a symmetric sparse matrix: the same product takes the gradient back, no transpose is built."""

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, vectors: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        context.matrix = matrix  # type: ignore[attr-defined]
        return matrix @ vectors

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return context.matrix @ gradient, None  # type: ignore[attr-defined]


def _scale(targets: torch.Tensor, n: int) -> torch.Tensor:
    """(n, 1) float32 D^-1/2, 1 for a node without an edge."""
    return torch.bincount(targets, minlength=n).clamp(min=1).float().pow(-0.5).unsqueeze(1)


def _mean_of_layers(vectors: torch.Tensor, smoothed: Propagate, layers: int) -> torch.Tensor:
    layer, total = vectors, vectors
    for _ in range(layers):
        layer = smoothed(layer)
        total = total + layer
    return total / (layers + 1)
