"""The next-item retriever keeps the contract, is the sum of its formulas, and finds what follows what."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortex_rec.arrays import Ragged, save_arrays
from cortex_rec.config import Sequence as SequenceConfig
from cortex_rec.config import SequenceEncoder as EncoderConfig
from cortex_rec.config import Transitions as TransitionsConfig
from cortex_rec.errors import DataError, EmptyTrainingSetError
from cortex_rec.retrieval import sequence, sequence_training, transitions
from cortex_rec.retrieval.protocol import Evidence
from cortex_rec.retrieval.sequence import Sequence
from cortex_rec.retrieval.sequence_encoder import Encoder
from cortex_rec.sources import sequence_text
from cortex_rec.testing.retriever_contract import RetrieverContract

SMALL = EncoderConfig(dimensions=8, heads=2, width=8, length=6, places=64, negatives=8, steps=4, every=2)


class TestSequence(RetrieverContract):
    def fit(self, evidence: Evidence) -> Sequence:
        return sequence.fit(evidence, SequenceConfig(encoder=SMALL, judged=20))


def rounds(n_users: int = 150, n_items: int = 24, *, seed: int = 3) -> Ragged:
    """Everybody goes round a circle of items from somewhere, every fourth step to an item by chance."""
    generator = np.random.default_rng(seed)
    lists = []
    for _ in range(n_users):
        start, length = generator.integers(n_items), generator.integers(6, 12)
        own = (start + np.arange(length)) % n_items
        lists.append(np.where(generator.random(length) < 0.25, generator.integers(n_items, size=length), own))
    return Ragged.of(lists)


def trained(steps: int, seed: int = 7) -> Encoder:
    quick = SMALL.model_copy(update={"dimensions": 16, "learning_rate": 0.01, "dropout": 0.1, "negatives": 24})
    return sequence_training.train(rounds(), 24, quick, steps=steps, seed=seed)


def test_transitions_are_those_of_the_formula() -> None:
    config = TransitionsConfig(reach=2, decay=1, backward=0.5, in_power=0.5, out_power=0.25, fading=2)
    model = transitions.learn(Ragged.of([[0, 1, 2], [1, 2, 3, 0]]), 4, config)
    forward = np.array([[0, 1, 0.5, 0], [0.5 / 1 * 0, 0, 2, 0.5], [0.5, 0, 0, 1], [1, 0, 0, 0]])
    counts = np.array([2, 2, 2, 1.0])
    strength = counts[:, None] ** -0.5 * (forward + 0.5 * forward.T) * counts**-0.25
    history = np.array([[1 / 9, 0, 1, 1 / 4], [0, 0, 0, 0]])
    assert np.allclose(model.scores(Ragged.of([[0, 3, 2], []])), history @ strength, atol=1e-6)


def test_only_the_strongest_followers_are_kept_and_the_first_of_equals() -> None:
    model = transitions.learn(
        Ragged.of([[0, 1], [0, 2], [0, 3], [0, 3], [1, 0]]), 4, TransitionsConfig(followers=2, backward=0, out_power=0)
    )
    assert [model.follower[model.pointer[i] : model.pointer[i + 1]].tolist() for i in range(4)] == [[1, 3], [0], [], []]


def test_numpy_reads_a_history_as_torch_does() -> None:
    config, generator = SMALL.model_copy(update={"dropout": 0.0}), torch.Generator().manual_seed(1)
    network = sequence_training.Network(np.zeros((24, 8), np.float32), np.zeros(24, np.float32), config)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    histories = [[3], [5, 1, 9], [4, 4, 2, 23, 0, 7, 7, 1]]
    states = network.encoder().states(Ragged.of([*histories, []]))
    for found, history in zip(states[:3], histories, strict=True):
        with torch.no_grad():
            expected = network(torch.tensor([history[-config.length :]]))[0, -1]
        assert np.allclose(found, expected.numpy(), atol=1e-4)
    assert not states[3].any()


def test_a_place_does_not_see_what_comes_after_it() -> None:
    network = sequence_training.Network(
        np.random.default_rng(1).normal(size=(24, 8)).astype(np.float32), np.zeros(24, np.float32), SMALL
    ).eval()
    with torch.no_grad():
        one, other = (network(torch.tensor([items])) for items in ([1, 2, 3, 4], [1, 2, 9, 8]))
    assert torch.equal(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2:], other[:, 2:])


def test_with_the_whole_catalogue_as_sample_the_loss_is_the_plain_softmax_over_the_places_that_are_there() -> None:
    vectors = np.random.default_rng(1).normal(size=(24, 8)).astype(np.float32)
    network = sequence_training.Network(vectors, vectors[:, 0].copy(), SMALL).eval()
    batch = torch.tensor([[1, 2, 3], [4, 5, -1]])
    logits = network(batch[:, :-1].clamp(min=0)) @ network.items.T + network.popularity
    chances = torch.log_softmax(logits, -1)
    expected = -(chances[0, 0, 2] + chances[0, 1, 3] + chances[1, 0, 5]) / 3
    assert torch.allclose(sequence_training.loss(network, batch, torch.arange(24)), expected, atol=1e-5)


def test_two_trainings_are_equal_to_the_last_bit_and_another_seed_is_not(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("same", 7), ("other", 8)):
        save_arrays(tmp_path / name, trained(6, seed).weights)
    one, same, other = ((tmp_path / name).read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other


def test_the_transformer_learns_what_comes_next() -> None:
    histories = Ragged.of([(np.arange(5) + start) % 24 for start in range(24)])
    expected = (np.arange(24) + 5) % 24
    before, after = (np.mean(trained(steps).logits(histories).argmax(axis=1) == expected) for steps in (1, 400))
    assert before < 0.5
    assert after > 0.8


def test_the_mixture_finds_the_next_item_and_leaves_out_what_was_never_sold() -> None:
    model = sequence.learn(rounds(), 26, SequenceConfig(encoder=SMALL, judged=50), seed=7)
    histories = Ragged.of([*((np.arange(5) + start) % 24 for start in range(24)), [], [25]])
    scores = model.scores(histories)
    assert np.mean(scores[:24].argmax(axis=1) == (np.arange(24) + 5) % 24) > 0.9
    assert np.all(scores[:24, :24] > 0)
    assert not scores[24:].any()
    assert not scores[:, 24:].any()


def test_what_was_learned_is_mixed_by_the_share_that_judges_best_on_held_out_items() -> None:
    counts = transitions.learn(Ragged.of([[0, 1], [0, 1], [2, 3]]), 4, TransitionsConfig(backward=0))
    random = sequence_training.Network(
        np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32), np.zeros(4, np.float32), SMALL
    ).encoder()
    figures = sequence.judged(counts, random, Ragged.of([[0], [2]]), np.array([1, 3], np.int32))
    assert figures[0] == 1
    assert figures.argmax() == 0


def test_patience_ends_the_search_of_steps_and_as_many_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    figures, trained_steps, train = iter([0.1, 0.3, 0.2, 0.1, 0.4]), [], sequence_training.train
    monkeypatch.setattr(sequence, "judged", lambda *_: np.full(len(sequence.SHARES), next(figures)))

    def watched(*arguments: Any, steps: int, **named: Any) -> Encoder:
        trained_steps.append(steps)
        return train(*arguments, steps=steps, **named)

    monkeypatch.setattr(sequence_training, "train", watched)
    sequence.learn(rounds(), 24, SequenceConfig(encoder=SMALL.model_copy(update={"steps": 40, "patience": 2})), seed=7)
    assert trained_steps == [40, 4]
    assert next(figures) == 0.4


def test_sequences_too_short_to_learn_from_say_so() -> None:
    with pytest.raises(EmptyTrainingSetError, match="three purchases"):
        sequence.learn(Ragged.of([[0, 1], [1]]), 2, SequenceConfig(), seed=1)


def test_a_file_is_read_in_the_order_of_its_lines_and_items(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("u b a  c\n\nv c\tb\nw\n", encoding="utf-8")
    sequences, n_items = sequence_text.read(tmp_path / "data.txt")
    assert n_items == 3
    assert [sequences[i].tolist() for i in range(len(sequences))] == [[1, 0, 2], [2, 1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no line has a user and an item"),
        (b"1,2,2024-01-01\n1,3,2024-01-02\n", "no line has a user and an item"),
        (b"1 2 2024\n2 3 2024\n1 3 2024\n", r"more than one line of the user 1\. A line holds all items of one user"),
        (b"1 2 \xff\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_list_of_sequences_says_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        sequence_text.read(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        sequence_text.read(tmp_path / "none.txt")
