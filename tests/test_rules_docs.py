"""docs/rules.md: its bodies are answered, and its variants can be judged."""

import re
from pathlib import Path

import pytest
from serving import app_of
from starlette.testclient import TestClient

from cortex_rec.evaluation import variants
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Request
from cortex_rec.testing.release import small_release

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
MEASURED = ROOT / "configs" / "rules" / "complete_journey.yaml"
#: Ids of the page, and who is who in the small shop.
NAMES = {"208": "h001", "1029743": "i020", "1082185": "i013", "995242": "i004"}


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return [re.sub(r'"(\d+)"', lambda name: f'"{NAMES[name[1]]}"', text) for text in found]


def test_the_bodies_of_the_page_are_answered_as_the_page_says(tmp_path: Path) -> None:
    release = small_release(tmp_path / "releases")
    with TestClient(app_of(release.path.parent, tmp_path)) as client:
        answers = [client.post("/recommend", content=body) for body in blocks("json")]
        departments = {item["item_id"]: client.get(f"/api/items/{item['item_id']}").json()["groups"] for item in answers[1].json()["items"]}
    assert [answer.status_code for answer in answers] == [200] * 3
    mixed, produce, pinned = ([item["item_id"] for item in answer.json()["items"]] for answer in answers)
    assert mixed
    assert len(produce) == 5
    assert "i013" not in produce
    assert {groups["department"] for groups in departments.values()} == {"PRODUCE"}
    assert (pinned[0], len(pinned)) == ("i020", 10)


@pytest.mark.parametrize("text", [*blocks("yaml"), MEASURED.read_text(encoding="utf-8")], ids=["page", "file"])
def test_every_variant_that_the_page_names_can_be_answered(tmp_path: Path, recommender: Recommender, text: str) -> None:
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    for variant in variants.read(tmp_path / "rules.yaml"):
        (slate,) = recommender.recommend([Request("h001", filters=variant.filters, rules=variant.rules)])
        assert slate.items
