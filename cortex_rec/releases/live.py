"""A release in memory with the items that were added since: what the command line and the service answer from."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl
from pydantic import ValidationError

from cortex_rec import __version__, columns
from cortex_rec.config import Embeddings
from cortex_rec.embeddings.content import Content
from cortex_rec.embeddings.fusion import Fusion
from cortex_rec.errors import ArtifactError
from cortex_rec.ids import IdMap
from cortex_rec.recommender import Recommender
from cortex_rec.releases import added, forgotten
from cortex_rec.releases.store import Release

_LOG: Final = logging.getLogger(__name__)
#: What became of an added item.
LIVE: Final = "recommendable"
RELEASED: Final = "part of the release"
OUTDATED: Final = "embedded by another model than the release's: remove it and add it again"


def load(release: Release, beside: Path | None = None, *, mapped: bool = False) -> Recommender:
    """The recommender of a release, widened by the items that were added since, as far as they are `LIVE`.

    Parameters
    ----------
    beside
        The folder of what was added (`places.state_of`); the one that the release lies in when absent.
    mapped
        As of `Recommender.load`.

    Raises
    ------
    ArtifactError
        As of `Recommender.load`, and if the table of added items is damaged.
    """
    beside = beside or release.path.parent
    if added.version(beside) is None:
        return Recommender.load(release.path, mapped=mapped)
    return with_added(Recommender.load(release.path, mapped=mapped), Fusion.load(release.path / "fusion"), release, beside)


def with_added(recommender: Recommender, fusion: Fusion, release: Release, beside: Path) -> Recommender:
    """The recommender of a release with what was added up to now, as far as it is `LIVE`.

    Parameters
    ----------
    recommender
        As of `Recommender.load`: without anything added.
    fusion
        The release's.
    beside
        As of `load`.

    Raises
    ------
    ArtifactError
        If the table of added items is damaged.
    """
    items = added.read(beside)
    state = states(items, recommender.data.items, fusion, release)
    outdated = items.filter(state == OUTDATED)[columns.ITEM].to_list()
    if outdated:
        _LOG.warning("Added items %s are left out: %s", outdated, OUTDATED)
    chosen = items.filter(state == LIVE)
    return recommender if chosen.is_empty() else widened(recommender, fusion, chosen)


def without_forgotten(recommender: Recommender, beside: Path) -> Recommender:
    """The recommender without the histories of who asked to be forgotten; raises like `forgotten.read`."""
    gone = forgotten.read(beside)
    if not gone:
        return recommender
    return replace(recommender, data=replace(recommender.data, users=recommender.data.users.without(gone)))


def widened(recommender: Recommender, fusion: Fusion, items: pl.DataFrame) -> Recommender:
    """The recommender with further items at their places in the release's space.

    Parameters
    ----------
    fusion
        The network that placed the items of the release.
    items
        As of `added.read`. Attributes that the release does not have are left out.

    Raises
    ------
    DataError
        If the recommender has an item already.
    """
    catalogue = recommender.data.catalogue
    table = items.select(name for name in items.columns if name in (*columns.ITEMS, *catalogue.codes))
    codes = {name: own[len(catalogue) :] for name, own in sorted(catalogue.with_items(table).codes.items())}
    text, image = added.vectors(items, added.TEXT, fusion.text_width), added.vectors(items, added.IMAGE, fusion.image_width)
    return recommender.with_items(table, fusion.place(Content(text, image, codes)))


def states(items: pl.DataFrame, known: IdMap, fusion: Fusion, release: Release) -> pl.Series:
    """`LIVE`, `RELEASED` or `OUTDATED` for each of the added items.

    Parameters
    ----------
    known, fusion
        The items of the release, and the network that placed them.
    """
    models = added.models(embeddings_of(release))
    outdated = pl.lit(False)
    for vector, by, width in ((added.TEXT, added.TEXT_MODEL, fusion.text_width), (added.IMAGE, added.IMAGE_MODEL, fusion.image_width)):
        # A shop without pictures has learned nothing from them: those of its new items are not looked at.
        length = pl.col(vector).list.len() * (width > 0)
        outdated |= (length > 0) & ((pl.col(by) != models[by]) | (length != width))
    released = pl.col(columns.ITEM).is_in(known.ids.implode())
    state = pl.when(released).then(pl.lit(RELEASED)).when(outdated).then(pl.lit(OUTDATED)).otherwise(pl.lit(LIVE))
    return items.select(state=state)["state"]


def embeddings_of(release: Release) -> Embeddings:
    """The models that a release's items were embedded with.

    Raises
    ------
    ArtifactError
        If it was written by a version of this library that had other settings.
    """
    try:
        return Embeddings.model_validate(release.manifest.config["embeddings"])
    except (KeyError, ValidationError) as error:
        raise ArtifactError(
            f"{release.path}: was written by another version of CORTEX-Rec than this one, {__version__}, and tells of its embeddings in "
            "another way. Release anew with `cortex-rec train`."
        ) from error
