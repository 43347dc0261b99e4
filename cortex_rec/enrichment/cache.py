"""Answers, by digest of all that they depend on: what was asked once is not asked again."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cortex_rec.errors import ArtifactError


@dataclass(frozen=True)
class Kept:
    """An answer and where it comes from.

    Parameters
    ----------
    values
        By field; only what validated.
    faults
        What did not: each field, what was said of it, and what was expected.
    model, prompt
        Who said it, and the digest of the words around the item's.
    given_at
        When, as the run was told.
    tokens
        What it cost.
    """

    values: Mapping[str, str]
    faults: Sequence[Sequence[str]]
    model: str
    prompt: str
    given_at: str
    tokens: int


def key(text: str, schema: str, model: str, prompt: str) -> str:
    """Digest of an item's words, the schema, the model and the prompt."""
    return hashlib.sha256(json.dumps([text, schema, model, prompt]).encode()).hexdigest()


class AnswerCache:
    """One SQLite file; an answer is on disk before the next item is asked about.

    Raises
    ------
    ArtifactError
        If the file is damaged or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._answers = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._answers.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, kept TEXT NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            raise self._fault(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._answers.close()

    def get(self, name: str) -> Kept | None:
        """The answer of this key, if there is one."""
        try:
            row = self._answers.execute("SELECT kept FROM answers WHERE key = ?", (name,)).fetchone()
            return None if row is None else Kept(**json.loads(row[0]))
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._fault(error) from error

    def put(self, name: str, kept: Kept) -> None:
        """Keep an answer; one that is there already is replaced."""
        try:
            self._answers.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (name, json.dumps(asdict(kept), ensure_ascii=False)))
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> ArtifactError:
        return ArtifactError(f"{self._path}: the answers cannot be kept or read ({error}). Make it writable, or delete it to ask anew.")
