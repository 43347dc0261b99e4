"""The fusion network in torch: what `fusion.Fusion` answers as."""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from cortex_rec.config import FusionEmbedding

#: Spread of an attribute's first vectors: a dozen of them weigh about as much as the words.
_ATTRIBUTE: Final = 0.3
#: How often a part of an item is taken for absent while learning.
_LOST_ATTRIBUTE: Final = 0.05
_LOST_VECTOR: Final = 0.05
#: What the cosine is multiplied with at first.
_SHARPNESS: Final = 10.0


class Items(NamedTuple):
    """Items as the network takes them: (n, width) float32 vectors, zeros where absent, and (n, n_attributes) codes."""

    text: Tensor
    image: Tensor
    codes: Tensor

    def take(self, rows: Tensor) -> "Items":
        return Items(self.text[rows], self.image[rows], self.codes[rows])


class Network(nn.Module):
    """The sum of what words, picture and attributes say, a residual layer, and two answers: a unit vector and how much it is bought.

    Parameters
    ----------
    text_width, image_width
        Dimensions of the prepared vectors; 0 where there are none.
    codes
        Number of codes of each attribute, with the one for unknown, which is the last.
    """

    def __init__(self, text_width: int, image_width: int, codes: tuple[int, ...], config: FusionEmbedding) -> None:
        super().__init__()
        width = config.width
        self.text, self.image = _Dense(text_width, width), _Dense(image_width, width)
        self.attributes = nn.ModuleList(_Attribute(n, width) for n in codes)
        self.entry = nn.LayerNorm(width)
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        self.vector, self.appeal = nn.Linear(width, config.dimensions), nn.Linear(width, 1)
        self.sharpness = nn.Parameter(torch.tensor(_SHARPNESS).log())
        self.dropout = nn.Dropout(config.dropout)
        nn.init.zeros_(self.appeal.weight)

    def forward(self, items: Items) -> tuple[Tensor, Tensor]:
        """(n, d) unit vectors and (n,) logits of being bought by anybody."""
        hidden = self.text(items.text) + self.image(items.image)
        for table, codes in zip(self.attributes, items.codes.T, strict=True):
            hidden = hidden + table(codes)
        hidden = self.dropout(nn.functional.silu(self.entry(hidden)))
        hidden = hidden + self.second(self.dropout(nn.functional.silu(self.first(self.norm(hidden)))))
        return nn.functional.normalize(self.vector(hidden), dim=1), self.appeal(hidden)[:, 0]


class _Dense(nn.Module):
    """A linear layer, and a learned vector in its place where there is nothing."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width) if inputs else None
        self.absent = nn.Parameter(torch.zeros(width))

    def forward(self, vectors: Tensor) -> Tensor:
        if self.linear is None:
            return self.absent.expand(len(vectors), -1)
        there = vectors.any(dim=1) & ~_lost(len(vectors), _LOST_VECTOR, self.training)
        return torch.where(there[:, None], self.linear(vectors), self.absent)


class _Attribute(nn.Embedding):
    """A row a code; the last one stands for unknown."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=_ATTRIBUTE)
        with torch.no_grad():
            self.weight[-1] = 0

    def forward(self, codes: Tensor) -> Tensor:
        lost = _lost(len(codes), _LOST_ATTRIBUTE, self.training)
        return super().forward(torch.where(lost, self.num_embeddings - 1, codes))


def _lost(n: int, share: float, training: bool) -> Tensor:
    return torch.rand(n) < share if training else torch.zeros(n, dtype=torch.bool)
