"""docs/your-data.md: its file is read with its YAML, and `init` finds the same columns."""

import re
from pathlib import Path

from cortex_rec import sources
from cortex_rec.config import load_config
from cortex_rec.starting_config import starting_config

PAGE = (Path(__file__).parent.parent / "docs" / "your-data.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_orders_of_the_page_are_read_with_the_yaml_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(blocks("csv")[0], encoding="utf-8")
    (tmp_path / "shop.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    config = load_config(tmp_path / "shop.yaml")
    bought = sources.read(config.source, config.windows).interactions
    assert bought["user_id"].to_list() == ["00017", "00017", "00042"]
    assert bought["price"].to_list() == [1.25, 3.0, 1.25]
    assert bought["basket_id"].to_list() == ["5001", "5001", "5002"]


def test_init_finds_the_columns_that_the_page_writes_by_hand(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(blocks("csv")[0], encoding="utf-8")
    (tmp_path / "by_hand.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    (tmp_path / "guessed.yaml").write_text(starting_config(tmp_path / "orders.csv"), encoding="utf-8")
    by_hand, guessed = (load_config(tmp_path / name).source for name in ("by_hand.yaml", "guessed.yaml"))
    assert guessed.kind == by_hand.kind == "files"
    assert guessed.interactions.columns == by_hand.interactions.columns


def test_every_yaml_of_the_page_is_a_config(tmp_path: Path) -> None:
    for text in blocks("yaml"):
        (tmp_path / "shop.yaml").write_text(text, encoding="utf-8")
        assert load_config(tmp_path / "shop.yaml").source.kind in ("files", "hm")


def test_the_items_of_the_page_have_the_attributes_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(blocks("csv")[0], encoding="utf-8")
    (tmp_path / "feed").mkdir()
    (tmp_path / "feed" / "products.csv").write_text(
        "sku,product_name,long_text,photo,group,material,colour,season\nA-100,Top,A top.,a.jpg,Women,cotton,red,\n", encoding="utf-8"
    )
    (page,) = [text for text in blocks("yaml") if "attributes:" in text]
    (tmp_path / "shop.yaml").write_text(page, encoding="utf-8")
    config = load_config(tmp_path / "shop.yaml")
    assert sources.read(config.source, config.windows).items.to_dicts() == [
        {"item_id": "A-100", "title": "Top", "description": "A top.", "image": str(tmp_path / "feed" / "a.jpg"), "department": "Women"}
        | {"colour": "red", "fabric": "cotton", "season": None}
    ]
