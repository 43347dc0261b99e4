"""Item by item: from the cache, or asked, checked and asked again; stopped cleanly when the budget is spent."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from cortex_rec import columns
from cortex_rec.enrichment.cache import AnswerCache, Kept, key
from cortex_rec.enrichment.provider import Provider
from cortex_rec.enrichment.schema import Schema, clean

_NO_PROGRESS: Final[Callable[[int, int], None]] = lambda done, total: None  # noqa: E731
_PROVENANCE: Final = dict.fromkeys((columns.ITEM, "model", "prompt", "given_at"), pl.String) | {"tokens": pl.Int64}
_QUARANTINE: Final = dict.fromkeys((columns.ITEM, "field", "answer", "expected"), pl.String)


@dataclass(frozen=True)
class Budget:
    """What a run may cost.

    Parameters
    ----------
    clock
        Gives seconds, for example `time.monotonic`.
    tokens, seconds
        No further item is begun when so many are spent; no bound when absent.
    """

    clock: Callable[[], float]
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Enriched:
    """What a run found, and how far it came.

    Parameters
    ----------
    columns
        One row an item that was looked at, in the order given: its id and a String column a field, null where nothing was said.
    provenance
        One row an item that a provider said something of: model, prompt, time, tokens.
    quarantine
        One row a field whose answer did not validate; of such an item the other fields are taken.
    asked, cached, left
        Items that a provider was asked about, that were known, and that the budget did not reach.
    tokens, seconds
        Spent in this run.
    stopped
        Which bound of the budget ended it; "" when it did not.
    """

    columns: pl.DataFrame
    provenance: pl.DataFrame
    quarantine: pl.DataFrame
    asked: int
    cached: int
    left: int
    tokens: int
    seconds: float
    stopped: str


def enrich(
    items: pl.DataFrame,
    schema: Schema,
    provider: Provider,
    *,
    cache: AnswerCache,
    budget: Budget,
    given_at: str,
    letters: int = 400,
    tries: int = 2,
    progress: Callable[[int, int], None] = _NO_PROGRESS,
) -> Enriched:
    """Find the schema's fields in items' titles and descriptions.

    Parameters
    ----------
    items
        The items table. One without words is not asked about.
    schema, provider
        What may be said, and who says it; the provider was opened for this schema.
    cache
        Answers of earlier runs; each new one is kept at once, so a stopped or killed run goes on where it was.
    budget
        An item that has begun is ended, so it is exceeded by at most one item's tries.
    given_at
        Kept beside each new answer.
    letters, tries
        Where an item's words are cut, and how often it is asked about.
    progress
        Called with the numbers of items done and to do.

    Raises
    ------
    ProviderUnavailable
        If the provider does not answer.
    ArtifactError
        If the cache cannot be read or written.
    """
    begun, tokens, asked, cached, stopped = budget.clock(), 0, 0, 0, ""
    rows: list[dict[str, str | None]] = []
    sources: list[dict[str, str | int]] = []
    faults: list[dict[str, str]] = []
    digest = schema.digest
    for done, (item, words) in enumerate(_words(items)):
        text, kept = clean(words, letters), None
        if text:
            name = key(text, digest, provider.model, provider.prompt)
            kept = cache.get(name)
            if kept is not None:
                cached += 1
            else:
                stopped = _spent(budget, tokens, budget.clock() - begun)
                if stopped:
                    break
                kept = _ask(text, schema, provider, given_at, tries)
                cache.put(name, kept)
                asked, tokens = asked + 1, tokens + kept.tokens
            faults += [dict(zip(_QUARANTINE, (item, *fault), strict=True)) for fault in kept.faults]
            sources.append(dict(zip(_PROVENANCE, (item, kept.model, kept.prompt, kept.given_at, kept.tokens), strict=True)))
        said: Mapping[str, str] = {} if kept is None else kept.values
        rows.append({columns.ITEM: item, **{name: said.get(name) for name in schema.fields}})
        progress(done + 1, items.height)
    return Enriched(
        pl.DataFrame(rows, schema=dict.fromkeys((columns.ITEM, *schema.fields), pl.String)),
        pl.DataFrame(sources, schema=_PROVENANCE),
        pl.DataFrame(faults, schema=_QUARANTINE),
        asked,
        cached,
        items.height - len(rows),
        tokens,
        budget.clock() - begun,
        stopped,
    )


def _ask(text: str, schema: Schema, provider: Provider, given_at: str, tries: int) -> Kept:
    """The last answer: its valid part, and what is wrong with the rest."""
    tokens, complaint = 0, ""
    for _ in range(tries):
        answer = provider.answer(text, complaint)
        tokens += answer.tokens
        values, faults = schema.check(answer.text, text)
        if not faults:
            break
        complaint = "; ".join(f"{fault.field or 'the whole'}: expected {fault.why}" for fault in faults)
    wrong = [(fault.field, fault.answer, fault.why) for fault in faults]
    return Kept(values, wrong, provider.model, provider.prompt, given_at, tokens)


def _words(items: pl.DataFrame) -> Iterator[tuple[str, str]]:
    there = [name for name in (columns.TITLE, columns.DESCRIPTION) if name in items.columns]
    said = pl.concat_str([pl.col(name) for name in there], separator=". ", ignore_nulls=True) if there else pl.lit("")
    yield from items.select(columns.ITEM, said.fill_null("").alias("words")).iter_rows()


def _spent(budget: Budget, tokens: int, seconds: float) -> str:
    if budget.tokens is not None and tokens >= budget.tokens:
        return f"{tokens:,} tokens of {budget.tokens:,} are spent"
    if budget.seconds is not None and seconds >= budget.seconds:
        return f"{seconds:,.0f} seconds of {budget.seconds:,.0f} are spent"
    return ""
