"""The catalogue as the models see it, on one self-contained page: nearest neighbours by words, picture and fusion, and a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Final

import numpy as np

from cortex_rec.arrays import F32, I32, I64, Bool
from cortex_rec.catalogue import GROUPS, Catalogue
from cortex_rec.embeddings.content import Content
from cortex_rec.evaluation import catalogue_map
from cortex_rec.evaluation.report_parts import document, section
from cortex_rec.evaluation.thumbnails import thumbnail

#: Items whose neighbours are shown, and how many of each kind.
ITEMS: Final = 12
NEAREST: Final = 5
_STYLE: Final = """
:root { --c0: #0f766e; --c1: #d97706; --c2: #2563eb; --c3: #c026d3; --c4: #65a30d; --c5: #dc2626; --c6: #0ea5e9; --c7: #8b5e34;
  --c8: #b3bcc7; }
@media (prefers-color-scheme: dark) { :root { --c0: #2fb5a6; --c1: #f0a83c; --c2: #6f9bff; --c3: #e27bf0; --c4: #a3d34c;
  --c5: #ff7b72; --c6: #5cc8f5; --c7: #c79a6b; --c8: #4b5866; } }
.of { display: flex; gap: .9rem; align-items: center; }
.of h2 { margin: 0; } .of p { margin: 0; }
.kind { display: grid; grid-template-columns: 4.5rem 1fr; gap: .8rem; margin-top: .9rem; align-items: start; }
.kind h3 { margin: .2rem 0 0; font-size: .85rem; color: var(--muted); }
.near { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: .6rem; list-style: none; margin: 0; padding: 0; }
.near li { font-size: .82rem; line-height: 1.35; min-width: 0; }
.near b { display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; font-weight: 600;
  overflow-wrap: anywhere; min-height: 2.7em; }
.near span { color: var(--muted); display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.shown { width: 100%; height: 6rem; border-radius: 8px; background: #fff; border: 1px solid var(--line); object-fit: contain;
  display: block; margin-bottom: .35rem; }
.of .shown { width: 6rem; margin: 0; flex: none; }
div.shown { background: var(--soft); color: var(--muted); display: grid; place-items: center; font-size: .75rem; }
.bar { height: .3rem; border-radius: .15rem; background: var(--soft); margin-top: .25rem; }
.bar i { display: block; height: 100%; border-radius: inherit; background: var(--system); }
.map circle { fill-opacity: .8; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; list-style: none; margin: .8rem 0 0; padding: 0; font-size: .88rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%; margin-right: .4rem; vertical-align: -.08rem; }
svg.map { min-width: 0; }
@media (max-width: 34rem) { .kind { grid-template-columns: 1fr; gap: .3rem; }
  .near { grid-template-columns: repeat(5, 6.6rem); overflow-x: auto; padding-bottom: .4rem; } }
"""


@dataclass(frozen=True)
class _Items:
    """What the page shows of an item."""

    catalogue: Catalogue
    ids: Sequence[str]
    group: str
    pictured: Bool

    @cached_property
    def titles(self) -> list[str]:
        """What each item is called: its id where it has no title."""
        return [title or item for title, item in zip(self.catalogue.titles, self.ids, strict=True)]

    def about(self, row: int) -> str:
        """The item's group: the narrowest that is known."""
        known = (self.catalogue.group_of(group, row) for group in ("subcategory", "category", "department"))
        return next((name for name in known if name), "")

    def picture(self, row: int) -> str:
        """The item's picture, or a place for one; nothing in a shop without pictures."""
        if not self.pictured.any():
            return ""
        found = thumbnail(Path(self.catalogue.images[row])) if self.pictured[row] else None
        return f'<img class="shown" alt="" src="{found}">' if found else '<div class="shown">no picture</div>'


def render(catalogue: Catalogue, item_ids: Sequence[str], content: Content, vectors: F32, *, seed: int) -> str:
    """Write the page.

    Parameters
    ----------
    catalogue
        Titles, groups, and paths of pictures; those that cannot be read any more are left out.
    item_ids
        External ids by row.
    content
        What the items say and show, by row.
    vectors
        (n_items, d) float32 unit vectors of the fusion, by row.
    seed
        Decides which items are shown and the layout of the map.

    Returns
    -------
    str
        A whole HTML document of less than 2 MB; the same arguments give the same bytes.
    """
    items = _Items(catalogue, item_ids, _group(catalogue), np.any(content.image != 0, axis=1))
    kinds = {"words": content.text, "picture": content.image, "fusion": vectors}
    kinds = {name: space for name, space in kinds.items() if np.any(space)}
    chosen = choose(catalogue.codes[items.group], _eligible(content), seed=seed)
    sections = [_map(items, vectors, seed), *(_neighbours(items, int(row), kinds) for row in chosen)]
    return document(
        "The catalogue",
        f"<h1>The catalogue, as the models see it</h1>\n{_introduction(items, kinds)}\n" + "\n".join(filter(None, sections)),
        style=_STYLE,
    )


def choose(groups: I32, eligible: Bool, *, seed: int, n: int = ITEMS) -> I64:
    """Items to show, spread over groups: one of each, the largest first, then a second of each, and so on.

    Parameters
    ----------
    groups
        (n_items,) int32 codes; -1, unknown, is a group too.
    eligible
        (n_items,) bool.
    seed
        Decides which item of a group is next.
    n
        How many at most.

    Returns
    -------
    I64
        (n,) rows, the largest group's first.
    """
    shuffled = np.random.default_rng(seed).permutation(np.flatnonzero(eligible))
    if len(shuffled) == 0:
        return shuffled
    _, place, counts = np.unique(groups[shuffled], return_inverse=True, return_counts=True)
    turn = np.empty(len(shuffled), np.int64)
    by_group = np.argsort(place, kind="stable")
    turn[by_group] = np.arange(len(shuffled)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((place, -counts[place], turn))
    return shuffled[order[:n]]


def nearest(space: F32, row: int, titles: Sequence[str], n: int = NEAREST) -> tuple[I64, F32]:
    """The items with the largest cosine to one item, one of each title: a jersey's eleven colours would hide what else is near.

    Parameters
    ----------
    space
        (n_items, d) float32 unit vectors; items with a zero vector are nobody's neighbours.
    row
        The item, whose own title is left out.
    titles
        One an item.
    n
        How many at most.

    Returns
    -------
    rows, cosine
        (k,) int64 and float32, nearest first, equal ones by row; none where the item's own vector is zero.
    """
    known = np.any(space != 0, axis=1)
    seen, rows = {titles[row]}, []
    # Rounded, so that the last bit of a sum does not decide between equals.
    cosine = np.round(space @ space[row], 5)
    for other in np.argsort(-cosine, kind="stable") if known[row] else ():
        if known[other] and titles[other] not in seen:
            seen.add(titles[other])
            rows.append(other)
        if len(rows) == n:
            break
    found = np.array(rows, np.int64)
    return found, cosine[found]


def _eligible(content: Content) -> Bool:
    """Items with words and a picture, as far as the shop has any of either."""
    eligible = np.ones(len(content), np.bool_)
    for space in (content.text, content.image):
        known = eligible & np.any(space != 0, axis=1)
        eligible = known if known.any() else eligible
    return eligible


def _group(catalogue: Catalogue) -> str:
    """The widest group that parts the items."""
    return next((group for group in GROUPS if len(catalogue.names[group]) > 1), GROUPS[0])


def _introduction(items: _Items, kinds: dict[str, F32]) -> str:
    pictured = int(np.count_nonzero(items.pictured))
    pictures = f", {pictured:,} of them with a picture" if pictured else ", none with a picture"
    means = {
        "words": "<b>Words</b>: title and description say something alike.",
        "picture": "<b>Picture</b>: they look alike.",
        "fusion": f"<b>Fusion</b>: words,{' picture' if pictured else ''} and attributes in one vector, learned from what is bought "
        "together. Recommendations, similar items and new products rest on it.",
    }
    told = " ".join(means[name] for name in kinds)
    return (
        f'<p class="muted">{len(items.ids):,} items{pictures}. An item’s neighbours show what each vector holds, and where it errs. '
        f"{told} The figure is the cosine of two vectors: 1 is the same. Of items with one title, the nearest is shown.</p>"
    )


def _map(items: _Items, vectors: F32, seed: int) -> str:
    rows, where = catalogue_map.places(vectors, seed=seed)
    if len(rows) == 0:
        return ""
    codes, names = items.catalogue.codes[items.group][rows], items.catalogue.names[items.group]
    drawn = catalogue_map.draw(where, codes, names, [items.titles[row] for row in rows])
    sampled = "a sample of " if len(rows) < len(items.ids) else ""
    lead = (
        f"Each point is one of {sampled}{len(rows):,} items, near those with a like fusion vector (t-SNE); its colour is its "
        f"{items.group}. Rest on a point to read its title. Only nearness means something: directions, and distances of far points, do not."
    )
    return section("Map", lead, f"<figure>{drawn}</figure>")


def _neighbours(items: _Items, row: int, kinds: dict[str, F32]) -> str:
    """An item and its nearest neighbours, a row a kind of vector."""
    of = (
        f'<div class="of">{items.picture(row)}<div><h2>{escape(items.titles[row])}</h2>'
        f'<p class="muted">{escape(items.about(row))} · item {escape(items.ids[row])}</p></div></div>'
    )
    rows = []
    for name, space in kinds.items():
        found = zip(*nearest(space, row, items.titles), strict=True)
        tiles = "".join(_tile(items, int(other), float(cosine)) for other, cosine in found)
        rows.append(f'<div class="kind"><h3>{name}</h3><ol class="near">{tiles or "<li>none known</li>"}</ol></div>')
    return f"<section>{of}{''.join(rows)}</section>"


def _tile(items: _Items, row: int, cosine: float) -> str:
    width = round(100 * max(cosine, 0.0))
    about = escape(items.about(row))
    return (
        f"<li>{items.picture(row)}<b>{escape(items.titles[row])}</b>"
        f'<span title="{about}">{about}</span><span>{cosine:.2f}</span><div class="bar"><i style="width:{width}%"></i></div></li>'
    )
