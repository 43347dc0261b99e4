"""All questions on one item and all their possible answers as one tree of tokens, so that a model reads them in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cortex_rec.arrays import F32, F64, I64

#: What is before the tree: the item's text.
ROOT = -1


@dataclass(frozen=True)
class Question:
    """What is asked, in tokens.

    Parameters
    ----------
    lead
        The words before the answer, at least one token.
    options
        The answers that may be given, no two alike.
    """

    lead: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Tree:
    """Questions that do not see each other, each with a trie of its answers.

    Parameters
    ----------
    tokens, parents, depths
        (n,) of each node that the model reads; a parent comes before its children, `ROOT` for those after the item's text. A token
        that is followed by nothing to choose between is not read.
    edge_node, edge_token
        (e,) choices: after this node comes this token, or the end of the answer.
    paths
        Of each question and option: the choices that lead to it.
    """

    tokens: I64
    parents: I64
    depths: I64
    edge_node: I64
    edge_token: I64
    paths: tuple[tuple[tuple[int, ...], ...], ...]

    @classmethod
    def of(cls, questions: Sequence[Question], end: int) -> "Tree":
        """Plant it; `end` is the token that closes an answer."""
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        edges: list[tuple[int, int]] = []
        paths: list[tuple[tuple[int, ...], ...]] = []

        def grow(parent: int, token: int) -> int:
            tokens.append(token)
            parents.append(parent)
            depths.append(0 if parent == ROOT else depths[parent] + 1)
            return len(tokens) - 1

        for question in questions:
            node = ROOT
            for token in question.lead:
                node = grow(node, token)
            own: list[tuple[int, ...]] = [()] * len(question.options)
            pending = [(node, 0, list(range(len(question.options))))]
            while pending:
                node, length, here = pending.pop()
                after: dict[int, list[int]] = {}
                for option in here:
                    whole = question.options[option]
                    after.setdefault(whole[length] if length < len(whole) else end, []).append(option)
                if len(after) == 1:  # nothing to choose: as if it had been said already
                    ((token, _),) = after.items()
                    if len(here) > 1:
                        pending.append((grow(node, token), length + 1, here))
                    continue
                for token, chosen in after.items():
                    edges.append((node, token))
                    for option in chosen:
                        own[option] += (len(edges) - 1,)
                    if len(chosen) > 1:
                        pending.append((grow(node, token), length + 1, chosen))
            paths.append(tuple(own))
        nodes, following = np.array(edges, dtype=np.int64).reshape(-1, 2).T
        return cls(np.array(tokens), np.array(parents), np.array(depths), nodes, following, tuple(paths))

    def sees(self) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """(n, n): whether a node reads another one: itself and what leads to it."""
        seen = np.eye(len(self.tokens), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent != ROOT:
                seen[node] |= seen[parent]
        return seen

    def scores(self, logits: F32) -> list[F64]:
        """Of each question: (options,) logarithm of each answer's probability among the possible ones, from (e,) logits of the choices."""
        best = np.full(len(self.tokens), -np.inf)
        np.maximum.at(best, self.edge_node, logits)
        total = np.zeros(len(self.tokens))
        np.add.at(total, self.edge_node, np.exp(logits - best[self.edge_node]))
        share = logits - best[self.edge_node] - np.log(total[self.edge_node])
        return [np.array([share[list(path)].sum() for path in paths]) for paths in self.paths]
