"""Pictures to vectors: whatever file comes, nothing is fatal, and the same picture has the same bits."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cortex_rec.config import ImageEmbedding
from cortex_rec.embeddings import images
from cortex_rec.embeddings.networks import load
from cortex_rec.embeddings.pictures import UnreadablePicture, decode, pillow_is_quiet
from cortex_rec.embeddings.pretrained import import_torchvision
from cortex_rec.errors import ConfigError

CONFIG = ImageEmbedding()
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def halves(left: Any = RED, right: Any = BLUE, mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Two colours side by side."""
    picture = Image.new(mode, size, right)
    picture.paste(left, (0, 0, size[0] // 2, size[1]))
    return picture


def as_file(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def colours(content: bytes) -> tuple[Any, Any]:
    """What is seen in the middle of the left half and of the right half."""
    seen = decode(content, at_least=8)
    assert seen.mode == "RGB"
    y = seen.height // 2
    return seen.getpixel((seen.width // 4, y)), seen.getpixel((3 * seen.width // 4, y))


def near(found: tuple[Any, Any], expected: tuple[Any, Any]) -> bool:
    return bool(np.abs(np.array(found) - np.array(expected)).max() <= 3)


def small_header_of_a_large_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


class TestDecoding:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
    def test_usual_formats_show_their_colours(self, kind: str) -> None:
        options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
        assert near(colours(as_file(halves(), kind, **options)), (RED, BLUE))

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk_shows_its_colours(self, kind: str) -> None:
        picture = halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK")
        assert near(colours(as_file(picture, kind)), (RED, BLUE))

    def test_a_palette_shows_its_colours(self) -> None:
        assert colours(as_file(halves().quantize(4), "PNG")) == (RED, BLUE)

    @pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
    def test_a_palettes_transparent_colour_is_white(self, transparency: Any) -> None:
        picture = Image.new("P", (64, 48), 1)
        picture.putpalette([*RED, *BLUE])
        picture.paste(0, (0, 0, 32, 48))
        assert colours(as_file(picture, "PNG", transparency=transparency)) == (WHITE, BLUE)

    def test_what_is_transparent_is_white_whatever_colour_hides_there(self) -> None:
        assert colours(as_file(halves((255, 0, 0, 0), (0, 0, 255, 255), "RGBA"), "PNG")) == (WHITE, BLUE)
        assert colours(as_file(halves((0, 0), (0, 255), "LA"), "PNG")) == (WHITE, (0, 0, 0))

    def test_half_transparent_is_half_white(self) -> None:
        assert near(colours(as_file(halves((255, 0, 0, 128), BLUE, "RGBA"), "PNG")), ((255, 127, 127), BLUE))

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_sixteen_bits_of_grey_are_scaled_not_cut(self, kind: str) -> None:
        grey = np.full((48, 64), 65535, np.uint16)
        grey[:, :32] = 32768
        assert colours(as_file(Image.fromarray(grey), kind)) == ((128,) * 3, WHITE)

    def test_bilevel_and_grey_are_seen(self) -> None:
        assert colours(as_file(halves(0, 1, "1"), "PNG")) == ((0,) * 3, WHITE)
        assert colours(as_file(halves(7, 200, "L"), "PNG")) == ((7,) * 3, (200,) * 3)

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_the_first_frame_of_an_animation_counts(self, kind: str) -> None:
        options = {"lossless": True} if kind == "WEBP" else {}
        content = as_file(halves(), kind, save_all=True, append_images=[halves(GREEN, GREEN)] * 3, **options)
        assert near(colours(content), (RED, BLUE))

    def test_a_picture_taken_sideways_stands_upright(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera lay on its side: turn by 90 degrees clockwise
        lying = as_file(halves().rotate(90, expand=True), "PNG", exif=exif)
        assert Image.open(io.BytesIO(lying)).size == (48, 64)
        assert colours(lying) == (RED, BLUE)

    def test_a_large_jpeg_is_not_decoded_whole(self) -> None:
        content = as_file(halves(size=(4000, 3000)), "JPEG")
        assert decode(content, at_least=448).size == (1000, 750)
        assert near(colours(content), (RED, BLUE))

    @pytest.mark.parametrize(("width", "height", "pixels"), [(10_000, 10_000, "10,000 x 10,000"), (30_000, 30_000, "more than 64,000,000")])
    def test_a_decompression_bomb_is_refused_before_it_is_decoded(self, width: int, height: int, pixels: str) -> None:
        with pillow_is_quiet(), pytest.raises(UnreadablePicture, match=pixels):
            decode(small_header_of_a_large_png(width, height), at_least=8)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
    def test_a_file_cut_short_is_damaged(self, kind: str) -> None:
        noise = Image.fromarray(np.random.default_rng(7).integers(0, 256, (64, 64, 3), np.uint8))
        content = as_file(noise, kind)
        with pillow_is_quiet(), pytest.raises(UnreadablePicture, match=r"is damaged|is not a picture"):
            decode(content[: len(content) // 2], at_least=8)

    @pytest.mark.parametrize("content", [b"<html>not found</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xff\xd8"])
    def test_what_is_no_picture_is_told_so(self, content: bytes) -> None:
        with pytest.raises(UnreadablePicture, match="is not a picture of a format that is read"):
            decode(content, at_least=8)

    def test_pixels_whose_white_is_unknown_are_refused(self) -> None:
        with pytest.raises(UnreadablePicture, match=r"mode F.*save it with 8 or 16"):
            decode(as_file(Image.new("F", (8, 8), 0.5), "TIFF"), at_least=8)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
    def test_no_damage_is_worse_than_a_picture_less(self, kind: str, damage: list[tuple[float, int]]) -> None:
        content = bytearray(as_file(halves(size=(16, 12)), kind))
        for place, value in damage:
            content[int(place * len(content))] = value
        with pillow_is_quiet():
            try:
                found = decode(bytes(content), at_least=8)
            except UnreadablePicture:
                return
        assert found.mode == "RGB"


@pytest.fixture
def shop(tmp_path: Path) -> list[str]:
    """Pictures of items, most of them with something wrong."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    good = as_file(halves(), "JPEG")
    files = {
        "good.jpg": good,
        "copy.jpg": good,
        "short.jpg": good[: len(good) // 2],
        "page.jpg": b"<html>",
        "empty.jpg": b"",
        "bomb.png": small_header_of_a_large_png(10_000, 10_000),
        "one.png": as_file(Image.new("RGB", (1, 1), RED), "PNG"),
        "thin.png": as_file(Image.new("RGB", (1, 5_000), RED), "PNG"),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    return [*(str(folder / name) for name in [*files, "folder.jpg", "pipe.jpg", "missing.jpg", "nul\0.jpg"]), ""]


def test_what_is_wrong_with_a_picture_is_listed_and_the_others_have_vectors(shop: list[str], tmp_path: Path) -> None:
    found = images.embed(shop, CONFIG, cache=tmp_path, threads=2)
    told = {Path(path).name: (row, problem) for row, path, problem in found.problems.rows()}
    assert told.keys() == {
        "short.jpg", "page.jpg", "empty.jpg", "bomb.png", "folder.jpg", "pipe.jpg", "missing.jpg", "nul\0.jpg"
    }  # fmt: skip
    assert told["short.jpg"][0] == 2
    assert told["short.jpg"][1].startswith("is damaged (")
    assert told["page.jpg"][1].startswith("is not a picture of a format that is read (JPEG")
    assert told["empty.jpg"][1] == "is empty"
    assert told["bomb.png"][1] == "has 10,000 x 10,000 pixels, more than 64,000,000"
    assert told["folder.jpg"][1] == "is a folder"
    assert told["pipe.jpg"][1] == "is not a plain file"
    assert told["missing.jpg"][1] == "is missing"
    assert told["nul\0.jpg"][1].startswith("cannot be read (")
    lengths = np.linalg.norm(found.vectors, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], atol=1e-6)
    assert found.vectors.shape == (13, 1280)
    assert found.vectors.dtype == np.float32
    assert np.array_equal(found.vectors[0], found.vectors[1])


def test_a_second_run_embeds_nothing_and_finds_the_same(shop: list[str], tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    good = [shop[0], shop[6], ""]
    first = images.embed(good, CONFIG, cache=tmp_path, progress=lambda *at: done.append(at))
    assert done == [(2, 2)]
    again = images.embed(good, CONFIG, cache=tmp_path, progress=lambda *at: done.append(at))
    assert done == [(2, 2)]
    assert again.vectors.tobytes() == first.vectors.tobytes()
    assert again.problems.equals(first.problems)


def test_a_picture_that_changed_is_embedded_again_and_no_other(shop: list[str], tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    before = images.embed([shop[0], shop[6]], CONFIG, cache=tmp_path).vectors
    Path(shop[6]).write_bytes(as_file(Image.new("RGB", (1, 1), GREEN), "PNG"))
    after = images.embed([shop[0], shop[6]], CONFIG, cache=tmp_path, progress=lambda *at: done.append(at)).vectors
    assert done == [(1, 1)]
    assert np.array_equal(after[0], before[0])
    assert not np.allclose(after[1], before[1])


def test_a_picture_has_the_same_bits_alone_and_among_others_and_on_more_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    paths = []
    for n in range(9):
        paths.append(str(tmp_path / f"{n}.png"))
        Image.fromarray(rng.integers(0, 256, (40 + 9 * n, 60, 3), np.uint8)).save(paths[-1])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    together = images.embed(paths, CONFIG, cache=tmp_path / "together", threads=4).vectors
    torch.set_num_threads(1)
    in_turn = images.embed(paths[::-1], CONFIG, cache=tmp_path / "turn", threads=1).vectors[::-1]
    assert in_turn.tobytes() == together.tobytes()
    for row in (0, 4, 8):
        assert images.embed([paths[row]], CONFIG, cache=tmp_path / f"{row}").vectors[0].tobytes() == together[row].tobytes()
    torch.set_num_threads(before)


def test_no_picture_at_all_has_the_networks_width(tmp_path: Path) -> None:
    found = images.embed(["", ""], CONFIG, cache=tmp_path)
    assert np.array_equal(found.vectors, np.zeros((2, 1280)))
    assert found.problems.is_empty()


def test_pictures_of_one_kind_are_nearer_than_of_another(tmp_path: Path) -> None:
    stripes, dots = np.zeros((2, 2, 96, 96), np.uint8)
    stripes[0, :, ::12], stripes[1, :, ::14] = 255, 255
    stripes[:, :, 1::12] = 255
    dots[0, ::12, ::12], dots[1, ::10, ::10] = 255, 255
    paths = [str(tmp_path / f"{n}.png") for n in range(4)]
    for path, pixels in zip(paths, [*stripes, *dots], strict=True):
        Image.fromarray(pixels).save(path)
    vectors = images.embed(paths, CONFIG, cache=tmp_path).vectors
    like = vectors @ vectors.T
    assert like[0, 1] > like[0, 2:].max()
    assert like[2, 3] > like[2, :2].max()


@pytest.fixture
def resnet(tmp_path: Path) -> dict[str, torch.Tensor]:
    """Weights of a small network, never trained."""
    import_torchvision()
    from torchvision import models

    torch.manual_seed(7)
    state: dict[str, torch.Tensor] = models.get_model("resnet18", weights=None, num_classes=3).state_dict()
    return state


def test_a_torchvision_network_takes_its_weights_from_a_file(shop: list[str], resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.save(resnet, tmp_path / "shop.pth")
    save_file(resnet, tmp_path / "shop.safetensors")
    pth = ImageEmbedding(model="resnet18", weights=str(tmp_path / "shop.pth"))
    found = images.embed(shop[:1], pth, cache=tmp_path).vectors
    assert found.shape == (1, 512)
    tensors = ImageEmbedding(model="resnet18", weights=str(tmp_path / "shop.safetensors"))
    assert np.array_equal(images.embed(shop[:1], tensors, cache=tmp_path).vectors, found)
    assert images.embed(shop[:1], CONFIG, cache=tmp_path).vectors.shape == (1, 1280)


def test_other_weights_are_another_network(shop: list[str], resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    config = ImageEmbedding(model="resnet18", weights=str(tmp_path / "shop.pth"))
    torch.save(resnet, tmp_path / "shop.pth")
    before = images.embed(shop[:1], config, cache=tmp_path).vectors
    resnet["conv1.weight"] += 1
    torch.save(resnet, tmp_path / "shop.pth")
    assert not np.allclose(images.embed(shop[:1], config, cache=tmp_path).vectors, before)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model": "resnet8"}, r"embeddings\.image\.model: 'resnet8' is neither `efficientnet-lite0` nor a network of torchvision"),
        ({"model": "resnet18"}, r"embeddings\.image\.weights: resnet18 needs the path .* such as torchvision's resnet18-\w+\.pth"),
        ({"model": "resnet18", "weights": "nowhere.pth"}, r"embeddings\.image\.weights: there is no file nowhere\.pth"),
    ],
)
def test_a_network_that_is_not_there_says_what_to_give(config: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        images.embed([], ImageEmbedding(**config), cache=tmp_path)


def test_weights_of_another_network_are_refused(resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(resnet, tmp_path / "shop.pth")
    for model, said in [("resnet34", "holds the weights of another network: "), ("wide_resnet50_2", "another network|other shapes")]:
        with pytest.raises(ConfigError, match=said):
            load(ImageEmbedding(model=model, weights=str(tmp_path / "shop.pth")))


@pytest.mark.parametrize("name", ["shop.pth", "shop.safetensors"])
def test_a_checkpoint_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match=f"{name} is not a readable checkpoint"):
        load(ImageEmbedding(model="resnet18", weights=str(tmp_path / name)))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1), "hook": print}, tmp_path / "shop.pth")
    with pytest.raises(ConfigError, match=r"shop\.pth is not a readable checkpoint"):
        load(ImageEmbedding(model="resnet18", weights=str(tmp_path / "shop.pth")))
