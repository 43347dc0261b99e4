"""The language model on this machine: all possible answers weighed in one pass, exactly as if each were asked for by itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tiny_gemma import unpack_tiny

from cortex_rec.config import EnrichedExample, EnrichedField, Enrichment, LocalModel
from cortex_rec.enrichment.gemma import Gemma
from cortex_rec.enrichment.local import Local
from cortex_rec.enrichment.schema import Schema
from cortex_rec.enrichment.trees import ROOT, Question, Tree
from cortex_rec.testing.provider_contract import SCHEMA, ProviderContract

END = 99


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("tiny")
    unpack_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unpacked")


@pytest.fixture(scope="module")
def small(tiny: Path) -> Local:
    return Local(LocalModel(), SCHEMA, tiny)


@pytest.fixture(scope="module")
def packaged(unpacked: Path) -> Local:
    return Local(LocalModel(), SCHEMA, unpacked)


class TestTinyLocal(ProviderContract):
    @pytest.fixture
    def provider(self, small: Local) -> Local:
        return small


@pytest.mark.slow
class TestPackagedLocal(ProviderContract):
    @pytest.fixture
    def provider(self, packaged: Local) -> Local:
        return packaged


@pytest.mark.slow
def test_the_packaged_model_tells_plain_products_apart(unpacked: Path) -> None:
    examples = tuple(
        EnrichedExample(words=words, values={"category": category})
        for words, category in (
            ("cheddar cheese block, 8 oz", "dairy"),
            ("ground beef, 2 lb", "meat"),
            ("bananas", "fruit"),
            ("cola, 12 cans", "drinks"),
        )
    )
    field = EnrichedField(kind="one", options=("dairy", "meat", "fruit", "drinks"))
    config = Enrichment(fields={"category": field}, examples=examples, provider=LocalModel(sure=0))
    model = Local(LocalModel(sure=0), Schema.learned(config, pl.DataFrame()), unpacked)
    right = {
        "whole milk, 1 gal": "dairy",
        "mozzarella": "dairy",
        "pork chops": "meat",
        "chicken breast": "meat",
        "apples": "fruit",
        "red grapes": "fruit",
        "orange juice": "drinks",
        "lemon soda, 6 bottles": "drinks",
    }
    said = {words: json.loads(model.answer(words).text)["category"] for words in right}
    assert sum(said[words] == category for words, category in right.items()) >= 6, said


def test_a_tree_holds_what_questions_share_once_and_reads_no_token_after_which_nothing_is_to_choose() -> None:
    tree = Tree.of([Question((1, 2), ((5,), (5, 6), (7, 8, 9)))], END)
    assert tree.tokens.tolist() == [1, 2, 5]
    assert tree.parents.tolist() == [ROOT, 0, 1]
    assert tree.depths.tolist() == [0, 1, 2]
    assert sorted(zip(tree.edge_node.tolist(), tree.edge_token.tolist(), strict=True)) == [(1, 5), (1, 7), (2, 6), (2, END)]


def test_the_probabilities_of_a_trees_answers_are_products_of_choices_and_sum_to_one() -> None:
    tree = Tree.of([Question((1,), ((5,), (5, 6), (7, 8))), Question((2,), ((3,), (4,)))], END)
    logits = np.log([{5: 3.0, 7: 1.0, END: 1.0, 6: 4.0, 3: 1.0, 4: 9.0}[int(token)] for token in tree.edge_token]).astype(np.float32)
    first, second = tree.scores(logits)
    np.testing.assert_allclose(np.exp(first), [0.75 * 0.2, 0.75 * 0.8, 0.25], rtol=1e-6)
    np.testing.assert_allclose(np.exp(second), [0.1, 0.9], rtol=1e-6)


def test_questions_of_a_tree_do_not_see_each_other() -> None:
    tree = Tree.of([Question((1, 2), ((5,), (6,))), Question((3, 4), ((5,), (6,)))], END)
    assert tree.sees().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


@pytest.mark.parametrize("before", ["Products of a shop.\n\n", "Products of a shop and what they are.\n\n" * 3])
def test_one_pass_over_a_tree_gives_what_each_text_by_itself_gives(tiny: Path, before: str) -> None:
    """With the longer text before, the layers that see only so far no longer see all of it."""
    model = Gemma(tiny, before, threads=1)
    options = [model.tokens(f" {option}") for option in ("frozen", "free", "fresh", "canned")]
    questions = [
        Question(model.tokens("\nForm:"), tuple(options)),
        Question(model.tokens("\nDiet:"), (model.tokens(" vegan"), model.tokens(" none"))),
    ]
    tree = Tree.of(questions, model.end)
    text = model.tokens("Product: organic peas, 12 oz")
    logits = model.choices(text, tree)
    for edge, (node, token) in enumerate(zip(tree.edge_node.tolist(), tree.edge_token.tolist(), strict=True)):
        path = []
        while node != ROOT:
            path.append(int(tree.tokens[node]))
            node = int(tree.parents[node])
        alone = _logits(tiny, [*_first(model, before), *text, *reversed(path)])
        assert logits[edge] == pytest.approx(float(alone[token]), abs=0.03)
    np.testing.assert_array_equal(model.choices(text, tree), logits)


def _first(model: Gemma, before: str) -> list[int]:
    return [1, *model.tokens(before)]


def _logits(folder: Path, tokens: list[int]) -> Any:
    from transformers import Gemma3ForCausalLM

    model = Gemma3ForCausalLM.from_pretrained(str(next(folder.iterdir())), dtype=torch.float32)
    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0, -1]


FORM = {"form": EnrichedField(kind="one", options=("frozen", "canned", "fresh", "fresh frozen"))}
SHOWN = Schema(FORM, examples=(("peas", {"form": "frozen"}),))


def test_a_field_that_an_example_shows_is_the_models_and_stays_empty_when_it_is_not_sure(tiny: Path) -> None:
    model = Local(LocalModel(sure=0), SHOWN, tiny)
    shares, _ = model.shares("canned peas")
    assert shares["form"].sum() == pytest.approx(1)
    assert json.loads(model.answer("canned peas").text)["form"] == FORM["form"].options[int(shares["form"].argmax())]
    assert json.loads(Local(LocalModel(sure=1), SHOWN, tiny).answer("peas").text) == {"form": None}


def test_without_an_example_an_option_is_answered_only_where_its_words_stand(tiny: Path) -> None:
    model = Local(LocalModel(sure=0), Schema(FORM | {"diet": SCHEMA.fields["diet"]}), tiny)
    said = {words: json.loads(model.answer(words).text) for words in ("Fresh frozen peas", "Organic, sugar free", "inorganic unfrozen")}
    assert said == {
        "Fresh frozen peas": {"form": "fresh frozen", "diet": []},
        "Organic, sugar free": {"form": None, "diet": ["organic", "sugar free"]},
        "inorganic unfrozen": {"form": None, "diet": []},
    }


def test_sizes_are_quoted_from_the_text_and_nothing_else_is(tiny: Path) -> None:
    schema = Schema({"size": EnrichedField(kind="quoted", pattern=r"\d+ oz")})
    model = Local(LocalModel(), schema, tiny)
    assert json.loads(model.answer("peas, 12 oz or 16 oz").text) == {"size": "12 oz"}
    assert json.loads(model.answer("peas").text) == {"size": None}


def test_examples_are_part_of_the_prompts_name(tiny: Path) -> None:
    bare, shown = (Local(LocalModel(), schema, tiny) for schema in (Schema(FORM), SHOWN))
    assert bare.prompt != shown.prompt
    assert bare.model == shown.model
