"""What production points to, as it would have answered at the first moment of a window that it must not have seen."""

from dataclasses import replace
from datetime import UTC
from typing import Final

import polars as pl
from pydantic import ValidationError

from cortex_rec import __version__, columns, snapshot
from cortex_rec.arrays import DAY
from cortex_rec.config import Config
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import Encoded
from cortex_rec.errors import ArtifactError
from cortex_rec.evaluation.evaluate import MAIN
from cortex_rec.ids import IdMap
from cortex_rec.recommender import Recommender
from cortex_rec.releases.store import Release
from cortex_rec.retrieval.arrivals import Arrivals
from cortex_rec.splits import day_of

_WAY_OUT: Final = "Release anew with `cortex-rec train`, or use the code of the `git_commit` in its manifest.json"


def as_of_window(release: Release, released: Recommender, tonight: Encoded, start: int) -> Recommender:
    """The release at the first moment of a window.

    Parameters
    ----------
    release, released
        The champion, and `Recommender.load` of it.
    tonight
        The newest data. Only the offers and coupons are taken from it, and only where the champion has to be rewound.
    start
        The window's first moment, seconds since 1970.

    Returns
    -------
    Recommender
        `released` itself when it knows nothing of the window. Else the same ranker with a snapshot that is fitted anew as of `start`,
        from the purchases, the items' places and the configuration of the release.

    Raises
    ------
    ArtifactError
        If the ranker itself has learned from the window, so that no such moment is left, or the configuration is of another version.
    """
    config = configuration(release)
    learned_until = released_at(release) - config.windows.days * DAY
    if learned_until > start:
        raise ArtifactError(
            f"release {release.id}: its ranker has learned from purchases up to {day_of(learned_until)}, which the window from "
            f"{day_of(start)} begins before. Train on later data, or with the `windows.days` of that release."
        )
    if released.snapshot.as_of <= start:
        return released
    known = released.data
    # A release keeps only the offers of its own moment. Their effect is learned from those of eight weeks.
    items, users = known.items.rows(tonight.items.ids), known.users.rows(tonight.users.ids)
    subcategories = _subcategories(known).rows(_subcategories(tonight).ids)
    promotions = tonight.promotions.translated(items, known.stores.rows(tonight.stores.ids))
    coupons = tonight.coupons.translated(users, items, subcategories, len(known.items))
    own = replace(known, promotions=promotions, coupons=coupons)
    fitted = snapshot.fit(own, places(released), config, as_of=start)
    return replace(released, data=own, snapshot=fitted)


def configuration(release: Release) -> Config:
    """What a release was trained with.

    Raises
    ------
    ArtifactError
        If it is of a version that had other settings.
    """
    try:
        return Config.model_validate(release.manifest.config)
    except ValidationError as error:
        raise ArtifactError(
            f"{release.path}: was written by another version of CORTEX-Rec than this one, {__version__}, and its settings are not those "
            f"of this one. {_WAY_OUT}."
        ) from error


def figures(release: Release) -> tuple[float, int]:
    """NDCG@10 and the number of users of the window that a release was judged on when it was made.

    Raises
    ------
    ArtifactError
        If its manifest does not tell them.
    """
    metrics = release.manifest.metrics
    try:
        return float(metrics["metrics"][MAIN]), int(metrics["users"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{release.path}: its manifest does not tell {MAIN} and users of its test window. {_WAY_OUT}.") from error


def released_at(release: Release) -> int:
    """The moment from which a release recommends, in seconds since 1970."""
    return int(release.manifest.data.as_of.replace(tzinfo=UTC).timestamp())


def places(recommender: Recommender) -> Placed:
    """Where its items lie by what they say and show."""
    arrivals = recommender.snapshot.union.retrievers["arrivals"]
    assert isinstance(arrivals, Arrivals)
    return arrivals.content


def _subcategories(data: Encoded) -> IdMap:
    return IdMap(pl.Series(data.catalogue.names[columns.SUBCATEGORY], dtype=pl.String))
