"""Who answers: the seam for language models, on this machine or behind HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from cortex_rec.config import Endpoint, LocalModel
from cortex_rec.enrichment.schema import Schema


@dataclass(frozen=True)
class Answer:
    """What was said of one item.

    Parameters
    ----------
    text
        Should be a JSON object that fits the schema; `Schema.check` finds out.
    tokens
        What was read and written for it.
    """

    text: str
    tokens: int


class Provider(Protocol):
    """Answers about one item at a time, so that an item's words can change nothing but what is said of that item."""

    @property
    def model(self) -> str:
        """What answers, with a digest or version: another model has other answers."""
        ...

    @property
    def prompt(self) -> str:
        """A digest of all that is said around the item's words."""
        ...

    def answer(self, text: str, complaint: str = "") -> Answer:
        """Say what the schema's fields are for an item.

        Parameters
        ----------
        text
            The item's words, cleaned.
        complaint
            What was wrong with the answer before this one.

        Raises
        ------
        ProviderUnavailable
            If there is no answer.
        """
        ...


def open_provider(config: LocalModel | Endpoint, schema: Schema, *, folder: Path, threads: int = 1) -> Provider:
    """The provider that the configuration names, made for this schema; `folder` is where a local model is unpacked."""
    return _PROVIDERS[config.kind](config, schema, threads, folder)


def _local(config: LocalModel, schema: Schema, threads: int, folder: Path) -> Provider:
    from cortex_rec.enrichment.local import Local

    return Local(config, schema, folder, threads=threads)


def _openai(config: Endpoint, schema: Schema, threads: int, folder: Path) -> Provider:
    from cortex_rec.enrichment.endpoint import Chat

    return Chat(config, schema)


#: `enrichment.provider.kind` -> what answers.
_PROVIDERS: Final[dict[str, Callable[[Any, Schema, int, Path], Provider]]] = {"local": _local, "openai": _openai}
