"""The page of the catalogue: which items it shows, who is near them, and a map that puts like beside like."""

import base64
import io
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cortex_rec import columns
from cortex_rec.arrays import F32
from cortex_rec.catalogue import Catalogue
from cortex_rec.embeddings.content import Content
from cortex_rec.evaluation import catalogue_map, catalogue_page, report
from cortex_rec.evaluation.catalogue_page import choose, nearest, render
from cortex_rec.evaluation.thumbnails import SIDE, thumbnail


def unit(*rows: list[float]) -> F32:
    vectors = np.array(rows, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def shop(n: int = 20, images: list[str] | None = None) -> tuple[Catalogue, list[str], Content, F32]:
    """Items with even rows are toys, the others food; each kind has its own direction in every space."""
    departments = ["TOYS <3" if row % 2 == 0 else "FOOD & CO" for row in range(n)]
    items = pl.DataFrame(
        {columns.TITLE: [f"thing {row} & <b>" for row in range(n)], columns.DEPARTMENT: departments, columns.IMAGE: images or [""] * n}
    )
    catalogue, ids = Catalogue.of(items), [f"i{row:02}" for row in range(n)]
    rng = np.random.default_rng(0)
    sides = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)[:, None]
    spaces = [unit(*(np.hstack([sides, 0.2 * rng.standard_normal((n, 3))]).tolist())) for _ in range(3)]
    pictured = np.array([bool(path) for path in catalogue.images])
    image = np.where(pictured[:, None], spaces[1], 0).astype(np.float32) if images else np.zeros((n, 0), np.float32)
    return catalogue, ids, Content.of(spaces[0], image, catalogue), spaces[2]


def pictures(folder: Path, n: int, size: tuple[int, int] = (40, 60)) -> list[str]:
    paths = []
    for row in range(n):
        noise = np.random.default_rng(row).integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{row}.png")
        paths.append(str(folder / f"{row}.png"))
    return paths


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_neighbours_are_those_with_the_largest_cosine_and_never_the_item_itself() -> None:
    space = unit([1, 0], [0, 1], [3, 4], [4, 3], [-1, 0])
    rows, cosine = nearest(space, 0, list("abcde"), n=3)
    assert rows.tolist() == [3, 2, 1]
    assert cosine == pytest.approx([0.8, 0.6, 0], abs=1e-5)


def test_equal_neighbours_come_by_row_and_those_without_a_vector_not_at_all() -> None:
    space = unit([1, 0], [0, 0], [1, 1], [2, 2], [1, 1])
    rows, _ = nearest(space, 0, list("abcde"), n=9)
    assert rows.tolist() == [2, 3, 4]
    assert [len(part) for part in nearest(space, 1, list("abcde"))] == [0, 0]


def test_of_items_with_one_title_only_the_nearest_is_a_neighbour() -> None:
    space = unit([1, 0], [9, 1], [8, 1], [7, 1], [6, 1])
    rows, _ = nearest(space, 0, ["shirt", "shirt", "hat", "hat", "scarf"])
    assert rows.tolist() == [2, 4]


def test_items_to_show_are_taken_in_turn_from_the_groups_the_largest_first() -> None:
    groups = np.array([2, 2, 2, 2, 0, 0, -1], np.int32)
    every = np.ones(7, bool)
    rows = choose(groups, every, seed=1, n=6)
    assert groups[rows].tolist() == [2, 0, -1, 2, 0, 2]
    assert len(set(rows.tolist())) == 6
    assert choose(groups, every, seed=1, n=6).tolist() == rows.tolist()
    assert {tuple(choose(groups, every, seed=seed, n=3)) for seed in range(20)} != {tuple(rows[:3])}
    assert choose(groups, groups == 0, seed=1).tolist() in ([4, 5], [5, 4])
    assert choose(groups, groups == 9, seed=1).tolist() == []


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=30), st.integers(1, 12))
def test_no_group_is_shown_twice_more_often_than_another_that_has_more(groups: list[int], n: int) -> None:
    rows = choose(np.array(groups, np.int32), np.ones(len(groups), bool), seed=0, n=n)
    assert len(rows) == min(n, len(groups))
    shown, listed = Counter(groups[row] for row in rows), Counter(groups)
    most = max(shown.values())
    assert all(shown[group] >= min(listed[group], most - 1) for group in listed)


def test_like_items_are_beside_each_other_on_the_map() -> None:
    _, _, _, vectors = shop(40)
    rows, where = catalogue_map.places(vectors, seed=3)
    assert rows.tolist() == list(range(40))
    apart = np.linalg.norm(where[:, None] - where[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (apart.argmin(axis=1) % 2 == np.arange(40) % 2).all()


def test_the_map_is_the_same_twice_and_leaves_out_items_without_a_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, vectors = shop(30)
    vectors[4] = 0
    rows, where = catalogue_map.places(vectors, seed=3)
    assert 4 not in rows
    assert catalogue_map.places(vectors, seed=3)[1].tobytes() == where.tobytes()
    monkeypatch.setattr(catalogue_map, "MOST", 12)
    sampled, _ = catalogue_map.places(vectors, seed=3)
    assert len(sampled) == 12
    assert sampled.tolist() == sorted(set(sampled.tolist()) - {4})
    assert sampled.tolist() != catalogue_map.places(vectors, seed=4)[0].tolist()


def test_items_that_are_all_the_same_or_too_few_break_no_map() -> None:
    same = np.tile(unit([1, 2, 2]), (12, 1))
    rows, where = catalogue_map.places(same, seed=1)
    assert len(rows) == 12
    assert np.isfinite(where).all()
    assert len(catalogue_map.places(same[:9], seed=1)[0]) == 0


def test_the_largest_groups_have_a_colour_of_their_own_and_the_legend_counts_them() -> None:
    groups = np.array([*np.repeat(np.arange(10), np.arange(10, 0, -1)), -1], np.int32)
    where = np.stack([np.arange(len(groups)), np.arange(len(groups)) % 3], axis=1).astype(np.float32)
    drawn = catalogue_map.draw(where, groups, [f"<{code}>" for code in range(10)], [f"title {i} &" for i in range(len(groups))])
    assert "&lt;0&gt; (10)" in drawn
    assert "&lt;7&gt; (3)" in drawn
    # The two smallest, of 2 and 1, and the item of which no group is known.
    assert "&lt;8&gt;" not in drawn
    assert "all others (4)" in drawn
    assert drawn.count("<circle") == len(groups)
    assert "<title>title 55 &amp;</title>" in drawn
    places = [(int(x), int(y)) for x, y in re.findall(r'cx="(\d+)" cy="(\d+)"', drawn)]
    assert min(x for x, _ in places) == 10
    assert max(x for x, _ in places) == 990
    assert max(y for _, y in places) == round(10 + 2 / 55 * 980)


def test_a_map_that_is_taller_than_wide_is_laid_on_its_side() -> None:
    where = np.array([[0, 0], [1, 10]], np.float32)
    drawn = catalogue_map.draw(where, np.zeros(2, np.int32), ["all"], ["a", "b"])
    assert re.findall(r'cx="(\d+)" cy="(\d+)"', drawn) == [("10", "10"), ("990", "108")]


def test_the_page_shows_an_item_s_neighbours_by_words_picture_and_fusion(tmp_path: Path) -> None:
    catalogue, ids, content, vectors = shop(20, pictures(tmp_path, 20))
    page = render(catalogue, ids, content, vectors, seed=5)
    assert page == render(catalogue, ids, content, vectors, seed=5)
    sections = page.split("<section>")[2:]
    assert len(sections) == catalogue_page.ITEMS
    for told in sections:
        row = int(re.search(r"item i(\d\d)", told)[1])  # type: ignore[index]
        kinds = re.findall(r"<h3>(\w+)</h3>(.*?)</ol>", told, flags=re.DOTALL)
        assert [name for name, _ in kinds] == ["words", "picture", "fusion"]
        for (_, tiles), space in zip(kinds, (content.text, content.image, vectors), strict=True):
            rows, cosine = nearest(space, row, catalogue.titles)
            assert re.findall(r"<b>thing (\d+) &amp; &lt;b&gt;</b>", tiles) == [str(other) for other in rows]
            assert re.findall(r"<span>(-?\d\.\d\d)</span>", tiles) == [f"{value:.2f}" for value in cosine]
    assert "TOYS &lt;3" in page
    assert "FOOD &amp; CO" in page


def test_the_page_needs_nothing_from_outside_and_follows_the_theme(tmp_path: Path) -> None:
    page = render(*shop(20, pictures(tmp_path, 20)), seed=5)
    tags = Tags(page).found
    links = [value or "" for _, attributes in tags for name, value in attributes.items() if name in ("src", "href", "xlink:href")]
    assert links
    assert all(link.startswith("data:image/jpeg;base64,") for link in links)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", page)) <= set(re.findall(r"(--[a-z0-9-]+):", page))


def test_a_page_of_pictures_that_do_not_compress_is_below_two_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, ids, content, vectors = shop(200, pictures(tmp_path, 200, (150, 150)))
    monkeypatch.setattr(catalogue_map, "places", lambda *_, **__: (np.arange(2_000) % 200, np.ones((2_000, 2), np.float32)))
    page = render(catalogue, ids, content, vectors, seed=5)
    assert page.count("<img") == catalogue_page.ITEMS * (1 + 3 * catalogue_page.NEAREST)
    assert len(page.encode()) < 2_000_000


def test_a_shop_without_pictures_has_titles_alone() -> None:
    page = render(*shop(20), seed=5)
    assert "<img" not in page
    assert "no picture" not in page
    assert re.findall(r"<h3>(\w+)</h3>", page)[:2] == ["words", "fusion"]
    assert "none with a picture" in page


def test_an_item_without_a_picture_and_a_picture_that_is_gone_leave_a_place(tmp_path: Path) -> None:
    paths = pictures(tmp_path, 20)
    paths[3] = ""
    gone = paths[4]
    catalogue, ids, content, vectors = shop(20, paths)
    Path(gone).unlink()
    page = render(catalogue, ids, content, vectors, seed=5)
    assert page.count("no picture") >= 1
    assert page.count("<img") > 50


def test_items_with_words_and_a_picture_are_shown_before_others(tmp_path: Path) -> None:
    paths = pictures(tmp_path, 20)
    paths[10:] = [""] * 10
    catalogue, ids, content, vectors = shop(20, paths)
    content.text[0] = 0
    page = render(catalogue, ids, content, vectors, seed=5)
    assert sorted(re.findall(r"item (i\d\d)", page)) == [f"i{row:02}" for row in range(1, 10)]


def test_a_few_items_without_any_vector_make_a_page_too() -> None:
    catalogue, ids, _, _ = shop(3)
    nothing = np.zeros((3, 0), np.float32)
    page = render(catalogue, ids, Content.of(nothing, nothing, catalogue), np.zeros((3, 2), np.float32), seed=5)
    assert "thing 2" in page
    assert "<svg" not in page


def test_a_thumbnail_keeps_its_shape_and_is_small(tmp_path: Path) -> None:
    Image.new("RGBA", (400, 200), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    uri = thumbnail(tmp_path / "clear.png")
    assert uri is not None
    small = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert (small.format, small.size) == ("JPEG", (SIDE, SIDE // 2))
    assert small.getpixel((5, 5)) == (255, 255, 255), "what is transparent is white, not black"


def test_what_is_no_picture_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    assert thumbnail(tmp_path / "text.jpg") is None
    assert thumbnail(tmp_path / "missing.jpg") is None


def test_the_report_links_the_page_when_it_is_there() -> None:
    assert report._link(None) == ""
    assert '<a href="catalogue.html">' in report._link("catalogue.html")
