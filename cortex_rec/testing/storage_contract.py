"""What every `Storage` of releases must hold to: inherit the class in a test module and say how yours is opened."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cortex_rec.errors import ArtifactError
from cortex_rec.releases.storage import Storage


class StorageContract:
    """Tests that a subclass inherits; pytest collects them when its name starts with `Test`.

    Examples
    --------
    >>> class TestMyStorage(StorageContract):
    ...     def open(self):
    ...         return MyStorage(self.place)
    """

    def open(self) -> Storage:
        """Open the storage under test: the same, empty one for each call within a test."""
        raise NotImplementedError

    @pytest.fixture
    def storage(self) -> Storage:
        return self.open()

    def test_what_was_written_is_read_by_whoever_opens_it(self, storage: Storage) -> None:
        assert storage.read("a/b.json") is None
        assert storage.write("a/b.json", b"one", expected=None)
        found = self.open().read("a/b.json")
        assert found is not None
        assert found.content == b"one"

    def test_only_the_version_that_was_read_is_replaced(self, storage: Storage) -> None:
        assert storage.write("p", b"one", expected=None)
        first = storage.read("p")
        assert first is not None
        assert not storage.write("p", b"other", expected=None)
        assert storage.write("p", b"two", expected=first.tag)
        assert not storage.write("p", b"other", expected=first.tag)
        assert not storage.write("not there", b"other", expected=first.tag)
        second = storage.read("p")
        assert second is not None
        assert (second.content, second.tag != first.tag) == (b"two", True)
        assert storage.read("not there") is None

    def test_of_many_writers_that_expect_the_same_one_wins(self, storage: Storage) -> None:
        start, tag = threading.Barrier(8), None
        with ThreadPoolExecutor(8) as pool:
            for number in range(10):
                contents = [f"{number} {writer}".encode() for writer in range(8)]

                def write(content: bytes, tag: str | None = tag) -> bool:
                    start.wait(60)
                    return storage.write("p", content, expected=tag)

                won = [content for content, done in zip(contents, pool.map(write, contents), strict=True) if done]
                found = storage.read("p")
                assert found is not None
                assert won == [found.content]
                tag = found.tag

    def test_a_file_is_put_in_place_listed_with_its_size_copied_and_removed(self, storage: Storage, tmp_path: Path) -> None:
        content = bytes(range(256)) * 5_000
        (tmp_path / "file").write_bytes(content)
        storage.upload(tmp_path / "file", "r1/graph/users.bin")
        (tmp_path / "file").write_bytes(b"")
        storage.upload(tmp_path / "file", "r1/empty")
        storage.write("r10/other", b"123", expected=None)
        assert storage.list() == {"r1/graph/users.bin": 1_280_000, "r1/empty": 0, "r10/other": 3}
        assert storage.list("r1/") == {"r1/graph/users.bin": 1_280_000, "r1/empty": 0}
        assert storage.list("r1/graph/u") == {"r1/graph/users.bin": 1_280_000}
        assert storage.list("r2/") == {}
        storage.download("r1/graph/users.bin", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == content
        storage.remove("r1/graph/users.bin")
        storage.remove("r1/graph/users.bin")
        assert storage.list() == {"r1/empty": 0, "r10/other": 3}

    def test_a_file_that_is_put_in_place_again_is_replaced(self, storage: Storage, tmp_path: Path) -> None:
        for text in ("one", "other"):
            (tmp_path / "file").write_text(text)
            storage.upload(tmp_path / "file", "r1/file")
        storage.download("r1/file", tmp_path / "copy")
        assert (tmp_path / "copy").read_text() == "other"

    def test_a_missing_file_is_named(self, storage: Storage, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="r1/nothing: is missing"):
            storage.download("r1/nothing", tmp_path / "copy")
        assert storage.where("r1/nothing").endswith("r1/nothing")
