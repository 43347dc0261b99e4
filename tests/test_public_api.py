"""What others build on, by name: a change here is a change that users notice and belongs in the changelog."""

import dataclasses
import importlib
import inspect
from typing import Any

import pytest

import cortex_rec
from cortex_rec import errors
from cortex_rec.config import Config
from cortex_rec.enrichment.provider import Provider
from cortex_rec.events.protocol import EventStore
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.retrieval.protocol import Evidence, Retriever
from cortex_rec.retrieval.union import REGISTRY


def test_the_version_is_three_numbers() -> None:
    assert [part.isdigit() for part in cortex_rec.__version__.split(".")] == [True] * 3


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("cortex_rec.config.load_config", "path, **overrides"),
        ("cortex_rec.sources.read", "source, windows, *, since"),
        ("cortex_rec.encoding.encode", "dataset"),
        ("cortex_rec.encoding.follow", "known, as_of, later, folder, *, without"),
        ("cortex_rec.embeddings.text.embed", "texts, config, *, cache, threads, progress"),
        ("cortex_rec.splits.windows", "config, histories"),
        ("cortex_rec.splits.truth", "histories, window, *, most, seed"),
        ("cortex_rec.snapshot.fit", "encoded, content, config, *, as_of, start"),
        ("cortex_rec.retrieval.union.fit", "evidence, config, *, start"),
        ("cortex_rec.features.assemble.assemble", "queries, candidates, snapshot, catalogue"),
        ("cortex_rec.ranking.training.build", "snapshot, encoded, window, config, blocks"),
        ("cortex_rec.ranking.lambdarank.fit", "lists, config, *, validation, seed, threads"),
        ("cortex_rec.ranking.rankers.fit", "lists, config"),
        ("cortex_rec.recommender.Recommender.load", "release, *, mapped"),
        ("cortex_rec.recommender.Recommender.recommend", "self, requests, watch"),
        ("cortex_rec.recommender.Recommender.with_items", "self, items, content"),
        ("cortex_rec.recommender.Recommender.rank", "self, queries"),
        ("cortex_rec.releases.store.publish", "root, write, contents, run"),
        ("cortex_rec.releases.store.open_release", "root, release, *, check, cache"),
        ("cortex_rec.releases.store.push", "root, to, release"),
        ("cortex_rec.releases.retention.gc", "root, *, keep, dry_run"),
        ("cortex_rec.releases.channels.read", "root, channel"),
        ("cortex_rec.releases.channels.move", "root, channel, release, *, by, why, at, expected"),
        ("cortex_rec.releases.channels.promote", "root, release, *, by, why, at"),
        ("cortex_rec.releases.channels.rollback", "root, *, by, why, at"),
        ("cortex_rec.releases.channels.log", "root"),
        ("cortex_rec.releases.live.load", "release, beside, *, mapped"),
        ("cortex_rec.releases.live.widened", "recommender, fusion, items"),
        ("cortex_rec.releases.new_items.embed", "items, config"),
        ("cortex_rec.releases.gate.decide", "root, production, challenger, config, *, clock"),
        ("cortex_rec.releases.promotion.judge", "champion, challenger, at_release, margins, *, samples, seed"),
        ("cortex_rec.events.open", "place"),
        ("cortex_rec.releases.added.read", "root"),
        ("cortex_rec.releases.added.add", "root, items"),
        ("cortex_rec.releases.added.remove", "root, item"),
        ("cortex_rec.enrichment.extract.enrich", "items, schema, provider, *, cache, budget, given_at, letters, tries, progress"),
        ("cortex_rec.enrichment.provider.open_provider", "config, schema, *, folder, threads"),
        ("cortex_rec.enrichment.table.write", "items, found, path"),
        ("cortex_rec.testing.shop.small_shop", "seed, users, items, weeks"),
    ],
)
def test_a_public_function_takes_what_it_is_documented_to_take(name: str, parameters: str) -> None:
    found = _find(name)
    assert _said(inspect.signature(found)) == parameters
    assert inspect.getdoc(found)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("cortex_rec.releases.channels.Pointer", "release former at by why serial"),
        ("cortex_rec.requests.Request", "user items store n filters rules explain trace why_not"),
        ("cortex_rec.requests.Recommendation", "item title score probability reasons retrievers"),
        ("cortex_rec.requests.Slate", "items fallback degraded widened trace"),
        ("cortex_rec.recommender.Recommender", "data snapshot ranker exploration events"),
        ("cortex_rec.dataset.Dataset", "interactions items users promotions campaigns coupons"),
        ("cortex_rec.retrieval.protocol.Evidence", "histories statistics catalogue promotions content as_of seed"),
        ("cortex_rec.queries.Queries", "histories users as_of store n_items"),
        ("cortex_rec.features.assemble.Matrix", "lists names values recent vectors"),
    ],
)
def test_a_public_record_is_frozen_and_has_the_fields_it_is_documented_to_have(name: str, fields: str) -> None:
    found = _find(name)
    assert [field.name for field in dataclasses.fields(found)] == fields.split()
    assert found.__dataclass_params__.frozen


def test_the_seams_have_their_verbs() -> None:
    assert _verbs(Retriever) == {"retrieve", "score", "widened", "save", "load"}
    assert _verbs(Ranker) == {"score", "save", "load", "features", "importances", "contributions", "contributions_by_kind"}
    assert "n_items" in dir(Evidence)
    assert _verbs(Provider) == {"model", "prompt", "answer"}
    assert _verbs(EventStore) == {"append", "of", "since", "forget", "trim", "close"}


def test_the_registered_retrievers_are_these() -> None:
    assert list(REGISTRY) == ["repeats", "copurchase", "neighbours", "graph", "vector", "popular", "favourites", "promoted", "arrivals"]


def test_a_configuration_has_these_sections() -> None:
    sections = "engine scheduler name seed threads source events quality windows embeddings retrieval ranker ranking exploration evaluation"
    assert list(Config.model_fields) == [*sections.split(), "promotion", "monitoring", "enrichment", "workspace", "releases"]


def test_every_error_is_one_of_ours() -> None:
    named = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert named >= {
        "CortexRecError",
        "ConfigError",
        "DataError",
        "EmptyTrainingSetError",
        "GateFailed",
        "ArtifactError",
        "ReleaseNotFound",
        "InvalidRequest",
    }
    assert all(issubclass(getattr(errors, name), errors.CortexRecError) for name in named)
    assert named == set(errors.__doc__.replace("├──", " ").replace("└──", " ").split()) & named  # type: ignore[union-attr]


def _find(name: str) -> Any:
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
        return found.__func__ if isinstance(found, classmethod) else found
    raise AssertionError(name)


def _said(signature: inspect.Signature) -> str:
    names, star = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "cls":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            names.append("*")
            star = True
        names.append(f"**{parameter.name}" if parameter.kind is parameter.VAR_KEYWORD else parameter.name)
    return ", ".join(names)


def _verbs(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}
