"""A map of the catalogue: items near each other in the space of vectors are near each other on paper."""

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from cortex_rec.arrays import F32, F64, I32, I64

#: Items on the map; 2,000 take 7 seconds of one core, and time grows a little faster than they do.
MOST: Final = 2_000
#: Fewer than these make no map.
LEAST: Final = 10
#: Groups with a colour of their own; the others share the last.
COLOURS: Final = 8
_SIDE: Final = 1_000


def places(vectors: F32, *, seed: int) -> tuple[I64, F32]:
    """Lay items out in the plane.

    Parameters
    ----------
    vectors
        (n_items, d) float32; items with a zero vector are left out.
    seed
        Decides which items are sampled where there are more than `MOST`, and the layout.

    Returns
    -------
    rows
        (k,) int64 items on the map, ascending; none where fewer than `LEAST` have a vector.
    where
        (k, 2) float32 coordinates.

    Source
    ------
    van der Maaten, Hinton 2008, Visualizing data using t-SNE; started from the first two principal components.
    """
    known = np.flatnonzero(np.any(vectors != 0, axis=1))
    if len(known) < LEAST:
        return known[:0], np.zeros((0, 2), np.float32)
    rows = np.sort(np.random.default_rng(seed).permutation(known)[:MOST])
    chosen = np.ascontiguousarray(vectors[rows], np.float32)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    # With several threads sums are added in whatever order they end, and a thousand steps make another map of that.
    with threadpool_limits(1):
        layout = TSNE(2, perplexity=perplexity, init=_start(chosen), random_state=seed, max_iter=1_000)
        return rows, layout.fit_transform(chosen).astype(np.float32)


def _start(vectors: F32) -> F32:
    """(n, 2) float32 the first two principal components, as small as t-SNE wants its start; zeros where items do not differ."""
    left, size, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    start = np.zeros((len(vectors), 2), np.float32)
    start[:, : len(size)] = (left * size)[:, :2]
    spread = float(start[:, 0].std())
    return start / np.float32(spread) * np.float32(1e-4) if spread > 1e-6 else np.zeros_like(start)


def draw(where: F32, groups: I32, names: Sequence[str], titles: Sequence[str]) -> str:
    """The map as an SVG element and its legend; a point tells its title to who rests on it.

    Parameters
    ----------
    where
        (k, 2) float32 coordinates.
    groups
        (k,) int32 rows of `names`, -1 where unknown.
    titles
        One an item.
    """
    at = _fitted(where)
    largest = _largest(groups, len(names))
    colour = {int(group): place for place, group in enumerate(largest)}
    of_point = np.array([colour.get(int(group), COLOURS) for group in groups], np.int64)
    # The smaller a group, the later it is drawn: a few points must not vanish under many.
    order = [COLOURS, *range(len(largest))]
    layers = "".join(_layer(place, np.flatnonzero(of_point == place), at, titles) for place in order)
    counts = np.bincount(of_point, minlength=COLOURS + 1)
    entries = [(place, names[group], counts[place]) for place, group in enumerate(largest)]
    entries += [(COLOURS, "all others", counts[COLOURS])] if counts[COLOURS] else []
    legend = "".join(f'<li><i style="background:var(--c{place})"></i>{escape(name)} ({count:,})</li>' for place, name, count in entries)
    height = int(at[:, 1].max()) + 10
    svg = f'<svg class="map" role="img" aria-label="Map of the catalogue" viewBox="0 0 {_SIDE} {height}">{layers}</svg>'
    return f'{svg}<ul class="legend">{legend}</ul>'


def _largest(groups: I32, n: int) -> I64:
    """The groups with most points, as many as there are colours."""
    counts = np.bincount(groups[groups >= 0], minlength=n)
    order = np.argsort(-counts, kind="stable")[:COLOURS]
    found: I64 = order[counts[order] > 0]
    return found


def _fitted(where: F32) -> I64:
    """Whole coordinates from 10 to `_SIDE - 10`, the same scale both ways, the longer way across."""
    spread = np.ptp(where, axis=0)
    turned: F64 = (where[:, ::-1] if spread[1] > spread[0] else where).astype(np.float64)
    low, longest = turned.min(axis=0), max(float(spread.max()), 1e-9)
    fitted: I64 = np.rint(10 + (turned - low) / longest * (_SIDE - 20)).astype(np.int64)
    return fitted


def _layer(place: int, points: I64, at: I64, titles: Sequence[str]) -> str:
    dots = "".join(f'<circle cx="{at[i, 0]}" cy="{at[i, 1]}" r="4"><title>{escape(titles[i])}</title></circle>' for i in points)
    return f'<g style="fill:var(--c{place})">{dots}</g>'
