"""What a small language model finds in items' words, next to rules and a classifier; and what its idea of a session's intent is worth.

`make bench NAME=enrichment`; the sample of H&M's articles has to lie in `../shared/data/hm-sample` or in the folder that DATA names, else
only the grocery chain's products are measured. Answers are kept in `benchmarks/out/enrichment`, so a second run takes minutes.
"""

import hashlib
import json
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from benchmarks import enrichment_intent
from benchmarks.harness import OUT, ROOT, Benchmark
from cortex_rec.arrays import F32, F64, I64
from cortex_rec.config import EnrichedExample, EnrichedField, Enrichment, LocalModel, TextEmbedding
from cortex_rec.embeddings import text as sentences
from cortex_rec.enrichment.local import Local
from cortex_rec.enrichment.schema import Schema, clean
from cortex_rec.sources.complete_journey import data_folder
from cortex_rec.sources.shelf_words import readable

HM: Final = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data" / "hm-sample")) / "articles.csv.gz"
CACHE: Final = OUT / "enrichment"
SEED: Final = 7
TEST, VALIDATION, LABELLED, LEARNED = 300, 150, 5_000, 2_000
#: Examples in the prompt; chosen on the validation items.
EXAMPLES: Final = (0, 6, 20)
THREADS: Final = int(os.environ.get("OMP_NUM_THREADS", 2))
#: Items that a method's seconds are measured on.
TIMED: Final = 20
#: How right answers have to be for a shop to take them.
USABLE: Final = 0.8
Scored = tuple[list[str], F64]  # an answer and how sure it is, of each item


@dataclass(frozen=True)
class Task:
    """Items whose columns are hidden.

    Parameters
    ----------
    name
        Of the data.
    items
        Column `words`, which hold none of the hidden values, and the hidden ones.
    hidden
        Their names.
    labelled, validation, test
        Rows, all of different groups: no two parts share a product's words.
    """

    name: str
    items: pl.DataFrame
    hidden: tuple[str, ...]
    labelled: I64
    validation: I64
    test: I64

    def words(self, rows: I64) -> list[str]:
        return self.items["words"][rows.tolist()].to_list()

    def truth(self, name: str, rows: I64) -> list[str]:
        return self.items[name][rows.tolist()].to_list()


def main() -> None:
    """Print one row a field and method, then one a way to see a session."""
    CACHE.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark("enrichment", seed=SEED)
    rows: list[dict[str, Any]] = []
    for task in [hm()] * HM.is_file() + [complete_journey()]:
        rows += measure(task)
    rows += sizes()
    sessions = enrichment_intent.measure(CACHE, seed=SEED, threads=THREADS)
    Benchmark("enrichment-sessions", seed=SEED).finish(sessions)
    benchmark.finish(rows, sessions=sessions, examples=list(EXAMPLES))


def hm() -> Task:
    """Articles by name and description; those of a product in several colours stay in one part."""
    articles = pl.read_csv(HM, infer_schema_length=0)
    hidden = {
        "product_type_name": "type",
        "garment_group_name": "garment_group",
        "index_name": "section",
        "graphical_appearance_name": "pattern",
        "colour_group_name": "colour",
    }
    words = pl.concat_str("prod_name", "detail_desc", separator=". ", ignore_nulls=True)
    items = articles.select(pl.col("product_code").alias("group"), words.alias("words"), *(pl.col(a).alias(b) for a, b in hidden.items()))
    return split("H&M", items, tuple(hidden.values()))


def complete_journey() -> Task:
    """Products by type and package: category, department and brand are hidden. Products of one type stay in one part."""
    products = pl.read_parquet(data_folder() / "products.parquet").drop_nulls(["product_type", "product_category", "department"])
    kind, size = (readable(products[name]) for name in ("product_type", "package_size"))
    items = products.select(
        pl.col("product_type").alias("group"),
        pl.concat_str(kind, size, separator=", ", ignore_nulls=True).alias("words"),
        pl.col("product_category").alias("category"),
        pl.col("department"),
        pl.col("brand").alias("label"),
    )
    return split("Complete Journey", items.drop_nulls("words"), ("category", "department", "label"))


def split(name: str, items: pl.DataFrame, hidden: tuple[str, ...]) -> Task:
    """A fifth of the groups for the test, a tenth to choose on, one item a group; the rest is labelled."""
    share = items["group"].map_elements(lambda group: int(hashlib.sha1(group.encode()).hexdigest()[:8], 16) / 2**32, pl.Float64)
    order = np.random.default_rng(SEED).permutation(items.height)
    one_each = order[np.unique(items["group"][order.tolist()].to_numpy(), return_index=True)[1]]
    one_each = order[np.isin(order, one_each)]
    places = share.to_numpy()
    return Task(
        name,
        items,
        hidden,
        order[places[order] >= 0.3][:LABELLED],
        one_each[(places[one_each] >= 0.2) & (places[one_each] < 0.3)][:VALIDATION],
        one_each[places[one_each] < 0.2][:TEST],
    )


def measure(task: Task) -> list[dict[str, Any]]:
    """All methods on all hidden columns."""
    print(f"{task.name}: {LEARNED:,} labelled, {len(task.validation)} to choose on, {len(task.test)} test items", flush=True)
    vectors = {part: embedded(task.words(rows), CACHE) for part, rows in parts(task).items()}
    with TemporaryDirectory() as nothing_known:
        embedded(["a first text, so that the model is loaded"], Path(nothing_known))
        begun = time.process_time()
        embedded(task.words(task.validation[:TIMED]), Path(nothing_known))
        embedding = (time.process_time() - begun) / TIMED
    asked = {shots: ask(task, shots) for shots in EXAMPLES}
    rows = []
    for name in task.hidden:
        known = task.truth(name, parts(task)["labelled"])
        methods: dict[str, tuple[Callable[[str], Scored], float]] = {
            "most frequent value": (lambda part, known=known: frequent(known, parts(task)[part]), 0.0),
            "rules: the value's own words": timed(lambda part, known=known: named(known, task.words(parts(task)[part]))),
            "rules: words learned from labelled items": timed(
                lambda part, known=known: learned(known, task.words(parts(task)["labelled"]), task.words(parts(task)[part]))
            ),
            "nearest labelled items": timed(lambda part, known=known: nearest(known, vectors["labelled"], vectors[part]), embedding),
            "linear classifier": timed(lambda part, known=known: linear(known, vectors["labelled"], vectors[part]), embedding),
        }
        for shots, (scored, seconds) in asked.items():
            methods[f"language model, {shots} examples"] = (lambda part, scored=scored, name=name: scored[part][name], seconds)
        for method, (answer, seconds) in methods.items():
            rows.append(
                {"method": f"{task.name}, {name}: {method}", "default": False} | judged(task, name, answer) | {"cpu_seconds": seconds}
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def parts(task: Task) -> dict[str, I64]:
    """Their rows; of the labelled ones those that rules and classifiers learn from."""
    return {"labelled": task.labelled[:LEARNED], "validation": task.validation, "test": task.test}


def timed(answer: Callable[[str], Scored], before: float = 0.0) -> tuple[Callable[[str], Scored], float]:
    """With the CPU seconds an item, measured on the validation items; what is fitted once counts with them."""
    begun = time.process_time()
    scored = answer("validation")
    return answer, before + (time.process_time() - begun) / len(scored[0])


def judged(task: Task, name: str, answer: Callable[[str], Scored]) -> dict[str, Any]:
    """Of all answers, and of those that are surer than what is right four times of five on the validation items."""
    truth, (said, sure) = task.truth(name, task.test), answer("test")
    right = np.array([bool(one) and one == other for one, other in zip(said, truth, strict=True)])
    given = np.array([bool(one) for one in said])
    bar = usable_from(answer("validation"), task.truth(name, task.validation))
    taken = given & (sure >= bar)
    return {
        "precision": float(right.sum() / max(given.sum(), 1)),
        "recall": float(right.mean()),
        "usable_precision": float(right[taken].mean()) if taken.any() else None,
        "usable_recall": float((right & taken).mean()),
    }


def usable_from(scored: Scored, truth: Sequence[str]) -> float:
    """The lowest sureness from which on at least `USABLE` of ten or more answers are right; infinite where there is none."""
    said, sure = scored
    right = np.array([bool(one) and one == other for one, other in zip(said, truth, strict=True)])
    given = np.array([bool(one) for one in said])
    for bar in np.unique(sure[given]):
        taken = given & (sure >= bar)
        if taken.sum() >= 10 and right[taken].mean() >= USABLE:
            return float(bar)
    return float("inf")


def frequent(known: list[str], rows: I64) -> Scored:
    """What most labelled items have."""
    ((value, _),) = Counter(known).most_common(1)
    return [value] * len(rows), np.ones(len(rows))


def named(known: list[str], words: list[str]) -> Scored:
    """The value whose words all stand in the text, the one with most letters; silent where there is none."""
    values = {value: tokens(value) for value in sorted(set(known))}
    said = []
    for text in words:
        there = tokens(text)
        found = [value for value, own in values.items() if own and own <= there]
        said.append(max(found, key=len, default=""))
    return said, np.ones(len(words))


def learned(known: list[str], labelled: list[str], words: list[str]) -> Scored:
    """The value that goes most surely with one or two words in a row of the text, on at least five labelled items."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for value, text in zip(known, labelled, strict=True):
        for gram in grams(text):
            seen[gram][value] += 1
    rules = {}
    for gram, values in seen.items():
        ((value, times),) = values.most_common(1)
        if values.total() >= 5:
            rules[gram] = (times / (values.total() + 1), value)
    best = [max((rules[gram] for gram in grams(text) if gram in rules), default=(0.0, "")) for text in words]
    return [value for _, value in best], np.array([sure for sure, _ in best])


def nearest(known: list[str], labelled: F32, vectors: F32, k: int = 5) -> Scored:
    """What the five most alike labelled items say, weighed by likeness."""
    likeness = vectors @ labelled.T
    said, sure = [], []
    for row in likeness:
        votes: dict[str, float] = defaultdict(float)
        for place in np.argpartition(-row, k)[:k]:
            votes[known[place]] += float(row[place])
        value = max(votes, key=votes.__getitem__)
        said.append(value)
        sure.append(votes[value] / k)
    return said, np.array(sure)


def linear(known: list[str], labelled: F32, vectors: F32) -> Scored:
    """Logistic regression."""
    model = fitted(tuple(known), labelled)
    shares = model.predict_proba(vectors)
    return [str(model.classes_[best]) for best in shares.argmax(axis=1)], shares.max(axis=1)


_FITTED: dict[tuple[str, ...], LogisticRegression] = {}


def fitted(known: tuple[str, ...], labelled: F32) -> LogisticRegression:
    """Fitted once a column."""
    if known not in _FITTED:
        _FITTED[known] = LogisticRegression(C=10, max_iter=300).fit(labelled, known)
    return _FITTED[known]


def ask(task: Task, shots: int) -> tuple[dict[str, dict[str, Scored]], float]:
    """The language model's answers by part and column, and its CPU seconds an item."""
    labelled = task.items[task.labelled.tolist()]
    shown = labelled.unique("group", maintain_order=True).head(shots)
    examples = tuple(
        EnrichedExample(words=row["words"], values={name: row[name] for name in task.hidden}) for row in shown.iter_rows(named=True)
    )
    config = Enrichment(fields={name: EnrichedField(kind="one") for name in task.hidden}, examples=examples, letters=300)
    frequent_enough = {name: labelled.group_by(name).len().filter(pl.col("len") >= 5)[name] for name in task.hidden}
    common = [each for each in examples if all(each.values[name] in frequent_enough[name] for name in task.hidden)]
    schema = Schema.learned(config.model_copy(update={"examples": tuple(common)}), labelled)
    depends_on = json.dumps([task.name, task.words(task.test), schema.digest, [words for words, _ in schema.examples]])
    path = CACHE / f"{hashlib.sha256(depends_on.encode()).hexdigest()[:16]}.json"
    model = Local(LocalModel(), schema, CACHE / "models", threads=THREADS)
    if not path.exists():
        said = {
            part: [best(model.shares(clean(words, config.letters))[0], schema) for words in task.words(parts(task)[part])]
            for part in ("validation", "test")
        }
        path.write_text(json.dumps(said), encoding="utf-8")
    begun = time.process_time()
    for words in task.words(task.validation[:TIMED]):
        model.shares(clean(words, config.letters))
    seconds = (time.process_time() - begun) / TIMED
    scored = {
        part: {name: ([one[name][0] for one in said], np.array([one[name][1] for one in said])) for name in task.hidden}
        for part, said in json.loads(path.read_text(encoding="utf-8")).items()
    }
    return scored, seconds


def best(shares: dict[str, F64], schema: Schema) -> dict[str, tuple[str, float]]:
    """Each field's most probable option and its probability."""
    return {name: (schema.fields[name].options[int(share.argmax())], float(share.max())) for name, share in shares.items()}


def sizes() -> list[dict[str, Any]]:
    """Package sizes hidden as a column, quoted from titles that hold them: what the default pattern finds first."""
    products = pl.read_parquet(data_folder() / "products.parquet").drop_nulls(["package_size", "product_type"]).sample(2_000, seed=SEED)
    said = products.select(pl.concat_str("product_type", "product_category", "package_size", separator=", ", ignore_nulls=True)).to_series()
    pattern = Enrichment().fields["size"].pattern
    found = [re.findall(pattern, text) for text in said]
    right = [
        bool(each) and each[0].replace(" ", "") in size.replace(" ", "") for each, size in zip(found, products["package_size"], strict=True)
    ]
    several = sum(len(set(each)) > 1 for each in found)
    given = sum(map(bool, found))
    return [
        {
            "method": f"Complete Journey, size: the default pattern ({several} of 2,000 titles leave a choice)",
            "default": False,
            "precision": sum(right) / given,
            "recall": sum(right) / len(found),
        }
    ]


def embedded(words: list[str], cache: Path) -> F32:
    """Unit vectors of MiniLM."""
    return sentences.embed(words, TextEmbedding(), cache=cache, threads=THREADS)


def tokens(text: str) -> set[str]:
    """Small words without their plural."""
    return {word.rstrip("s") for word in re.findall(r"[a-z]{2,}", text.lower())}


def grams(text: str) -> set[str]:
    """Its words, and each two in a row."""
    words = re.findall(r"[a-z]{2,}", text.lower())
    return {*words, *(" ".join(pair) for pair in pairwise(words))}


if __name__ == "__main__":
    main()
