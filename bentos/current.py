"""The release that is served: loaded beside the one before, warmed, then put in its place at once."""

import gc
import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from bentos import explorer
from bentos.settings import Settings
from cortex_rec.embeddings.fusion import Fusion
from cortex_rec.errors import CortexRecError, StoreUnavailable
from cortex_rec.events.protocol import EventStore
from cortex_rec.recommender import Recommender
from cortex_rec.releases import added, channels, forgotten, live, store
from cortex_rec.releases.channels import Pointer
from cortex_rec.releases.store import Release
from cortex_rec.requests import Request
from cortex_rec.titles import Titles

_LOG: Final = logging.getLogger("bentoml.cortex_rec")


@dataclass(frozen=True)
class Loaded:
    """One release in memory; an answer takes everything from one of these, so that it never mixes two.

    Parameters
    ----------
    plain
        The recommender as released.
    recommender
        The same with the items that were added and without the users who were forgotten since.
    beside
        Which additions and which forgotten users `recommender` knows.
    """

    release: Release
    plain: Recommender
    fusion: Fusion
    recommender: Recommender
    titles: Titles
    page: str
    beside: tuple[Any, ...]


class Current:
    """What is served now, and the thread that looks for something newer.

    Parameters
    ----------
    settings
        Where the releases are, and which one to serve.
    events
        The store of live events.
    """

    def __init__(self, settings: Settings, events: EventStore | None) -> None:
        self._settings, self._events = settings, events
        # One change at a time: the thread that watches and a request that has just changed something.
        self._changing = threading.Lock()
        #: The move of the channel that led to a release which cannot be served.
        self._refused: Pointer | None = None
        self.swaps = {"swapped": 0, "refused": 0}
        self.loaded = self._load(self._open())

    def watch(self) -> threading.Thread:
        """Begin to look for a newly promoted release, for added items and for forgotten users."""
        watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
        watcher.start()
        return watcher

    def refresh(self) -> None:
        """Take up whatever has changed; gives when it is served. A release that cannot be served is refused, and named in the log once.

        Raises
        ------
        ArtifactError
            If the channel, or what lies beside the releases (added items, forgotten users), cannot be read; what was served stays.
        StoreUnavailable
            If the bucket does not answer; what was served stays, with what changed beside it.
        """
        self.take_beside()
        self._take_release()

    def take_beside(self) -> None:
        """Take up added items and forgotten users; gives when they are served, and waits for no new release. Raises like `refresh`."""
        with self._changing:
            self.loaded = self._up_to_date(self.loaded)

    def _take_release(self) -> None:
        if self._settings.release not in channels.CHANNELS:
            return
        wanted = channels.read(self._settings.releases, self._settings.release)
        if wanted is None or wanted == self._refused or wanted.release == self.loaded.release.id:
            return
        try:
            loaded = self._load(self._open())
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  (whatever is wrong with it, the one before answers)
            self._refused = wanted
            self.swaps["refused"] += 1
            traceback = None if isinstance(error, CortexRecError | OSError) else error
            _LOG.error("Release %s cannot be served, %s stays: %s", wanted.release, self.loaded.release.id, error, exc_info=traceback)
            return
        with self._changing:
            # Somebody may have been forgotten while it was loaded.
            before, self.loaded, self._refused = self.loaded.release.id, self._up_to_date(loaded), None
        self.swaps["swapped"] += 1
        settle()
        _LOG.info("Serving release %s in place of %s", loaded.release.id, before)

    def _open(self) -> Release:
        return store.open_release(self._settings.releases, self._settings.release, cache=self._settings.cache / "releases")

    def _load(self, release: Release) -> Loaded:
        plain = replace(Recommender.load(release.path), events=self._events)
        loaded = Loaded(
            release, plain, Fusion.load(release.path / "fusion"), plain, _titles(plain), explorer.render(release, plain.data), ()
        )
        return self._with_beside(loaded)

    def _up_to_date(self, loaded: Loaded) -> Loaded:
        return loaded if loaded.beside == _beside(self._settings.beside) else self._with_beside(loaded)

    def _with_beside(self, loaded: Loaded) -> Loaded:
        # Looked at before it is read: what changes meanwhile is found at the next look.
        beside = _beside(self._settings.beside)
        recommender = live.with_added(loaded.plain, loaded.fusion, loaded.release, self._settings.beside)
        recommender = live.without_forgotten(recommender, self._settings.beside)
        return _warm(replace(loaded, recommender=recommender, titles=_titles(recommender), beside=beside))

    def _watch(self) -> None:
        told: Exception | None = None
        pause = threading.Event()
        while not pause.wait(self._settings.watch_seconds):
            try:
                self.refresh()
            except StoreUnavailable as error:
                # Each try may fail in words of its own.
                if not isinstance(told, StoreUnavailable):
                    _LOG.warning("Release %s stays until the store answers again: %s", self.loaded.release.id, error)
                told = error
            except Exception as error:  # noqa: BLE001  (told of, and looked at again: a watcher that ends would never take up anything)
                if str(error) != str(told):
                    traceback = None if isinstance(error, CortexRecError | OSError) else error
                    _LOG.error("What changed is not taken up: %s", error, exc_info=traceback)
                told = error
            else:
                if isinstance(told, StoreUnavailable):
                    _LOG.info("The store of releases answers again")
                told = None


def _beside(state: Path) -> tuple[Any, ...]:
    return added.version(state), forgotten.version(state)


def _warm(loaded: Loaded) -> Loaded:
    """The same, after answers that no shopper waits for: the first requests find everything computed that is computed once."""
    loaded.recommender.recommend([Request(loaded.recommender.data.users.external([0])[0], explain=True), Request()])
    return loaded


def _titles(recommender: Recommender) -> Titles:
    return Titles.of(recommender.data, recommender.snapshot.statistics.lines[:, 1].astype(np.int64))


def settle() -> None:
    """What is loaded stays: without this, full collections walk it about once a second and stall whoever asks just then."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
