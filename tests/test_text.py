"""Texts to vectors: a text is encoded once, ever, and has the same bits whatever it is encoded with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortex_rec.config import TextEmbedding
from cortex_rec.embeddings import text
from cortex_rec.embeddings.text import BATCH
from cortex_rec.errors import ConfigError

TEXTS = ["red apples", "green apples", "coffee", "", "red apples"]
LETTERS = "aeprgnc "


class LetterCounter:
    """Stands in for a sentence encoder: a vector is the counts of letters, a token is a letter."""

    default_prompt_name = None

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def preprocess(self, texts: list[str], prompt: str | None) -> dict[str, Any]:
        assert prompt is None
        mask = torch.zeros(len(texts), max(map(len, texts)))
        for row, said in enumerate(texts):
            mask[row, : len(said)] = 1
        return {"texts": texts, "attention_mask": mask}

    def __call__(self, features: dict[str, Any]) -> dict[str, torch.Tensor]:
        self.batches.append(features["texts"])
        return {"sentence_embedding": torch.tensor([[said.count(letter) for letter in LETTERS] for said in features["texts"]])}

    def get_embedding_dimension(self) -> int:
        return len(LETTERS)

    def asked(self) -> list[str]:
        """Every text since the last question."""
        texts = sorted({said for batch in self.batches for said in batch})
        self.batches.clear()
        return texts


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> LetterCounter:
    counter = LetterCounter()
    monkeypatch.setattr(text, "_encoder", lambda folder, digest: counter)
    return counter


@pytest.fixture
def model(tmp_path: Path) -> TextEmbedding:
    """A folder that could hold a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"one")
    return TextEmbedding(model=str(folder))


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


def test_every_text_is_encoded_once_though_items_share_it(encoder: LetterCounter, model: TextEmbedding, tmp_path: Path) -> None:
    vectors = text.embed(TEXTS, model, cache=tmp_path)
    assert encoder.asked() == ["coffee", "green apples", "red apples"]
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors[0], vectors[4])
    np.testing.assert_allclose(vectors[2], np.array([0, 2, 0, 0, 0, 0, 1, 0]) / np.sqrt(5), rtol=1e-6)  # "coffee" has two e and a c


def test_a_text_without_words_is_zeros_also_when_there_is_no_other(encoder: LetterCounter, model: TextEmbedding, tmp_path: Path) -> None:
    assert np.array_equal(text.embed(["", " \n"], model, cache=tmp_path), np.zeros((2, 8)))
    vectors = text.embed(TEXTS, model, cache=tmp_path)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 1], atol=1e-6)
    assert "" not in encoder.asked()


def test_a_text_of_an_earlier_run_is_not_encoded_again(encoder: LetterCounter, model: TextEmbedding, tmp_path: Path) -> None:
    first = text.embed(TEXTS, model, cache=tmp_path)
    encoder.asked()
    done: list[tuple[int, int]] = []
    again = text.embed(TEXTS, model, cache=tmp_path, progress=lambda *at: done.append(at))
    assert (encoder.asked(), done) == ([], [])
    assert again.tobytes() == first.tobytes()
    text.embed([*TEXTS, "oranges"], model, cache=tmp_path, progress=lambda *at: done.append(at))
    assert (encoder.asked(), done) == (["oranges"], [(1, 1)])


def test_a_model_whose_files_changed_encodes_anew(encoder: LetterCounter, model: TextEmbedding, tmp_path: Path) -> None:
    text.embed(TEXTS, model, cache=tmp_path)
    encoder.asked()
    (Path(model.model) / "weights").write_bytes(b"another")
    text.embed(TEXTS, model, cache=tmp_path)
    assert len(encoder.asked()) == 3


def test_a_batch_is_full_and_of_one_length(encoder: LetterCounter, model: TextEmbedding, tmp_path: Path) -> None:
    texts = [letter * length for length in (3, 1, 2) for letter in "abcdefghijklmnopqrstuvw"]
    text.embed(texts, model, cache=tmp_path)
    assert [{len(said) for said in batch} for batch in encoder.batches] == [{1}, {1}, {2}, {2}, {3}, {3}]
    assert {len(batch) for batch in encoder.batches} == {BATCH}


@pytest.mark.usefixtures("encoder")
def test_what_was_embedded_before_does_not_change_a_later_answer(model: TextEmbedding, tmp_path: Path) -> None:
    alone = text.embed(TEXTS, model, cache=tmp_path / "fresh")
    text.embed(["zebra", "ananas"], model, cache=tmp_path / "used")
    assert text.embed(TEXTS, model, cache=tmp_path / "used").tobytes() == alone.tobytes()


def test_minilm_puts_what_means_the_same_nearer_and_tells_how_far_it_is(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    texts = ["strawberry yogurt", "blueberry yoghurt cup", "motor oil", "engine lubricant"]
    vectors = text.embed(texts, TextEmbedding(), cache=tmp_path / "a", progress=lambda *at: done.append(at))
    near = vectors @ vectors.T
    assert vectors.shape == (4, 384)
    assert near[0, 1] > near[0, 2]
    assert near[2, 3] > near[1, 3]
    assert done == [(4, 4)]


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """What somebody else may have set in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    yield
    torch.set_num_threads(before)


def test_a_text_has_the_same_bits_alone_and_among_others_and_on_more_threads(tmp_path: Path) -> None:
    texts = [f"{'very ' * (n % 7)}soft jumper with {n} buttons" for n in range(40)]
    with torch_threads(1):
        together = text.embed(texts, TextEmbedding(), cache=tmp_path / "together", threads=3)
    for row in (0, 17, 39):
        with torch_threads(2):
            alone = text.embed([texts[row]], TextEmbedding(), cache=tmp_path / f"alone{row}")
        assert alone[0].tobytes() == together[row].tobytes()


def test_a_model_that_is_no_folder_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"embeddings\.text\.model: 'minilmm' is neither `minilm` nor a folder"):
        text.embed(TEXTS, TextEmbedding(model="minilmm"), cache=tmp_path)


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_that_holds_no_model_is_refused(content: str | None, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    if content is not None:
        (model / "modules.json").write_text(content, encoding="utf-8")
        (model / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"embeddings\.text\.model: .*is not a readable sentence-transformers folder"):
        text.embed(TEXTS, TextEmbedding(model=str(model)), cache=tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
