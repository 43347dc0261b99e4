"""Training works on blocks of users: of any size they give the same bits, and memory does not grow with the purchases."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from purchases import histories as small
from purchases import moment

from cortex_rec import histories, snapshot, splits
from cortex_rec.arrays import DAY, I32, load_arrays, pointers, vars_of
from cortex_rec.embeddings import fusion_training
from cortex_rec.encoding import Encoded, encode
from cortex_rec.errors import ArtifactError
from cortex_rec.features import statistics
from cortex_rec.histories import Histories, Past
from cortex_rec.monitoring import purchases
from cortex_rec.monitoring.known import Known
from cortex_rec.retrieval import copurchase
from cortex_rec.testing.evidence import AS_OF, places
from cortex_rec.testing.release import CONFIG
from cortex_rec.testing.shop import small_shop


@pytest.fixture(scope="module")
def shop() -> Encoded:
    return encode(small_shop())


def made(users: int, lines: int, *, n_items: int = 50) -> Histories:
    """Everybody buys so many lines, one a day."""
    n, rng = users * lines, np.random.default_rng(0)
    time = np.tile(np.arange(lines) * DAY, users)
    item: I32 = rng.integers(0, n_items, n).astype(np.int32)
    price = rng.random(n).astype(np.float32)
    return Histories(pointers(np.full(users, lines)), item, time, time // DAY, item % np.int32(3), price, price, price)


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 8))
def test_blocks_are_all_users_in_their_order_and_no_block_is_larger_than_it_must_be(lengths: list[int], most: int) -> None:
    counts = np.array(lengths, np.int64)
    item = np.arange(counts.sum(), dtype=np.int32)
    whole = Histories(pointers(counts), item, *(item.astype(kind) for kind in "qqifff"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "BLOCK", most)
        blocks = list(whole.blocks())
    assert [first for first, _ in blocks] == [sum(block.n_users for _, block in blocks[:at]) for at in range(len(blocks))]
    assert [length for _, block in blocks for length in np.diff(block.pointer)] == lengths
    assert np.concatenate([block.item for _, block in blocks]).tolist() == item.tolist()
    assert all(len(block.item) <= most or block.n_users == 1 for _, block in blocks)
    assert all(np.shares_memory(block.item, item) for _, block in blocks if len(block.item))


@given(st.integers(1, 4), st.integers(0, 6), st.integers(0, 6))
def test_purchases_of_a_span_are_the_same_whatever_the_block(most: int, start: int, end: int) -> None:
    whole = made(3, 6)
    expected = [time for time in whole.time.tolist() if start * DAY <= time < end * DAY]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "BLOCK", most)
        found = whole.between(start * DAY, end * DAY)
    assert found.time.tolist() == expected
    assert np.diff(found.pointer).tolist() == [len(expected) // 3] * 3


def test_the_past_gives_out_nothing_of_its_moment_or_later(shop: Encoded) -> None:
    past, start = Past(shop.histories, AS_OF), AS_OF - 14 * DAY
    assert shop.histories.time.max() >= AS_OF
    for given_out in (past.whole(), past.take(np.arange(5, dtype=np.int32)), *(block for _, block in past.blocks())):
        assert given_out.time.max() < AS_OF
        assert given_out.time.min() < start
    assert past.buyers.tolist() == (np.diff(past.whole().pointer) > 0).tolist()
    assert Past(shop.histories, int(shop.histories.time.min()) + 1).buyers.sum() == 1
    assert all(start <= block.time.min() <= block.time.max() < AS_OF for _, block in past.blocks(start))


@pytest.mark.parametrize("most", [1, 500])
def test_a_fit_in_blocks_is_the_same_bit_by_bit(shop: Encoded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most: int) -> None:
    retrieval = CONFIG.retrieval.model_copy(update={"neighbours": CONFIG.retrieval.neighbours.model_copy(update={"users": 20})})
    config, content = CONFIG.model_copy(update={"retrieval": retrieval}), places(len(shop.items), seed=1)

    def fitted(name: str) -> dict[str, bytes]:
        (tmp_path / name).mkdir()
        snapshot.fit(shop, content, config, as_of=AS_OF).save(tmp_path / name)
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}

    whole = fitted("whole")
    monkeypatch.setattr(histories, "BLOCK", most)
    monkeypatch.setattr(copurchase, "BLOCK", most)
    assert len(list(shop.histories.blocks())) == (60 if most == 1 else 11)
    assert fitted("blocks") == whole
    assert {name.partition("/")[0] for name in whole} >= {"statistics.safetensors", "uplift.safetensors", "retrieval"}


def test_what_drift_and_the_places_of_items_learn_from_is_the_same_in_blocks(shop: Encoded, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = purchases.of_histories(shop, AS_OF, AS_OF + 7 * DAY).pairs(len(shop.items))

    def learned() -> list[object]:
        known = Known.of(shop.histories, len(shop.items), len(shop.stores), AS_OF, asked)
        pairs = fusion_training._Purchases.of(Past(shop.histories, AS_OF))
        users, bought = splits.truth(shop.histories, splits.Window(AS_OF, AS_OF + 7 * DAY))
        arrays = [array for array in vars_of(known).values() if isinstance(array, np.ndarray)]
        return [each.tolist() for each in (*arrays, pairs.item, pairs.pointer, users, bought.item, bought.pointer)]

    whole = learned()
    monkeypatch.setattr(histories, "BLOCK", 300)
    assert len(list(shop.histories.blocks())) > 5
    np.testing.assert_equal(learned(), whole)


def test_a_shop_without_users_is_one_empty_block() -> None:
    ((first, block),) = small(users=()).blocks()
    assert (first, block.n_users, len(block.item)) == (0, 0, 0)
    assert len(splits.distinct(Past(small(users=()), moment(1)))) == 0


def test_counting_four_times_the_purchases_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "BLOCK", 5_000)

    def peak(users: int, n_items: int) -> int:
        bought = made(users, 100, n_items=n_items)
        tracemalloc.start()
        try:
            statistics.fit(bought, np.zeros(n_items, np.int32), n_items, 3, as_of=100 * DAY)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10, 50)
    # Of many items each block has others, whose sums by store must not lie side by side.
    for n_items in (50, 2_000):
        assert peak(2_000, n_items) < 1.1 * peak(500, n_items)


def test_a_mapped_file_gives_the_same_arrays_read_only(shop: Encoded, tmp_path: Path) -> None:
    shop.save(tmp_path)
    mapped, read = (Encoded.load(tmp_path, mapped=mapped).histories for mapped in (True, False))
    for name, array in vars_of(read).items():
        view = getattr(mapped, name)
        assert (view.dtype, view.shape, view.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert (view.flags.writeable, view.flags.owndata, view.flags.aligned) == (False, False, True)
    again = tmp_path / "again"
    again.mkdir()
    Encoded.load(tmp_path, mapped=True).save(again)
    assert (again / "histories.safetensors").read_bytes() == (tmp_path / "histories.safetensors").read_bytes()


def test_a_mapped_file_that_is_damaged_names_itself(shop: Encoded, tmp_path: Path) -> None:
    shop.save(tmp_path)
    whole, path = (tmp_path / "histories.safetensors").read_bytes(), tmp_path / "cut.safetensors"
    for content in (b"", b"short", whole[:100], whole[:-1], (1 << 63).to_bytes(8, "little") + whole[8:], whole[:8] + b"x" + whole[9:]):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"cut\.safetensors: cannot be read .* Delete its folder"):
            load_arrays(path, mapped=True)
    with pytest.raises(ArtifactError, match=r"absent\.safetensors: cannot be read"):
        load_arrays(tmp_path / "absent.safetensors", mapped=True)
