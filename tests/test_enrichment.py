"""Columns from items' words: a closed schema, a cache, a budget, and files that a source takes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from chat_server import chat_server, completion
from command_line import cortex_rec
from hypothesis import given
from hypothesis import strategies as st

from cortex_rec import columns, sources
from cortex_rec.config import Config, EnrichedExample, EnrichedField, Enrichment, FilesSource, load_config
from cortex_rec.enrichment.cache import AnswerCache
from cortex_rec.enrichment.extract import Budget, Enriched, enrich
from cortex_rec.enrichment.provider import Answer
from cortex_rec.enrichment.schema import Schema, clean
from cortex_rec.enrichment.table import joined, write
from cortex_rec.errors import ArtifactError, ConfigError, DataError, ProviderUnavailable
from cortex_rec.testing.provider_contract import HOSTILE, SCHEMA

ITEMS = pl.DataFrame(
    {
        columns.ITEM: ["a", "b", "c", "d"],
        columns.TITLE: ["Frozen peas", "Canned beans, 15 oz", None, "Organic kale"],
        columns.DESCRIPTION: ["Garden peas, 12 oz", None, None, "vegan"],
    }
)


class ByRule:
    """A provider that needs no model: it says what stands in the words, or what a test wants it to."""

    def __init__(self, say: Callable[[str, str], Any] | None = None, *, model: str = "rule 1", prompt: str = "plain") -> None:
        self.model, self.prompt, self.asked = model, prompt, list[tuple[str, str]]()
        self._say = say or self._read

    def answer(self, text: str, complaint: str = "") -> Answer:
        self.asked.append((text, complaint))
        said = self._say(text, complaint)
        return Answer(said if isinstance(said, str) else json.dumps(said), 10)

    @staticmethod
    def _read(text: str, complaint: str) -> Any:
        form = next((each for each in SCHEMA.fields["form"].options if each in text.lower()), None)
        return {"form": form, "diet": [each for each in SCHEMA.fields["diet"].options if each in text.lower()], "size": None}


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Enriched]:
    def of(
        items: pl.DataFrame = ITEMS, provider: Any = None, *, tokens: int | None = None, seconds: float | None = None, **more: Any
    ) -> Enriched:
        with AnswerCache(tmp_path / "answers.sqlite") as cache:
            budget = Budget(Clock(), tokens, seconds)
            return enrich(items, SCHEMA, provider or ByRule(), cache=cache, budget=budget, **{"given_at": "now"} | more)

    return of


def test_items_get_their_fields_and_one_without_words_is_not_asked_about(run: Callable[..., Enriched]) -> None:
    provider = ByRule()
    found = run(provider=provider)
    assert found.columns.rows() == [
        ("a", "frozen", None, None),
        ("b", "canned", None, None),
        ("c", None, None, None),
        ("d", None, "organic, vegan", None),
    ]
    assert [text for text, _ in provider.asked] == ["Frozen peas. Garden peas, 12 oz", "Canned beans, 15 oz", "Organic kale. vegan"]
    assert (found.asked, found.cached, found.left, found.tokens, found.stopped) == (3, 0, 0, 30, "")
    assert found.provenance.rows() == [(item, "rule 1", "plain", "now", 10) for item in "abd"]


def test_what_was_asked_once_is_not_asked_again_and_keeps_its_provenance(run: Callable[..., Enriched]) -> None:
    first, provider = run(), ByRule()
    again = run(provider=provider, given_at="later")
    assert provider.asked == []
    assert (again.asked, again.cached, again.tokens) == (0, 3, 0)
    assert again.columns.equals(first.columns)
    assert again.provenance["given_at"].to_list() == ["now"] * 3


@pytest.mark.parametrize("other", [ByRule(model="rule 2"), ByRule(prompt="other")], ids=["model", "prompt"])
def test_another_model_or_prompt_is_asked_anew(run: Callable[..., Enriched], other: ByRule) -> None:
    run()
    assert run(provider=other).asked == 3


def test_of_changed_words_only_the_changed_are_asked_anew(run: Callable[..., Enriched]) -> None:
    run()
    changed = ITEMS.with_columns(
        pl.when(pl.col(columns.ITEM) == "b").then(pl.lit("Fresh beans")).otherwise(columns.TITLE).alias(columns.TITLE)
    )
    found = run(changed)
    assert (found.asked, found.cached) == (1, 2)
    assert found.columns["form"].to_list() == ["frozen", "fresh", None, None]


def test_another_schema_has_other_answers(tmp_path: Path) -> None:
    other = Schema({"form": EnrichedField(kind="one", options=("frozen", "canned"))})
    with AnswerCache(tmp_path / "answers.sqlite") as cache:
        for schema, asked in ((SCHEMA, 3), (other, 3), (SCHEMA, 0)):
            provider = ByRule(lambda text, complaint: {"form": "frozen"})
            assert enrich(ITEMS, schema, provider, cache=cache, budget=Budget(Clock()), given_at="now").asked == asked


@pytest.mark.parametrize(
    ("bound", "why"),
    [({"tokens": 20}, "20 tokens of 20 are spent"), ({"seconds": 3.0}, "3 seconds of 3 are spent")],
    ids=["tokens", "seconds"],
)
def test_a_run_stops_at_its_budget_says_how_far_it_came_and_the_next_one_goes_on_there(
    run: Callable[..., Enriched], bound: dict[str, Any], why: str
) -> None:
    first = run(**bound)
    assert first.stopped == why
    assert (first.asked, first.left, first.columns.height) == (2, 1, 3)
    second = run(**bound)
    assert (second.asked, second.cached, second.left, second.stopped) == (1, 2, 0, "")
    assert second.columns.equals(run().columns)


def test_a_killed_run_has_kept_what_was_answered(run: Callable[..., Enriched]) -> None:
    def dies(text: str, complaint: str) -> Any:
        if "kale" in text:
            raise ProviderUnavailable("gone")
        return ByRule._read(text, complaint)

    with pytest.raises(ProviderUnavailable, match="gone"):
        run(provider=ByRule(dies))
    found = run()
    assert (found.asked, found.cached) == (1, 2)


def test_an_answer_that_does_not_validate_is_asked_for_again_with_what_was_wrong(run: Callable[..., Enriched]) -> None:
    def at_second(text: str, complaint: str) -> Any:
        return {"form": "fresh" if complaint else "golden"}

    provider = ByRule(at_second)
    found = run(ITEMS.head(1), provider)
    assert found.columns["form"].to_list() == ["fresh"]
    assert found.quarantine.is_empty()
    assert [complaint for _, complaint in provider.asked] == ["", 'form: expected one of ["frozen", "canned", "fresh"], or null']
    assert found.tokens == found.provenance["tokens"].sum() == 20


def test_what_does_not_validate_goes_to_quarantine_by_item_field_and_answer_and_the_rest_is_taken(run: Callable[..., Enriched]) -> None:
    said = {"form": "golden", "diet": ["vegan"], "size": "16 oz", "price": 0}
    provider = ByRule(lambda text, complaint: said)
    found = run(ITEMS.head(1), provider)
    assert len(provider.asked) == 2
    assert found.columns.rows() == [("a", None, "vegan", None)]
    assert found.quarantine.select(columns.ITEM, "field", "answer").rows() == [
        ("a", "price", "0"),
        ("a", "form", "golden"),
        ("a", "size", "16 oz"),
    ]
    again = run(ITEMS.head(1), provider)
    assert (again.asked, again.quarantine.rows()) == (0, found.quarantine.rows())


@pytest.mark.parametrize("answer", ["", "frozen", "[]", "{", '"x"', "null", "[" * 100_000, '{"form": "frozen"'])
def test_an_answer_that_is_no_json_object_says_nothing_of_an_item(answer: str) -> None:
    values, faults = SCHEMA.check(answer, "peas")
    assert values == {}
    assert [(fault.field, fault.why) for fault in faults] == [("", "a JSON object")]
    assert len(faults[0].answer) <= 120


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"form": ["frozen"]}, "form"),
        ({"form": "Frozen"}, "form"),
        ({"form": 1}, "form"),
        ({"diet": "vegan"}, "diet"),
        ({"diet": ["vegan", "free"]}, "diet"),
        ({"diet": [["vegan"]]}, "diet"),
        ({"size": "13 oz"}, "size"),
        ({"size": "12 oz net"}, "size"),
        ({"size": 12}, "size"),
    ],
)
def test_a_value_outside_of_its_field_is_a_fault_of_the_field(said: dict[str, Any], field: str) -> None:
    values, faults = SCHEMA.check(json.dumps(said), "peas, 12 oz net")
    assert (values, [fault.field for fault in faults]) == ({}, [field])


WORDS = st.sampled_from(["frozen", "vegan", "12 oz", "oz", "golden", ""])


@given(st.dictionaries(st.sampled_from(["form", "diet", "size", "x"]), st.none() | WORDS | st.integers() | st.lists(WORDS | st.none())))
def test_whatever_is_answered_only_values_of_the_schema_get_through(said: dict[str, Any]) -> None:
    values, faults = SCHEMA.check(json.dumps(said), "peas, 12 oz")
    assert set(values) | {fault.field for fault in faults} >= {name for name in said if said[name] not in (None, [], "") or name == "x"}
    assert values.get("form", "frozen") in SCHEMA.fields["form"].options
    assert values.get("size", "12 oz") == "12 oz"


@given(st.text())
def test_clean_words_are_one_line_within_the_cut_and_hold_no_brackets_of_a_models_own_tokens(text: str) -> None:
    cleaned = clean(text, 50)
    assert len(cleaned) <= 50
    assert not set(cleaned) & set("<>\n\r\t\0")
    assert clean(cleaned, 50) == cleaned


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_words_of_an_item_change_nothing_of_another(run: Callable[..., Enriched], hostile: str) -> None:
    def obeys(text: str, complaint: str) -> Any:
        """The worst model: it says whatever an item's words want, and everything of the others if it could."""
        return (
            {"form": "golden", "diet": ["vegan"], "a": {"form": "canned"}} if "peas" not in text.lower() else ByRule._read(text, complaint)
        )

    before = run().columns
    evil = {columns.ITEM: ["evil"], columns.TITLE: [hostile.replace("Peas", "Gold")], columns.DESCRIPTION: [None]}
    attacked = ITEMS.vstack(pl.DataFrame(evil, schema=ITEMS.schema))
    provider = ByRule(obeys)
    found = run(attacked, provider)
    assert found.columns.head(4).equals(before)
    assert found.columns.filter(pl.col(columns.ITEM) == "evil").row(0) in [("evil", None, "vegan", None), ("evil", None, None, None)]
    assert set(found.quarantine[columns.ITEM]) <= {"evil"}
    assert all("Frozen" not in text for text, _ in provider.asked)


def test_options_that_are_not_given_are_the_values_of_at_least_five_items() -> None:
    items = pl.DataFrame({columns.ITEM: [str(place) for place in range(14)], "colour": ["red"] * 5 + ["blue"] * 8 + ["rde"]})
    schema = Schema.learned(Enrichment(fields={"colour": EnrichedField(kind="one")}), items)
    assert schema.fields["colour"].options == ("blue", "red")
    assert schema.counts == {"colour": (8, 5)}


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (pl.DataFrame({columns.ITEM: ["a"]}), "no column 'colour' in the items table"),
        (pl.DataFrame({columns.ITEM: ["a"], "colour": ["red"]}), "0 values of the items' column 'colour'"),
    ],
)
def test_options_that_cannot_be_learned_are_asked_for(items: pl.DataFrame, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Schema.learned(Enrichment(fields={"colour": EnrichedField(kind="one")}), items)


def test_an_example_that_does_not_fit_the_fields_is_refused() -> None:
    fields = {"form": EnrichedField(kind="one", options=("frozen",))}
    config = Enrichment(fields=fields, examples=(EnrichedExample(words="peas", values={"form": "golden"}),))
    with pytest.raises(ConfigError, match=r"examples: 'peas', 'form' is 'golden'; expected one of"):
        Schema.learned(config, ITEMS)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"kind": "quoted"}, "`pattern` is for the kind `quoted`"),
        ({"kind": "one", "pattern": "x"}, "`pattern` is for the kind `quoted`"),
        ({"kind": "quoted", "pattern": "("}, "no regular expression"),
        ({"kind": "one", "options": ["a", "a"]}, "each different and none blank"),
        ({"kind": "many", "options": [" "]}, "each different and none blank"),
    ],
)
def test_a_field_that_cannot_be_is_refused(tmp_path: Path, field: dict[str, Any], message: str) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump({"name": "shop", "source": {"kind": "complete_journey"}, "enrichment": {"fields": {"x": field}}}))
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_enrichment_is_off_by_default() -> None:
    assert Config(name="shop", source={"kind": "complete_journey"}).enrichment is None


def test_a_damaged_cache_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"no database, whatever it was before" * 100)
    with pytest.raises(ArtifactError, match=r"answers\.sqlite: the answers cannot be kept or read"):
        AnswerCache(path)


def test_what_the_shop_says_itself_stays_and_only_gaps_are_filled() -> None:
    items = pl.DataFrame({columns.ITEM: ["a", "b", "c"], columns.CATEGORY: ["veg", None, None]})
    found = pl.DataFrame({columns.ITEM: ["a", "b"], columns.CATEGORY: ["fruit", "fruit"], "form": ["fresh", None]})
    assert joined(items, found).rows() == [("a", "veg", "fresh"), ("b", "fruit", None), ("c", None, None)]


@pytest.mark.parametrize("name", ["feed/enriched.parquet", "feed/enriched.csv"])
def test_a_source_takes_the_written_file_with_the_new_columns_as_attributes(
    run: Callable[..., Enriched], tmp_path: Path, name: str
) -> None:
    picture = tmp_path / "feed" / "photos" / "a.jpg"
    items = ITEMS.with_columns(pl.Series(columns.IMAGE, [str(picture), None, None, None], pl.String))
    files = write(items, run(), tmp_path / name)
    assert set(files) == {"items", "provenance"}
    (tmp_path / "orders.csv").write_text("user_id,item_id,timestamp\nu,a,2024-01-01 10:00:00\nu,b,2024-01-02 10:00:00\n")
    source = FilesSource.model_validate(
        {"interactions": {"path": str(tmp_path / "orders.csv")}, "items": {"path": str(tmp_path / name)}, "attributes": ["form", "diet"]}
    )
    read = sources.read(source, Config(name="shop", source=source).windows).items
    assert read.select(columns.ITEM, "form", "diet").rows() == [
        ("a", "frozen", None),
        ("b", "canned", None),
        ("c", None, None),
        ("d", None, "organic, vegan"),
    ]
    assert read[columns.TITLE].to_list() == ITEMS[columns.TITLE].to_list()
    assert read[columns.IMAGE].to_list() == [str(picture), None, None, None]


def test_a_picture_that_the_source_would_refuse_is_refused_here(run: Callable[..., Enriched], tmp_path: Path) -> None:
    items = ITEMS.with_columns(pl.Series(columns.IMAGE, [None, str(tmp_path / "photos" / "b.jpg"), None, None], pl.String))
    with pytest.raises(DataError, match=r"picture of row 1, .*b\.jpg, does not lie below"):
        write(items, run(), tmp_path / "feed" / "enriched.parquet")


def test_a_file_of_another_kind_is_not_written(run: Callable[..., Enriched], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"write a \.parquet or a \.csv"):
        write(ITEMS, run(), tmp_path / "enriched.xlsx")


def shop(folder: Path, url: str, **enrichment: Any) -> None:
    ITEMS.write_csv(folder / "products.csv")
    (folder / "orders.csv").write_text("user_id,item_id,timestamp\nu,a,2024-01-01 10:00:00\nu,b,2024-01-02 10:00:00\n")
    fields = {name: field.model_dump(mode="json", exclude_defaults=True) for name, field in SCHEMA.fields.items()}
    config = {
        "name": "shop",
        "source": {"kind": "files", "interactions": {"path": "orders.csv"}, "items": {"path": "products.csv"}},
        "enrichment": {"provider": {"kind": "openai", "url": url, "model": "any"}, "fields": fields, **enrichment},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(config))


def obedient(body: dict[str, Any]) -> tuple[int, Any]:
    words = next(json.loads(each["content"])["product"] for each in body["messages"] if each["role"] == "user")
    return completion({"form": "golden"} if "kale" in words else ByRule._read(words, ""), tokens=100)


def test_the_command_writes_the_files_and_says_what_it_found_and_how_to_use_it(tmp_path: Path) -> None:
    with chat_server(obedient) as server:
        shop(tmp_path, server.url)
        said = cortex_rec("enrich", "shop.yaml", folder=tmp_path)
        again = json.loads(cortex_rec("enrich", "shop.yaml", "--json", folder=tmp_path).stdout)
    assert (said.returncode, said.stderr) == (0, "4 of 4 items\n")
    assert "3 items were asked about, 0 were known: 400 tokens" in said.stdout
    assert "To learn from it: source.items: {path: enriched.parquet}, source.attributes: [diet, form]" in said.stdout
    assert pl.read_parquet(tmp_path / "enriched.parquet")["form"].to_list() == ["frozen", "canned", None, None]
    quarantine = pl.read_csv(tmp_path / "enriched.quarantine.csv")
    assert quarantine.select(columns.ITEM, "field", "answer").rows() == [("d", "form", "golden")]
    assert pl.read_csv(tmp_path / "enriched.provenance.csv")["model"].to_list() == [f"any at {server.url}"] * 3
    assert len(server.asked) == 4
    assert (again["asked"], again["cached"], again["filled"], again["quarantined"]) == (0, 3, {"form": 2, "diet": 0, "size": 0}, 1)


def test_the_command_stops_at_its_budget_and_goes_on(tmp_path: Path) -> None:
    with chat_server(obedient) as server:
        shop(tmp_path, server.url, tokens=100)
        first = cortex_rec("enrich", "shop.yaml", folder=tmp_path)
        second = json.loads(cortex_rec("enrich", "shop.yaml", "--json", folder=tmp_path).stdout)
    assert "Stopped: 100 tokens of 100 are spent; 3 items are left. Run it again to go on." in first.stdout
    assert (second["asked"], second["cached"]) == (1, 1)


def test_the_command_without_the_section_says_what_to_add(tmp_path: Path) -> None:
    shop(tmp_path, "http://127.0.0.1:9/v1")
    config = yaml.safe_load((tmp_path / "shop.yaml").read_text())
    del config["enrichment"]
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(config))
    said = cortex_rec("enrich", "shop.yaml", folder=tmp_path)
    assert said.returncode == 1
    assert "ConfigError: shop.yaml: has no `enrichment`, which is off by default. Add `enrichment: {}`" in said.stderr


def test_every_yaml_of_the_page_is_a_config(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "enrichment.md").read_text(encoding="utf-8")
    first, second = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL))
    for number, config in enumerate((first, second)):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(config))
    items = ITEMS.vstack(ITEMS).with_columns(pl.lit("vegetables").alias(columns.CATEGORY))
    settings = load_config(tmp_path / "0.yaml").enrichment
    assert settings is not None
    schema = Schema.learned(settings, items)
    assert schema.examples == (("frozen garden peas, 12 oz", {"category": "vegetables", "diet": "vegan", "size": "12 oz"}),)
    assert load_config(tmp_path / "1.yaml").source.attributes == ("diet",)
