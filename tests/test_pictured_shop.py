"""A shop with words, pictures and attributes of its own: from its files to a release to which a product is added while it serves."""

import base64
import json
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
import yaml
from command_line import TINY, cortex_rec
from PIL import Image
from serving import serving

from cortex_rec.embeddings.content import Content
from cortex_rec.embeddings.placed import Placed
from cortex_rec.releases import store
from cortex_rec.testing.shop import SHELVES, small_shop

#: One colour a kind of thing: apples are red, salad is green …
COLOURS = {thing: tuple(int(part) for part in np.random.default_rng(place).integers(0, 256, 3)) for place, thing in enumerate(
    thing for names in SHELVES.values() for thing in names
)}  # fmt: skip


def picture(kind: str, path: Path) -> None:
    Image.new("RGB", (24, 32), COLOURS[kind]).save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run whose third product has a damaged picture and whose fourth has none, and what it said on stderr."""
    folder: Path = tmp_path_factory.mktemp("pictured")
    shop = small_shop()
    shop.interactions.select("user_id", "item_id", "timestamp").unique(maintain_order=True).write_csv(folder / "orders.csv")
    (folder / "images").mkdir()
    items = shop.items.with_columns(
        image="images/" + pl.col("item_id") + ".png",
        colour=pl.col("subcategory").str.slice(0, 2),
        description="kind: " + pl.col("subcategory"),
    )
    for item, kind in items.select("item_id", "subcategory").rows():
        picture(kind, folder / "images" / f"{item}.png")
    (folder / "images" / "i002.png").write_bytes(b"\x89PNG and no more")
    (folder / "images" / "i003.png").unlink()
    items.select("item_id", "title", "description", "subcategory", "image", "colour").write_csv(folder / "items.csv")
    config = {
        "name": "pictured",
        "source": {"kind": "files", "interactions": {"path": "orders.csv"}, "items": {"path": "items.csv"}, "attributes": ["colour"]},
        "exploration": {"share": 0.2},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(config | TINY))
    done = cortex_rec("train", "shop.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


def test_a_picture_that_cannot_be_read_is_named_and_counts_as_absent(trained: tuple[Path, str]) -> None:
    folder, said = trained
    assert "2 pictures are missing or unreadable and left out" in said
    (stage,) = (folder / ".cortex" / "stages" / "embed").glob("*/stage.json")
    problems = pl.read_parquet(stage.parent / "pictures.parquet")
    assert [Path(path).name for path in problems["path"]] == ["i002.png", "i003.png"]
    content = Content.load(stage.parent / "content.safetensors")
    absent = np.flatnonzero(~content.image.any(axis=1))
    assert absent.tolist() == [2, 3]
    assert content.text.any(axis=1).all()
    assert set(content.attributes) == {"department", "category", "subcategory", "brand", "colour"}


@pytest.mark.slow
def test_nothing_runs_again_until_a_picture_changes(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    again = cortex_rec("evaluate", "shop.yaml", folder=folder)
    assert "✓" not in again.stderr
    picture("CHEESE", folder / "images" / "i003.png")
    changed = cortex_rec("evaluate", "shop.yaml", folder=folder)
    assert changed.returncode == 0, changed.stderr
    ran = [line.split()[1] for line in changed.stderr.splitlines() if line.startswith("✓")]
    assert ran[:2] == ["embed", "fusion"]
    assert "1 picture is missing or unreadable" in changed.stderr


def test_a_release_holds_the_network_and_no_path_of_this_machine(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    release = store.verify(folder / "releases")
    assert (release.path / "fusion" / "fusion.safetensors").is_file()
    assert pl.read_parquet(release.path / "encoded" / "catalogue.parquet")["image"].to_list() == [""] * 80
    named = [path for path in release.path.rglob("*") if path.is_file() and str(folder).encode() in path.read_bytes()]
    assert named == []
    page = (release.path / "report" / "catalogue.html").read_text()
    assert "data:image/jpeg;base64," in page
    placed = Placed.load(release.path / "snapshot" / "retrieval" / "arrivals" / "content.safetensors")
    assert placed.vectors.shape == (80, 8)
    assert np.unique(placed.appeal).size > 1


def test_a_product_added_to_the_release_is_recommended_at_once(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    picture("MILK", folder / "new.png")
    given = ["--id", "z9", "--title", "Lake milk 9 kg", "--image", "new.png", "--set", "subcategory=MILK", "--set", "colour=MI"]
    added = cortex_rec("items", "add", *given, folder=folder)
    assert added.returncode == 0, added.stderr
    told = [json.loads(cortex_rec("recommend", user, "--n", "20", "--json", folder=folder).stdout) for user in ("h000", "h001", "h002")]
    # A fifth of twenty places, and three products that nobody has bought.
    assert all("z9" in {item["item_id"] for item in each["items"]} for each in told)


def test_a_product_put_over_http_is_recommended_within_two_seconds_and_the_answering_process_stays_small(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = trained
    picture("MILK", folder / "put.png")
    body = {
        "title": "Lake milk 8 kg",
        "image": base64.b64encode((folder / "put.png").read_bytes()).decode(),
        "attributes": {"subcategory": "MILK", "colour": "MI"},
    }
    with serving(folder / "releases", tmp_path) as served:
        first = served.client.put("/api/items/z7", json=body)
        if first.status_code == 503:
            assert (first.json()["error"], first.headers["retry-after"]) == ("encoders_loading", "5")
        for _ in range(20):
            if served.client.put("/api/items/z7", json=body).status_code == 200:
                break
        begun = time.perf_counter()
        assert served.client.put("/api/items/z8", json=body).json()["item_id"] == "z8"
        told = served.client.post("/recommend", json={"user_id": "h000", "n": 20}).json()["items"]
        assert time.perf_counter() - begun < 2
        assert {"z7", "z8"} & {item["item_id"] for item in told}
        assert served.client.get("/api/items/z8").json()["groups"] == {"subcategory": "MILK", "colour": "MI"}
        broken = served.client.put("/api/items/z6", json={"title": "x", "image": base64.b64encode(b"no picture").decode()})
        assert (broken.status_code, broken.json()["error"]) == (422, "invalid_item")
        assert "the image of 'z6'" in broken.json()["detail"]

        answering, encoding = served.worker(), []
        for child in psutil.Process(answering).children():
            if "libtorch" in (Path("/proc") / str(child.pid) / "maps").read_text():
                encoding.append(child)
        assert "libtorch" not in (Path("/proc") / str(answering) / "maps").read_text()
        (encoder,) = encoding
        encoder.kill()
        encoder.wait(60)
        statuses = [served.client.put("/api/items/z9", json=body).status_code for _ in range(2)]
        assert statuses[0] == 503
    assert "z8" in {item["item_id"] for item in json.loads(cortex_rec("items", "list", "--json", folder=folder).stdout)}
