"""What rules cost: the file that names them, the figures beside the plain answers, and the table of both."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged import history, ragged
from rich.console import Console

from cortex_rec import snapshot
from cortex_rec.config import Evaluation
from cortex_rec.embeddings.content import Content
from cortex_rec.errors import ConfigError
from cortex_rec.evaluation import metrics
from cortex_rec.evaluation.evaluate import mean
from cortex_rec.evaluation.judge import judge
from cortex_rec.evaluation.rules import PLACES, Answers, Panel, weigh
from cortex_rec.evaluation.rules_table import tables
from cortex_rec.evaluation.variants import Variant, read
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Filters, Request, Rules
from cortex_rec.splits import Window
from cortex_rec.testing.evidence import unit_vectors
from cortex_rec.testing.fusion import small_fusion
from cortex_rec.testing.release import CONFIG

SAMPLES = Evaluation(bootstrap_samples=50)


def variant(name: str, **conditions: Any) -> Variant:
    return Variant(name, conditions.get("filters", Filters()), conditions.get("rules", Rules()), Path("rules.yaml"))


@pytest.fixture(scope="module")
def eve(recommender: Recommender, window: Window) -> Recommender:
    """The recommender as it was when the test window began."""
    data = recommender.data
    fusion = small_fusion(data.catalogue, seed=0)
    text, image = (unit_vectors(len(data.items), width, seed=0) for width in (fusion.text_width, fusion.image_width))
    content = fusion.place(Content.of(text, image, data.catalogue))
    return replace(recommender, snapshot=snapshot.fit(data, content, CONFIG, as_of=window.start))


def weighed(eve: Recommender, window: Window, *variants: Variant) -> dict[str, Any]:
    return weigh(eve, window, variants, SAMPLES, seed=1, report=lambda done, total: None)


def test_the_plain_answers_are_those_that_the_report_judges(eve: Recommender, window: Window) -> None:
    costs, judged = weighed(eve, window), judge(eve, window)
    figures = metrics.per_user(judged.ranked, judged.truth, (10, 20))
    assert costs["users"] == len(judged.users) > 30
    assert costs["plain"]["metrics"]["ndcg@10"] == pytest.approx(mean(figures["ndcg@10"]), abs=1e-6)
    assert costs["plain"]["metrics"]["recall@20"] == pytest.approx(mean(figures["recall@20"]), abs=1e-6)
    assert "difference" not in costs["plain"]


def test_a_variant_that_asks_for_nothing_differs_by_exactly_nothing(eve: Recommender, window: Window) -> None:
    found = weighed(eve, window, variant("none"), variant("even", rules=Rules(boosted={"i001": 1.0})))
    for one in found["variants"].values():
        assert {name: one[name] for name in found["plain"]} == found["plain"]
        assert all(figures == {"value": 0, "low": 0, "high": 0} for figures in one["difference"].values())


def test_what_a_rule_is_for_rises_and_what_it_costs_is_the_paired_difference(eve: Recommender, window: Window) -> None:
    rules = {
        "diverse": Rules(diversity=0.6),
        "capped": Rules(caps={"department": 3}),
        "new": Rules(new_share=0.8),
        "tail": Rules(tail_share=0.9),
    }
    found = weighed(eve, window, *(variant(name, rules=one) for name, one in rules.items()))
    plain, ruled = found["plain"], found["variants"]
    assert ruled["diverse"]["diversity"] > plain["diversity"]
    assert ruled["new"]["new_share"] >= 0.8 > plain["new_share"]
    assert ruled["tail"]["tail_share"] >= 0.9 > plain["tail_share"]
    # Three each of four departments.
    assert ruled["capped"]["distinct"]["department"] == 4
    assert (ruled["capped"]["short"], ruled["capped"]["empty"], plain["short"]) == (found["users"], 0, 0)
    for one in ruled.values():
        cost = one["difference"]["ndcg@10"]
        assert cost["value"] == pytest.approx(one["metrics"]["ndcg@10"] - plain["metrics"]["ndcg@10"], abs=2e-6)
        assert cost["low"] <= cost["value"] <= cost["high"]
    assert ruled["new"]["difference"]["ndcg@10"]["high"] < 0


def test_answers_that_needed_a_wider_look_are_counted(eve: Recommender, window: Window) -> None:
    sizes = dict.fromkeys(eve.snapshot.union.sizes, 1)
    narrow = replace(eve, snapshot=replace(eve.snapshot, union=replace(eve.snapshot.union, sizes=sizes)))
    dairy = Filters(groups={"department": ("DAIRY",)})
    found = weighed(narrow, window, variant("dairy", filters=dairy))["variants"]["dairy"]
    (slate,) = narrow.recommend([Request("h001", n=PLACES, filters=dairy)])
    assert found["widened"]["answers"] == found["widened"]["times"] // slate.widened > 30


def test_figures_by_hand() -> None:
    panel = Panel(
        users=np.arange(3, dtype=np.int32),
        truth=ragged([0, 2], [3], [1]),
        bought_before=ragged([0], [0], [0]),
        history=history([0], [0], [0]),
        item_vectors=np.eye(4, dtype=np.float32),
        popularity=np.array([5, 3, 1, 1], np.int32),
        sold=np.ones(4, bool),
        tail=np.array([False, False, True, True]),
        groups={"brand": np.array([0, 0, 1, -1], np.int32)},
    )
    answers = Answers(ragged([0, 1, 2], [0, 3], []), np.array([0, 2, 1]))
    assert {name: values.tolist() for name, values in panel.per_user(answers).items()} == {
        "ndcg@10": pytest.approx([(1 + 1 / 2) / (1 + 1 / np.log2(3)), 1 / np.log2(3), 0]),
        "recall@20": [1, 1, 0],
        # New are 2, second among the new that are shown, 3 alone, and 1, which is not shown.
        "new_items ndcg@10": pytest.approx([1 / np.log2(3), 1, 0]),
    }
    assert panel.describe(answers) == {
        "diversity": 1,
        "coverage": 1,
        "new_share": 3 / 5,
        "tail_share": 2 / 5,
        "distinct": {"brand": (2 + 1) / 2},
        "short": 3,
        "empty": 1,
        "widened": {"answers": 2, "times": 3},
    }


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({"rules": Rules(caps={"brnd": 2})}, "rules.caps: 'brnd' is no group of this release. Did you mean 'brand'?"),
        ({"filters": Filters(groups={"brand": ("Own", "Hil")})}, "filters.groups: no item's brand is 'Hil'. Did you mean 'Hill'?"),
        ({"rules": Rules(pinned=("i999",))}, "rules.pinned: item 'i999' is not in the catalogue"),
    ],
)
def test_what_the_catalogue_does_not_have_is_told_with_file_variant_and_field(
    eve: Recommender, window: Window, conditions: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as error:
        weighed(eve, window, variant("fine"), variant("odd", **conditions))
    assert str(error.value).startswith(f"rules.yaml: variant 'odd': {told}")


def test_a_file_holds_one_variant_or_many_in_yaml_or_json(tmp_path: Path) -> None:
    two = [
        {"name": "two of a brand", "rules": {"caps": {"brand": 2}, "boosted": {"7": 2.5}}},
        {"name": "fresh", "filters": {"bought_days": 7, "groups": {"brand": ["Own"]}, "in_store": True}},
    ]
    (tmp_path / "rules.json").write_text(json.dumps(two))
    (tmp_path / "rules.yaml").write_text("name: two of a brand\nrules:\n  caps: {brand: 2}\n  boosted: {'7': 2.5}\n")
    many, one = read(tmp_path / "rules.json"), read(tmp_path / "rules.yaml")
    assert [(each.name, each.filters, each.rules) for each in many] == [
        ("two of a brand", Filters(), Rules(caps={"brand": 2}, boosted={"7": 2.5})),
        ("fresh", Filters(bought_days=7, groups={"brand": ("Own",)}, in_store=True), Rules()),
    ]
    assert [(each.name, each.filters, each.rules) for each in one] == [(many[0].name, many[0].filters, many[0].rules)]


BAD = {
    "": "expected a variant with `name`",
    "[]": "expected a variant with `name`",
    "[3]": "expected a variant with `name`",
    "{": "not a readable YAML or JSON file",
    "rules: {}": "variant 1: `name`: expected text of 1 to 40 characters, for example \"two of a brand\", got nothing.",
    "{name: a, rule: {}}": "variant 'a': `rule` is not a known field. Did you mean `rules`? Known: name, filters, rules.",
    "[{name: a}, {name: b, rules: {cap: {}}}]": "variant 'b': `rules.cap` is not a known field. Did you mean `caps`?",
    "{name: a, rules: {diversity: 1.2}}": "variant 'a': `rules.diversity`: expected a number from 0 to 1, got 1.2.",
    "{name: a, rules: {diversity: .nan}}": "variant 'a': `rules.diversity`: expected a number from 0 to 1, got nan.",
    "{name: a, rules: {caps: {brand: 0}}}": "variant 'a': `rules.caps.brand`: expected a whole number from 1 to 100, got 0.",
    "{name: a, rules: {pinned: [17]}}": "variant 'a': `rules.pinned[0]`: expected text of 1 to 200 characters",
    "{name: a, rules: {boosted: {0017: 2}}}": "variant 'a': `rules.boosted`: the key 15 is no text. Put ids in quotes.",
    "{name: a, filters: {in_store: 1}}": "variant 'a': `filters.in_store`: expected true or false, got 1.",
    "{name: a, filters: {price_from: 3, price_to: 2}}": "variant 'a': filters.price_from: 3 is above price_to, 2.",
    "{name: a, filters: {exclude: [x]}, rules: {pinned: [x]}}": "variant 'a': rules.pinned: 'x' is in the basket or excluded",
    "{name: a, filters: }": "variant 'a': `filters`: expected an object, got None.",
    "[{name: a}, {name: a}]": "variant 'a' is there twice",
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), BAD.items(), ids=list(BAD))
def test_a_file_that_is_not_as_it_must_be_is_told_with_variant_and_field(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {told}")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        read(tmp_path / "none.yaml")


def test_the_table_shows_plain_answers_beside_each_variant_in_eighty_characters(eve: Recommender, window: Window) -> None:
    names = ["a", "b", "c", "a rule with a long name", "e"]
    costs = weighed(eve, window, *(variant(name, rules=Rules(new_share=0.5)) for name in names))
    printed = io.StringIO()
    for table in tables(costs):
        Console(width=80, file=printed).print(table)
    text = printed.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    plain, ruled = costs["plain"]["metrics"]["ndcg@10"], costs["variants"]["a"]
    rows = [line for line in text.splitlines() if "│ NDCG@10" in line]
    assert [row.count(f"{ruled['metrics']['ndcg@10']:.4f}") for row in rows] == [4, 1]
    assert all(f"{plain:.4f}" in row for row in rows)
    assert f"{ruled['difference']['ndcg@10']['low']:+.4f}" in text
