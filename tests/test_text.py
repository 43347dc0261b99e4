"""Titles to vectors: a title is encoded once, ever."""

from pathlib import Path

import numpy as np
import pytest

from cortex_rec.arrays import F32
from cortex_rec.config import TextEmbedding
from cortex_rec.embeddings import text
from cortex_rec.errors import ArtifactError, ConfigError

CONFIG = TextEmbedding(dimensions=4)
TITLES = ["red apples", "green apples", "coffee", "", "red apples"]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every title that reaches the encoder, in place of which each letter's count is taken."""
    asked: list[str] = []

    def count_letters(titles: list[str], model: str, progress: object) -> F32:
        asked.extend(titles)
        return np.array([[title.count(letter) for letter in "aeprgnc "] for title in titles], np.float32)

    monkeypatch.setattr(text, "_encode", count_letters)
    return asked


def test_every_title_is_encoded_once_though_items_share_it(encoded: list[str], tmp_path: Path) -> None:
    vectors = text.embed(TITLES, CONFIG, cache=tmp_path)
    assert sorted(encoded) == ["", "coffee", "green apples", "red apples"]
    assert vectors.shape == (5, 4)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors[0], vectors[4])


def test_a_title_of_an_earlier_run_is_not_encoded_again(encoded: list[str], tmp_path: Path) -> None:
    first = text.embed(TITLES, CONFIG, cache=tmp_path)
    encoded.clear()
    again = text.embed(TITLES, CONFIG, cache=tmp_path)
    assert encoded == []
    assert again.tobytes() == first.tobytes()
    text.embed([*TITLES, "oranges"], CONFIG, cache=tmp_path)
    assert encoded == ["oranges"]


def test_another_model_has_vectors_of_its_own(encoded: list[str], tmp_path: Path) -> None:
    text.embed(TITLES, CONFIG, cache=tmp_path)
    encoded.clear()
    text.embed(TITLES, TextEmbedding(model="another", dimensions=4), cache=tmp_path)
    assert len(encoded) == 4


@pytest.mark.usefixtures("encoded")
def test_what_was_embedded_before_does_not_change_a_later_answer(tmp_path: Path) -> None:
    alone = text.embed(TITLES, CONFIG, cache=tmp_path / "fresh")
    text.embed(["zebra", "ananas"], CONFIG, cache=tmp_path / "used")
    assert text.embed(TITLES, CONFIG, cache=tmp_path / "used").tobytes() == alone.tobytes()


@pytest.mark.usefixtures("encoded")
@pytest.mark.parametrize("titles", [TITLES, ["one title"], ["same"] * 3, [""]])
def test_vectors_are_finite_and_of_unit_length_whatever_the_titles(titles: list[str], tmp_path: Path) -> None:
    vectors = text.embed(titles, CONFIG, cache=tmp_path)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.usefixtures("encoded")
def test_a_damaged_cache_names_itself(tmp_path: Path) -> None:
    text.embed(TITLES, CONFIG, cache=tmp_path)
    (store,) = tmp_path.glob("*.safetensors")
    store.write_bytes(store.read_bytes()[:40])
    with pytest.raises(ArtifactError, match=store.name):
        text.embed(TITLES, CONFIG, cache=tmp_path)


def test_minilm_puts_what_means_the_same_nearer_and_tells_how_far_it_is(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    titles = ["strawberry yogurt", "blueberry yoghurt cup", "motor oil", "engine lubricant"]
    vectors = text.embed(titles, TextEmbedding(dimensions=8), cache=tmp_path / "a", progress=lambda *at: done.append(at))
    near = vectors @ vectors.T
    assert near[0, 1] > near[0, 2]
    assert near[2, 3] > near[1, 3]
    assert done == [(4, 4)]
    again = text.embed(titles, TextEmbedding(dimensions=8), cache=tmp_path / "b")
    assert again.tobytes() == vectors.tobytes()


def test_a_model_that_is_no_folder_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"text\.model: 'minilmm' is neither `minilm` nor a folder"):
        text.embed(TITLES, TextEmbedding(model="minilmm"), cache=tmp_path)


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_that_holds_no_model_is_refused(content: str | None, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    if content is not None:
        (model / "modules.json").write_text(content, encoding="utf-8")
        (model / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"text\.model: .*is not a readable sentence-transformers folder"):
        text.embed(TITLES, TextEmbedding(model=str(model)), cache=tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
