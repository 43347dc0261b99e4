"""One YAML file describes a run: defaults that work, and for every fault its key and the way out."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cortex_rec.config import CompleteJourneySource, Config, FilesSource, load_config
from cortex_rec.errors import ConfigError

GOOD: dict[str, Any] = {"name": "shop", "source": {"kind": "complete_journey"}}


def write(folder: Path, content: dict[str, Any] | str) -> Path:
    path = folder / "run.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def with_value(path: str, value: Any) -> dict[str, Any]:
    """`GOOD` with one more value at a dotted path."""
    first, *rest = path.split(".")
    nested: Any = value
    for key in reversed(rest):
        nested = {key: nested}
    before = GOOD.get(first)
    return {**GOOD, first: {**before, **nested} if isinstance(before, dict) and isinstance(nested, dict) else nested}


def test_name_and_source_are_enough(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert isinstance(config.source, CompleteJourneySource)
    assert (config.windows.days, config.retrieval.repeats.n, config.evaluation.cutoffs) == (7, 400, (5, 10, 20, 50))


@pytest.mark.parametrize("kind", ["complete_journey", "hm"])
def test_the_shipped_configurations_are_readable(kind: str) -> None:
    assert load_config(Path(__file__).parent.parent / "configs" / f"{kind}.yaml").source.kind == kind


def test_an_override_replaces_a_key_of_the_file(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, GOOD), seed=11).seed == 11


def test_paths_of_a_source_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    files = {"kind": "files", "interactions": {"path": "orders/*.csv"}, "items": {"path": "/elsewhere/items.csv"}}
    source = load_config(write(tmp_path, {**GOOD, "source": files})).source
    assert isinstance(source, FilesSource)
    assert source.interactions.path == str(tmp_path / "orders/*.csv")
    assert source.items is not None
    assert source.items.path == "/elsewhere/items.csv"
    for kind in ("campaigns", "coupons", "users", "promotions"):
        more = load_config(write(tmp_path, {**GOOD, "source": files | {kind: {"path": "more.csv"}}})).source
        assert getattr(more, kind).path == str(tmp_path / "more.csv")
    shop = load_config(write(tmp_path, {**GOOD, "source": {"kind": "hm", "folder": "hm"}})).source
    assert shop.model_dump() == {"kind": "hm", "folder": str(tmp_path / "hm"), "images": True}
    text = load_config(write(tmp_path, {**GOOD, "source": {"kind": "lightgcn_text", "folder": "gowalla"}})).source
    assert text.model_dump() == {"kind": "lightgcn_text", "folder": str(tmp_path / "gowalla")}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("sead", "seed"),
        ("windos.days", "windows"),
        ("windows.trainning", "training"),
        ("retrieval.repeats.half_life_day", "half_life_days"),
        ("retrieval.popluar.n", "popular"),
        ("source.houshold_stride", "household_stride"),
        ("source.atributes", "attributes"),
        ("source.imagess", "images"),
        ("evaluation.cutofs", "cutoffs"),
    ],
)
def test_a_misspelt_key_is_named_with_the_one_that_was_meant(tmp_path: Path, path: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"is not a known key. Did you mean `{meant}`") as caught:
        load_config(write(tmp_path, with_value(path, 3)))
    assert "run.yaml" in str(caught.value)
    assert path.split(".")[-1] in str(caught.value) or path.split(".")[0] in str(caught.value)


def test_a_key_like_no_other_is_refused_without_a_guess(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`zzqx` is not a known key") as caught:
        load_config(write(tmp_path, with_value("zzqx", 3)))
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "My Shop"),
        ("name", ""),
        ("seed", -1),
        ("threads", 0),
        ("source.kind", "oracle"),
        ("source.household_stride", 0),
        ("quality.max_bad_rows", 1),
        ("quality.max_bad_rows", -0.1),
        ("windows.days", 0),
        ("windows.training", 0),
        ("windows.end", "soon"),
        ("embeddings.fusion.dimensions", 1),
        ("retrieval.repeats.n", 0),
        ("retrieval.repeats.n", "many"),
        ("retrieval.repeats.half_life_days", 0),
        ("retrieval.repeats.half_life_days", float("nan")),
        ("retrieval.repeats.half_life_days", float("inf")),
        ("retrieval.copurchase.neighbours", 0),
        ("retrieval.copurchase.window_days", 0),
        ("retrieval.graph.dimensions", 1),
        ("retrieval.graph.layers", 0),
        ("retrieval.graph.learning_rate", float("inf")),
        ("retrieval.graph.temperature", -1),
        ("retrieval.graph.weight_decay", -1),
        ("retrieval.vector.half_life_days", -2),
        ("ranking.lambdarank.trees", 0),
        ("ranking.lambdarank.leaves", 1),
        ("ranking.lambdarank.feature_fraction", 1.5),
        ("ranking.lambdarank.l2", -1),
        ("ranking.neural.history", 61),
        ("ranking.blend.neural", 1.1),
        ("evaluation.bootstrap_samples", 9),
        ("evaluation.cutoffs", [0, 5]),
        ("evaluation.cutoffs", [10, 5]),
        ("evaluation.cutoffs", [5, 5]),
        ("evaluation.cutoffs", []),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_key(tmp_path: Path, path: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, with_value(path, value)))
    assert all(part in str(caught.value) for part in path.split(".") if part != "kind")
    assert "is not a known key" not in str(caught.value)
    assert "run.yaml" in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 200


@pytest.mark.parametrize("missing", ["name", "source"])
def test_a_missing_key_is_named_without_the_whole_file_after_it(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"`{missing}`: Field required") as caught:
        load_config(write(tmp_path, {key: value for key, value in GOOD.items() if key != missing}))
    assert "got" not in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, {**GOOD, "seed": -1, "thread": 2}))
    assert "`seed`" in str(caught.value)
    assert "`thread`" in str(caught.value)


@pytest.mark.parametrize("content", ["- a\n- b\n", "", "just words"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match="expected `key: value` lines"):
        load_config(write(tmp_path, content))


def test_what_is_not_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml: not a readable YAML file"):
        load_config(write(tmp_path, "name: [shop\n"))


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"run\.yaml: not a readable YAML file"):
        load_config(path)


def test_a_file_that_is_not_there_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file\. `cortex-rec init` writes one"):
        load_config(tmp_path / "none.yaml")


def test_a_configuration_cannot_be_changed_after_it_was_read(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_config(write(tmp_path, GOOD)).seed = 8


def test_a_written_out_configuration_reads_back_the_same() -> None:
    config = Config.model_validate(GOOD)
    assert Config.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("end", ["2018-01-01T00:00:00+02:00", "2018-01-01T00:00:00Z", datetime(2018, 1, 1, tzinfo=UTC)])
def test_an_offset_in_a_moment_is_refused_since_times_are_the_shops_own(tmp_path: Path, end: Any) -> None:
    with pytest.raises(ConfigError, match=r"`windows\.end`.*has an offset.* 2018-01-01 00:00:00"):
        load_config(write(tmp_path, with_value("windows.end", end)))
    assert load_config(write(tmp_path, with_value("windows.end", "2018-01-01 00:00:00"))).windows.end == datetime(2018, 1, 1)
