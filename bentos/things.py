"""Items: what is known of them, and new ones, which can be recommended at once."""

import asyncio
import base64

import numpy as np
import polars as pl

from bentos.answered import Added, FoundItem, FoundItems, ItemFacts
from bentos.asked import NewItem, OneItem, SearchItems
from bentos.desk import Desk
from bentos.problems import Refused, later
from cortex_rec import columns
from cortex_rec.arrays import NO_ROW
from cortex_rec.catalogue import Catalogue
from cortex_rec.errors import DataError
from cortex_rec.releases import added, live


async def item(desk: Desk, asked: OneItem) -> ItemFacts:
    """What is known of an item."""
    loaded = desk.current.loaded
    data, statistics = loaded.recommender.data, loaded.recommender.snapshot.statistics
    row = data.items.row(asked.item_id)
    if row == NO_ROW:
        raise Refused(
            f"Item {asked.item_id!r} is not in the catalogue of release {loaded.release.id}. Add it with PUT /api/items/{{item_id}}.",
            error="unknown_item",
            status=404,
        )
    named = {name: (codes[row], data.catalogue.names[name]) for name, codes in data.catalogue.codes.items()}
    price = statistics.recent_price[row]
    return ItemFacts(
        item_id=asked.item_id,
        title=data.catalogue.titles[row],
        description=data.catalogue.descriptions[row],
        groups={name: names[code] for name, (code, names) in named.items() if code >= 0},
        price=None if np.isnan(price) else round(float(price), 2),
        sales=int(statistics.lines[row, 1]),
        release=loaded.release.id,
    )


async def search_items(desk: Desk, asked: SearchItems) -> FoundItems:
    """Items whose titles hold all words of a text, the best sold first; the one with exactly this id stands before them."""
    loaded = desk.current.loaded
    rows, total = await asyncio.to_thread(loaded.titles.search, asked.q, asked.n)
    external = loaded.recommender.data.items.external(rows)
    titles = loaded.recommender.data.catalogue.titles
    found = (FoundItem(item_id=name, title=titles[row]) for name, row in zip(external, rows, strict=True))
    return FoundItems(items=tuple(found), total=total)


async def put_item(desk: Desk, asked: NewItem) -> Added:
    """Add an item, or change one that was added before; it is kept beside the releases and can be recommended when this is answered."""
    loaded = desk.current.loaded
    if loaded.plain.data.items.row(asked.item_id) != NO_ROW:
        raise Refused(
            f"Item {asked.item_id!r} is part of release {loaded.release.id}, which never changes. Change it in your items table; the next "
            "training takes it up.",
            error="part_of_release",
            status=409,
        )
    table = _table(asked, loaded.plain.data.catalogue)
    embedded = await desk.encoder.embed(table, _picture(asked), live.embeddings_of(loaded.release))
    await asyncio.to_thread(added.put, desk.settings.beside, embedded)
    for current in desk.served:
        await asyncio.to_thread(current.take_beside)
    now = desk.current.loaded
    if now.recommender.data.items.row(asked.item_id) == NO_ROW:
        # Another release, with other models, came while this one's worked.
        raise later(
            f"Item {asked.item_id!r} is kept, but was embedded by other models than those of release {now.release.id}. Send it again.",
            error="not_placed",
        )
    return Added(item_id=asked.item_id, release=now.release.id)


def _table(asked: NewItem, catalogue: Catalogue) -> pl.DataFrame:
    unknown = sorted(set(asked.attributes) - set(catalogue.codes))
    if unknown:
        raise Refused(
            f"`attributes`: {unknown[0]!r} is none of this release's groups and attributes: {', '.join(sorted(catalogue.codes))}.",
            error="unknown_attribute",
            status=422,
        )
    texts = {columns.ITEM: asked.item_id, columns.TITLE: asked.title, columns.DESCRIPTION: asked.description, **asked.attributes}
    return pl.DataFrame({name: [value or None] for name, value in texts.items()}, schema=dict.fromkeys(texts, pl.String))


def _picture(asked: NewItem) -> bytes | None:
    if asked.image is None:
        return None
    try:
        return base64.b64decode(asked.image, validate=True)
    except ValueError as error:
        raise DataError(f"items: the image of {asked.item_id!r} is not base64 ({error}). Send the file's bytes in base64.") from error
