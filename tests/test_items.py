"""`cortex-rec items …`: what is added now is recommended now, and what cannot be added says why."""

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from serving import serving

from cortex_rec import cli
from cortex_rec.config import Embeddings
from cortex_rec.embeddings.content import Content
from cortex_rec.embeddings.fusion import Fusion
from cortex_rec.embeddings.images import Pictures
from cortex_rec.errors import ArtifactError
from cortex_rec.recommender import Recommender
from cortex_rec.releases import added, live, new_items, store
from cortex_rec.requests import Request, Slate
from cortex_rec.testing.release import small_release

EVERYBODY = [Request(user=f"h{user:03}", n=90) for user in range(60)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("published") / "releases"
    small_release(root)
    return root


@pytest.fixture
def releases(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release of the small shop, and stand-ins for what needs a pretrained network."""
    root = tmp_path / "releases"
    shutil.copytree(published, root)
    monkeypatch.setattr(new_items.text, "embed", lambda words, config, *, cache: np.stack([vector_of(each, 4) for each in words]))
    monkeypatch.setattr(new_items.images, "embed", looked_at)
    return root


def vector_of(said: str, width: int) -> np.ndarray:
    if not said:
        return np.zeros(width, np.float32)
    seed = int(hashlib.sha1(said.encode(), usedforsecurity=False).hexdigest()[:8], 16)
    vector = np.random.default_rng(seed).normal(size=width)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def looked_at(paths: list[str], config: object, *, cache: Path) -> Pictures:
    """A picture is its bytes; `broken` is none."""
    broken = [path != "" and Path(path).read_bytes() == b"broken" for path in paths]
    problems = [(row, path, "is not a picture") for row, path in enumerate(paths) if broken[row]]
    vectors = np.stack([vector_of(Path(path).read_text() if path else "", 6) for path in paths])
    schema = {"row": pl.Int32, "path": pl.String, "problem": pl.String}
    return Pictures(vectors, pl.DataFrame(problems, schema=schema, orient="row"))


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `cortex-rec …`."""
    monkeypatch.setattr(sys, "argv", ["cortex-rec", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_an_added_item_is_recommended_with_its_title_until_it_is_removed(
    releases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "oats.jpg"
    picture.write_text("a jug")
    told = ["--title", "Oat milk 1 kg", "--description", "from oats", "--image", str(picture), "--set", "subcategory=MILK"]
    code, out, err = run(monkeypatch, capsys, "items", "add", "--id", "new", *told, "--releases", str(releases))
    assert (code, err) == (0, "")
    assert out.startswith("Added 1: new\n")
    finders = [place for place, slate in enumerate(loaded(releases).recommend(EVERYBODY)) if "new" in named(slate)]
    assert len(finders) > 5
    someone = EVERYBODY[finders[0]].user or ""
    code, out, _ = run(monkeypatch, capsys, "recommend", someone, "--n", "90", "--releases", str(releases), "--json")
    assert code == 0
    assert {item["item_id"]: item["title"] for item in json.loads(out)["items"]}["new"] == "Oat milk 1 kg"

    code, out, _ = run(monkeypatch, capsys, "items", "list", "--releases", str(releases), "--json")
    (row,) = json.loads(out)
    assert (row["item_id"], row["description"], row["subcategory"], row["state"]) == ("new", "from oats", "MILK", live.LIVE)
    assert run(monkeypatch, capsys, "items", "list", "--releases", str(releases))[0] == 0

    assert run(monkeypatch, capsys, "items", "remove", "new", "--releases", str(releases))[0] == 0
    assert len(loaded(releases).data.items) == 80
    assert "Nothing was added" in run(monkeypatch, capsys, "items", "list", "--releases", str(releases))[1]
    code, _, err = run(monkeypatch, capsys, "items", "remove", "new", "--releases", str(releases))
    assert code == 1
    assert err.startswith("UnknownItem: item 'new' was not added")


def test_an_added_item_is_placed_by_the_releases_own_fusion_of_words_picture_and_attributes(
    releases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text(
        "item_id,title,image,subcategory,department\nn0,Tea,tea.jpg,MILK,PETS\nn1,,tea.jpg,,\nn2,Rye,,BREAD,\n"
    )
    (tmp_path / "tea.jpg").write_text("a cup")
    code, out, _ = run(monkeypatch, capsys, "items", "add", "--file", str(tmp_path / "new.csv"), "--releases", str(releases))
    assert code == 0
    assert "has department PETS: it counts as unknown until the next training" in out
    recommender = loaded(releases)
    codes = recommender.data.catalogue.codes
    names = recommender.data.catalogue.names["subcategory"]
    assert codes["subcategory"][80:].tolist() == [names.index("MILK"), -1, names.index("BREAD")]
    assert codes["department"][80:].tolist() == [-1, -1, -1]
    content = Content(
        np.stack([vector_of("Tea", 4), np.zeros(4, np.float32), vector_of("Rye", 4)]),
        np.stack([vector_of("a cup", 6), vector_of("a cup", 6), np.zeros(6, np.float32)]),
        {name: codes[name][80:] for name in sorted(codes)},
    )
    placed = Fusion.load(store.open_release(releases).path / "fusion").place(content)
    assert np.array_equal(recommender.snapshot.content[80:], placed.vectors)
    assert len(np.unique(placed.vectors, axis=0)) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--id", "i003", "--title", "Tea"], "item 'i003' is in the catalogue already"),
        (["--id", "there", "--title", "Tea"], "item 'there' is in the catalogue already"),
        (["--id", "", "--title", "Tea"], "row 0 has no id"),
        (["--id", "n"], "'n' has neither a title nor a description nor an image"),
        (["--id", "n", "--title", " ", "--set", "brand=Hill"], "'n' has neither a title nor a description nor an image"),
        (
            ["--id", "n", "--title", "Tea", "--set", "departmant=DAIRY"],
            "'departmant' is no attribute of this release. Did you mean 'department'",
        ),
        (["--id", "n", "--title", "Tea", "--set", "department"], "--set 'department' is no NAME=VALUE"),
        (["--id", "n", "--title", "Tea", "--set", "title=Coffee"], "--set 'title=Coffee' is given twice"),
        (["--id", "n", "--image", "broken.jpg"], "broken.jpg, is not a picture"),
        (["--title", "Tea"], "give one item with --id, or many with --file"),
        (["--file", "no.csv"], "no.csv: no such file"),
        (["--file", "empty.csv"], "no row after the header"),
        (["--file", "new.csv", "--title", "Tea"], "give one item with --id, or many with --file"),
    ],
)
def test_what_cannot_be_added_says_why_and_nothing_is_kept(
    releases: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.jpg").write_bytes(b"broken")
    Path("empty.csv").write_text("item_id,title\n")
    run(monkeypatch, capsys, "items", "add", "--id", "there", "--title", "Tea", "--releases", str(releases))
    code, out, err = run(monkeypatch, capsys, "items", "add", *arguments, "--releases", str(releases))
    assert (code, out) == (1, "")
    assert said in err
    assert "Traceback" not in err
    assert added.read(releases)["item_id"].to_list() == ["there"]


def test_before_the_first_release_nothing_can_be_added(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = run(monkeypatch, capsys, "items", "add", "--id", "n", "--title", "Tea", "--releases", str(tmp_path))
    assert code == 1
    assert err.startswith("ReleaseNotFound: ")


@pytest.mark.parametrize("embeddings", [{}, {"embeddings": {"text": {"of_tomorrow": 1}}}])
def test_a_release_that_tells_of_its_models_in_another_way_is_named_as_of_another_version(
    releases: Path, embeddings: dict[str, Any]
) -> None:
    release = store.open_release(releases)
    other = replace(release, manifest=release.manifest.model_copy(update={"config": embeddings}))
    with pytest.raises(ArtifactError, match="was written by another version of CORTEX-Rec than this one"):
        live.embeddings_of(other)


@pytest.mark.parametrize(
    ("change", "state"),
    [({"item_id": "i003"}, live.RELEASED), ({added.TEXT_MODEL: "another"}, live.OUTDATED), ({added.IMAGE_MODEL: "another"}, live.LIVE)],
    ids=["in the next release", "words by another model", "no picture by another model"],
)
def test_an_item_of_the_release_or_of_another_models_space_is_left_out_and_listed_as_that(
    releases: Path,
    change: dict[str, Any],
    state: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(monkeypatch, capsys, "items", "add", "--id", "n", "--title", "Tea", "--releases", str(releases))
    items = added.read(releases).with_columns(pl.lit(value).alias(name) for name, value in change.items())
    added.remove(releases, "n")
    added.add(releases, items)
    (row,) = json.loads(run(monkeypatch, capsys, "items", "list", "--releases", str(releases), "--json")[1])
    assert row["state"] == state
    assert len(loaded(releases).data.items) == 80 + (state == live.LIVE)
    assert ("Added items ['n'] are left out" in caplog.text) == (state == live.OUTDATED)


def test_an_attribute_that_the_next_release_no_longer_has_is_left_out(
    releases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, capsys, "items", "add", "--id", "n", "--title", "Tea", "--releases", str(releases))
    items = added.read(releases).with_columns(pl.lit("red").alias("colour"))
    added.remove(releases, "n")
    added.add(releases, items)
    assert loaded(releases).data.items.external([80]) == ["n"]


def test_without_added_items_the_recommender_is_that_of_the_release(releases: Path) -> None:
    release = store.open_release(releases)
    assert live.load(release).recommend(EVERYBODY) == Recommender.load(release.path).recommend(EVERYBODY)


def test_the_packaged_encoders_give_unit_vectors_and_nothing_for_what_an_item_lacks(tmp_path: Path) -> None:
    Image.new("RGB", (60, 80), "red").save(tmp_path / "red.png")
    items = pl.DataFrame({"item_id": ["words", "picture"], "title": ["A red dress", None], "image": [None, str(tmp_path / "red.png")]})
    kept = new_items.embed(items, Embeddings())
    assert [len(vector) for vector in kept[added.TEXT]] == [384, 0]
    assert [len(vector) for vector in kept[added.IMAGE]] == [0, 1280]
    assert np.linalg.norm(kept[added.TEXT][0]) == pytest.approx(1, abs=1e-6)
    assert np.linalg.norm(kept[added.IMAGE][1]) == pytest.approx(1, abs=1e-6)
    assert kept.select("item_id", added.TEXT_MODEL, added.IMAGE_MODEL).row(0) == ("words", "minilm", "efficientnet-lite0")


def loaded(releases: Path) -> Recommender:
    return live.load(store.open_release(releases))


def test_the_service_answers_with_what_was_added_before_it_started(
    releases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(monkeypatch, capsys, "items", "add", "--id", "new", "--title", "Oat milk", "--releases", str(releases))
    slates = loaded(releases).recommend(EVERYBODY)
    user, slate = next((request.user, slate) for request, slate in zip(EVERYBODY, slates, strict=True) if "new" in named(slate))
    with serving(releases, tmp_path) as served:
        answer = served.client.post("/recommend", json={"user_id": user, "n": 90}).json()
        assert [item["item_id"] for item in answer["items"]] == named(slate)


def named(slate: Slate) -> list[str]:
    return [item.item for item in slate.items]
