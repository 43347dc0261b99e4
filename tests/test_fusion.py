"""Words, picture and attributes to one vector: what is bought together is near, and what nobody bought yet finds its place."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_rec.arrays import DAY, F32, pointers
from cortex_rec.config import FusionEmbedding
from cortex_rec.embeddings import fusion_training
from cortex_rec.embeddings.content import Content
from cortex_rec.embeddings.fusion import Fusion
from cortex_rec.embeddings.fusion_network import Items, Network
from cortex_rec.embeddings.placed import Placed
from cortex_rec.errors import ArtifactError, ConfigError, EmptyTrainingSetError
from cortex_rec.histories import Histories

CONFIG = FusionEmbedding(dimensions=8, towers=1, width=16, batch_size=64, steps=150, epochs=1_000)
#: Items of three kinds, in turn; nobody bought the last six.
KINDS, N, SOLD = 3, 60, 54
KIND = np.arange(N) % KINDS


def shop(seed: int = 0) -> Content:
    """What items say and show: their kind, and as much noise, of which words and pictures have each their own."""
    generator = np.random.default_rng(seed)

    def unit(width: int) -> F32:
        vectors = np.eye(width)[KIND] + generator.normal(0, 0.15, (N, width))
        rows: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return rows

    return Content(unit(12), unit(20), {"kind": KIND.astype(np.int32), "number": np.arange(N, dtype=np.int32)})


def bought(*baskets: list[int]) -> Histories:
    """The purchases of users, one an item and day."""
    item = np.concatenate([np.array(basket, np.int32) for basket in baskets])
    pointer = pointers(np.array([len(basket) for basket in baskets]))
    time = np.concatenate([np.arange(len(basket)) * DAY for basket in baskets])
    unknown = np.full(len(item), np.nan, np.float32)
    return Histories(pointer, item, time, time // DAY, np.full(len(item), -1, np.int32), unknown, unknown, unknown)


def loyal(users: int = 60, seed: int = 1) -> Histories:
    """Everybody buys five items of one kind; of the first kind there are four times as many as of each other."""
    generator = np.random.default_rng(seed)
    kinds = [0, 0, 0, 0, 1, 2]
    return bought(*(generator.choice(np.flatnonzero(KIND[:SOLD] == kinds[user % 6]), 5, replace=False).tolist() for user in range(users)))


def only(content: Content, part: str) -> Content:
    nothing = np.zeros((N, 0), np.float32)
    return Content(
        content.text if part == "text" else np.zeros_like(content.text),
        content.image if part == "image" else nothing,
        {"kind": content.attributes["kind"]} if part == "attributes" else {},
    )


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    return fusion_training.fit(shop(), loyal(), CONFIG, seed=7, threads=1)


@pytest.mark.parametrize("part", ["all", "text", "image", "attributes"])
def test_an_item_that_nobody_bought_lies_among_those_of_its_kind(part: str) -> None:
    content = shop() if part == "all" else only(shop(), part)
    vectors = fusion_training.fit(content, loyal(), CONFIG, seed=7, threads=1).place(content).vectors
    near = vectors[SOLD:] @ vectors[:SOLD].T
    centres = np.stack([near[:, KIND[:SOLD] == kind].mean(axis=1) for kind in range(KINDS)], axis=1)
    assert centres.argmax(axis=1).tolist() == KIND[SOLD:].tolist()
    first, second = np.sort(centres, axis=1)[:, :-3:-1].T
    assert np.min(first - second) > 0.1


def test_what_is_bought_more_has_more_appeal_also_where_nobody_bought_it_yet(fusion: Fusion) -> None:
    appeal = fusion.place(shop()).appeal
    assert appeal.shape == (N,)
    assert appeal[SOLD:][KIND[SOLD:] == 0].min() > appeal[SOLD:][KIND[SOLD:] != 0].max()


def test_numpy_answers_what_the_network_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    learn, seen = fusion_training._learn, []

    def remember(network: Network, items: Items, *rest: object) -> None:
        learn(network, items, *rest)  # type: ignore[arg-type]
        seen.append((network, items))

    monkeypatch.setattr(fusion_training, "_learn", remember)
    content = lacking(shop(), words=[0, 7], pictures=[1, 7], kinds=[2, 7])
    fusion = fusion_training.fit(content, loyal(), CONFIG, seed=7, threads=1)
    network, items = seen[0]
    with torch.no_grad():
        vectors, appeal = network.eval()(items)
    placed = fusion.place(content)
    np.testing.assert_allclose(placed.vectors, vectors.numpy(), atol=1e-5)
    np.testing.assert_allclose(placed.appeal * network.sharpness.exp().item(), appeal.numpy(), atol=1e-4)


def test_several_networks_agree_on_a_vector_of_the_same_length() -> None:
    short = CONFIG.model_copy(update={"steps": 20})
    first, second = (fusion_training.fit(shop(), loyal(), short, seed=seed, threads=1).place(shop()) for seed in (7, 8))
    both = fusion_training.fit(shop(), loyal(), short.model_copy(update={"towers": 2}), seed=7, threads=1)
    placed = both.place(shop())
    vectors = placed.vectors
    assert vectors.shape == (N, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    whole = replace(both, projection=np.eye(16, dtype=np.float32)).place(shop()).vectors
    likeness = (first.vectors @ first.vectors.T + second.vectors @ second.vectors.T) / 2
    np.testing.assert_allclose(whole @ whole.T, likeness, atol=1e-5)
    assert np.corrcoef((vectors @ vectors.T).ravel(), likeness.ravel())[0, 1] > 0.98
    np.testing.assert_allclose(placed.appeal, (first.appeal + second.appeal) / 2, atol=1e-6)


def bits_of(placed: Placed) -> tuple[bytes, bytes]:
    return placed.vectors.tobytes(), placed.appeal.tobytes()


def lacking(content: Content, *, words: list[int], pictures: list[int], kinds: list[int]) -> Content:
    text, image, kind = content.text.copy(), content.image.copy(), content.attributes["kind"].copy()
    text[words], image[pictures], kind[kinds] = 0, 0, -1
    return Content(text, image, content.attributes | {"kind": kind})


rows = st.lists(st.integers(0, N - 1), unique=True)


@settings(max_examples=30, deadline=None)
@given(words=rows, pictures=rows, kinds=rows)
def test_whatever_an_item_lacks_it_gets_a_unit_vector_and_leaves_the_others_theirs(
    fusion: Fusion, words: list[int], pictures: list[int], kinds: list[int]
) -> None:
    vectors = fusion.place(lacking(shop(), words=words, pictures=pictures, kinds=kinds)).vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    whole = sorted(set(range(N)) - {*words, *pictures, *kinds})
    assert vectors[whole].tobytes() == fusion.place(shop()).vectors[whole].tobytes()


def test_an_item_gets_the_same_bits_alone_and_among_a_thousand(fusion: Fusion) -> None:
    many = shop().take(np.resize(np.arange(N), 1_000).astype(np.int32))
    alone = fusion.place(many.take(np.array([777], np.int32)))
    assert bits_of(alone) == bits_of(fusion.place(many).take(slice(777, 778)))
    none = fusion.place(many.take(np.zeros(0, np.int32)))
    assert (none.vectors.shape, none.appeal.shape) == ((0, 8), (0,))


def test_a_value_that_came_after_the_training_counts_as_unknown(fusion: Fusion) -> None:
    content = shop()
    kinds = {code: bits_of(fusion.place(_of_kind(content, code))) for code in (-1, 0, 3, 99)}
    assert kinds[3] == kinds[99] == kinds[-1] != kinds[0]
    assert bits_of(fusion.place(replace(content, attributes={"number": content.attributes["number"]}))) == kinds[-1]


def _of_kind(content: Content, code: int) -> Content:
    return replace(content, attributes=content.attributes | {"kind": np.full(N, code, np.int32)})


def test_a_value_of_one_item_alone_says_nothing(fusion: Fusion) -> None:
    content = shop()
    renumbered = replace(content, attributes=content.attributes | {"number": content.attributes["number"][::-1].copy()})
    assert bits_of(fusion.place(renumbered)) == bits_of(fusion.place(content))


def test_the_seed_decides_every_bit() -> None:
    short = CONFIG.model_copy(update={"steps": 5})
    first, again, other = (fusion_training.fit(shop(), loyal(), short, seed=seed, threads=1) for seed in (7, 7, 8))
    assert bits(first) == bits(again) != bits(other)


def bits(fusion: Fusion) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in fusion.towers[0].weights.items()}


def test_vectors_prepared_in_blocks_are_those_prepared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    raw = generator.normal(size=(101, 6)).astype(np.float32) * np.arange(1, 7, dtype=np.float32)
    raw[generator.random(101) < 0.2] = 0
    there = raw.any(axis=1)
    whole = fusion_training._Prepared.of(raw, 4, 0.5)
    monkeypatch.setattr(fusion_training, "_BLOCK", 7)
    blocks = fusion_training._Prepared.of(raw, 4, 0.5)
    np.testing.assert_allclose(blocks.mean, whole.mean, rtol=1e-6)
    # The sign of an axis is nobody's choice.
    np.testing.assert_allclose(np.abs(blocks.vectors), np.abs(whole.vectors), atol=1e-5)
    np.testing.assert_allclose((raw[there] - blocks.mean) @ blocks.axes, blocks.vectors[there], atol=1e-5)
    assert blocks.vectors.shape == (101, 4)
    assert not blocks.vectors[~there].any()


@pytest.mark.parametrize(("steps", "epochs", "made"), [(7, 1_000, 7), (1_000, 3, 15)])
def test_learning_ends_with_the_steps_or_the_epochs(steps: int, epochs: int, made: int) -> None:
    told: list[tuple[int, int]] = []
    config = CONFIG.model_copy(update={"steps": steps, "epochs": epochs})
    fusion_training.fit(shop(), loyal(), config, seed=7, threads=1, progress=lambda done, total: told.append((done, total)))
    assert told == [(step + 1, made) for step in range(made)], "300 purchases in batches of 64 are five steps an epoch"


def test_the_history_of_an_item_to_be_found_is_of_its_buyer_and_without_it() -> None:
    purchases = fusion_training._Purchases.of(bought([4, 4, 9], [], [3], list(range(10, 40)) * 2, list(range(54))))
    assert purchases.item.tolist() == [4, 9, *range(10, 40), *range(54)], "each item once, in order; one item alone has no other"
    chosen = np.repeat(np.arange(len(purchases.item)), 30)
    wanted, history = purchases.draw(chosen, np.random.default_rng(0))
    assert wanted.tolist() == purchases.item[chosen].tolist()
    assert not np.any(history == wanted[:, None])
    of_two, of_thirty, of_many = (chosen < 2), (chosen >= 2) & (chosen < 32), chosen >= 32
    assert set(history[of_two].ravel().tolist()) == {4, 9}
    assert set(history[of_thirty].ravel().tolist()) == set(range(10, 40))
    far = np.abs(history[of_many] - wanted[of_many][:, None])
    assert (far.min(), far.max()) == (1, fusion_training._NEAR)


def test_a_saved_network_is_the_one_in_memory_and_a_damaged_one_names_itself(fusion: Fusion, tmp_path: Path) -> None:
    fusion.save(tmp_path)
    again = Fusion.load(tmp_path)
    assert (again.text_width, again.image_width, tuple(again.rows), again.dimensions) == (12, 20, ("kind", "number"), 8)
    assert bits_of(again.place(shop())) == bits_of(fusion.place(shop()))
    (tmp_path / "fusion.json").write_text("{")
    with pytest.raises(ArtifactError, match="the fusion network cannot be read"):
        Fusion.load(tmp_path)


def test_nothing_to_learn_from_and_vectors_of_another_model_are_told(fusion: Fusion) -> None:
    with pytest.raises(EmptyTrainingSetError, match="nobody bought two different items"):
        fusion_training.fit(shop(), bought([4, 4], [5]), CONFIG, seed=7, threads=1)
    with pytest.raises(ConfigError, match=r"text vectors of 5 dimensions, but it learned from 12.*embeddings\.text"):
        fusion.place(replace(shop(), text=np.ones((N, 5), np.float32)))
    with pytest.raises(ConfigError, match="Lower `learning_rate`, now 1e\\+30"):
        fusion_training.fit(shop(), loyal(), CONFIG.model_copy(update={"learning_rate": 1e30}), seed=7, threads=1)


def test_placing_an_item_needs_no_torch() -> None:
    code = "import sys; import cortex_rec.embeddings.fusion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
