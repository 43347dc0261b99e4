"""The cache of vectors: nothing is computed twice, nothing wrong is ever read."""

from pathlib import Path

import numpy as np
import pytest

from cortex_rec.embeddings.cache import VectorCache, digest
from cortex_rec.errors import ArtifactError

A, B, C = (digest(name) for name in (b"a", b"b", b"c"))
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_vectors_come_back_in_the_order_asked_and_zeros_for_nothing(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "model") as cache:
        assert cache.width is None
        cache.add([A, B, C], ROWS)
    again = VectorCache(tmp_path, "model")
    assert again.width == 2
    assert A in again
    assert np.array_equal(again.take([C, None, A, C], 2), [[4, 5], [0, 0], [0, 1], [4, 5]])


def test_another_model_has_vectors_of_its_own(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "model") as cache:
        cache.add([A], ROWS[:1])
    assert A not in VectorCache(tmp_path, "another")


def test_a_vector_that_is_known_stays_as_it_is(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "model") as cache:
        cache.add([A], ROWS[:1])
        cache.add([A, B], ROWS[1:])
        assert np.array_equal(cache.take([A, B], 2), [[0, 1], [4, 5]])


def test_what_was_computed_before_an_error_is_kept(tmp_path: Path) -> None:
    def interrupted() -> None:
        with VectorCache(tmp_path, "model") as cache:
            cache.add([A], ROWS[:1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert A in VectorCache(tmp_path, "model")


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "model") as one, VectorCache(tmp_path, "model") as other:
        one.add([A], ROWS[:1])
        other.add([B], ROWS[1:2])
    assert np.array_equal(VectorCache(tmp_path, "model").take([A, B], 2), ROWS[:2])


def test_a_long_run_saves_each_time_that_a_quarter_more_is_known(tmp_path: Path) -> None:
    with VectorCache(tmp_path, "model") as cache:
        saved = []
        for n in range(12):
            cache.add([digest(bytes([n]))], ROWS[:1])
            before = cache.path.stat().st_mtime_ns if cache.path.exists() else 0
            cache.keep()
            saved.append(cache.path.stat().st_mtime_ns != before)
    assert saved == [True, True, True, True, False, True, False, True, False, False, True, False]


@pytest.mark.parametrize("place", [3, 40, -5, -20])
def test_a_damaged_file_names_itself_and_the_way_out(place: int, tmp_path: Path) -> None:
    with VectorCache(tmp_path, "model") as cache:
        cache.add([A, B, C], ROWS)
    content = bytearray(cache.path.read_bytes())
    content[place] ^= 1
    cache.path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{cache.path.name}: this cache of vectors is damaged\. Delete the file"):
        VectorCache(tmp_path, "model")


@pytest.mark.parametrize("size", [0, 40])
def test_a_file_cut_short_names_itself(size: int, tmp_path: Path) -> None:
    with VectorCache(tmp_path, "model") as cache:
        cache.add([A, B, C], ROWS)
    cache.path.write_bytes(cache.path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match=cache.path.name):
        VectorCache(tmp_path, "model")
