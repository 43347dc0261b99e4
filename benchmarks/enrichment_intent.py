"""Short sessions: the first one, two or three products of a basket have to find the rest of it, by words alone. Part of `enrichment`.

A session is seen as the mean of its products' vectors of words, in other ways that cost nothing, or as the vector of a sentence that the
language model says of it.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch

from benchmarks.harness import CONFIG, END_OF_53
from cortex_rec import columns
from cortex_rec.arrays import F32, I64, Ragged
from cortex_rec.config import TextEmbedding, load_config
from cortex_rec.embeddings import text as sentences
from cortex_rec.enrichment import gemma
from cortex_rec.evaluation.metrics import per_user
from cortex_rec.evaluation.significance import intervals
from cortex_rec.retrieval.likeness import likeness
from cortex_rec.sources import complete_journey

BASKETS, CHOSEN_ON, LENGTHS, K = 700, 100, (1, 2, 3), 20
#: A product takes part when it was bought so often before.
SALES: Final = 20
MOST_TOKENS: Final = 16
#: Of the sentence's vector in the sum with the mean; share and prompt are chosen on the validation baskets.
SHARES: Final = (0.2, 0.4, 0.6, 1.0)
PROMPTS: Final = {
    "purpose": (
        "What is in a shopping basket, and what the customer wants.\n\n"
        "Basket: spaghetti, 16 oz; ground beef\nWants: to cook pasta with meat sauce for dinner\n\n"
        "Basket: newborn diapers\nWants: to care for a baby\n\n"
        "Basket: charcoal; hamburger buns; ketchup, 20 oz\nWants: to grill burgers outside with friends\n\n"
    ),
    "next": (
        "What is in a shopping basket, and what the customer takes next.\n\n"
        "Basket: spaghetti, 16 oz; ground beef\nNext: tomato sauce, parmesan cheese, garlic bread\n\n"
        "Basket: newborn diapers\nNext: baby wipes, baby food, infant formula\n\n"
        "Basket: charcoal; hamburger buns; ketchup, 20 oz\nNext: ground beef, sliced cheese, potato chips\n\n"
    ),
}
_ANSWER: Final = {"purpose": "\nWants:", "next": "\nNext:"}


@dataclass(frozen=True)
class Sessions:
    """Baskets of one time, each with the beginnings that are asked for.

    Parameters
    ----------
    first
        Of each session, its products: one, two or three rows of the candidates.
    rest
        What else is in the basket.
    """

    first: list[I64]
    rest: Ragged


def measure(cache: Path, *, seed: int, threads: int) -> list[dict[str, Any]]:
    """One row a way to see a session: `recall@20` and `ndcg@20` with 95 % intervals over sessions."""
    items, bought, (chosen_on, test) = prepare(seed)
    titles = items[columns.TITLE].fill_null("").to_list()
    print(f"{len(test.first):,} sessions of {BASKETS} baskets, {len(titles):,} candidates", flush=True)
    vectors = sentences.embed(titles, TextEmbedding(), cache=cache, threads=threads)
    plain, found = means(vectors, test), Found(test)
    found.add("mean of the items' vectors", plain @ vectors.T)
    found.add("best match", np.stack([(vectors[own] @ vectors.T).max(axis=0) for own in test.first]))
    found.add("soft best match", np.stack([likeness(vectors[own], even(own), vectors) for own in test.first]))
    apart = uncommon(vectors)
    found.add("mean, without the directions that all items share", means(apart, test) @ apart.T)
    joined = sentences.embed(["; ".join(titles[item] for item in own) for own in test.first], TextEmbedding(), cache=cache, threads=threads)
    found.add("the titles as one text", joined @ vectors.T)
    before, tried = means(vectors, chosen_on), Found(chosen_on)
    print(f"validation, mean alone: {tried.of(before @ vectors.T)[0]:.4f}", flush=True)
    shares = {}
    for name in PROMPTS:
        said, _ = speak([[titles[item] for item in own] for own in chosen_on.first], name, cache, threads)
        spoken = sentences.embed(said, TextEmbedding(), cache=cache, threads=threads)
        for share in SHARES:
            shares[name, share] = tried.of(mixed(before, spoken, share) @ vectors.T)[0]
    print("validation", {f"{name} {share}": round(recall, 4) for (name, share), recall in shares.items()}, flush=True)
    name, share = max(shares, key=shares.__getitem__)
    said, seconds = speak([[titles[item] for item in own] for own in test.first], name, cache, threads)
    spoken = sentences.embed(said, TextEmbedding(), cache=cache, threads=threads)
    found.add(f"the model's sentence ({name})", spoken @ vectors.T, cpu_seconds=seconds)
    found.add(f"mean and {share:.0%} of the model's sentence ({name})", mixed(plain, spoken, share) @ vectors.T, cpu_seconds=seconds)
    sold = np.asarray(bought.sum(axis=0)).ravel()
    found.add("for comparison: best sellers", np.repeat(np.float32(sold)[None], len(test.first), axis=0))
    together = np.asarray((bought.T @ bought).todense()) / np.sqrt(np.outer(sold, sold))
    found.add("for comparison: bought together", np.stack([together[own].sum(axis=0) for own in test.first]).astype(np.float32))
    return found.rows


def prepare(seed: int) -> tuple[pl.DataFrame, sp.csr_matrix, tuple[Sessions, Sessions]]:
    """The candidates, earlier baskets as a matrix, and the sessions of the year's last two pairs of weeks."""
    config = load_config(CONFIG)
    dataset = complete_journey.read(config.source, config.windows)  # type: ignore[arg-type]
    bought = dataset.interactions.select(columns.USER, columns.BASKET, columns.ITEM, columns.TIMESTAMP).unique(
        [columns.BASKET, columns.ITEM]
    )
    starts = [END_OF_53 - timedelta(weeks=weeks) for weeks in (4, 2, 0)]
    before = bought.filter(pl.col(columns.TIMESTAMP) < starts[0])
    items = before.group_by(columns.ITEM).len().filter(pl.col("len") >= SALES).join(dataset.items, on=columns.ITEM).sort(columns.ITEM)
    row = items.select(columns.ITEM).with_row_index("row")
    known = before.join(row, on=columns.ITEM).with_columns(place=pl.col(columns.BASKET).rank("dense").cast(pl.Int64) - 1)
    shape = (int(known["place"].max()) + 1, items.height)  # type: ignore[arg-type]
    matrix = sp.csr_matrix((np.ones(known.height, np.float32), (known["place"], known["row"])), shape=shape)
    parts = []
    for start, end, size in zip(starts[:2], starts[1:], (CHOSEN_ON, BASKETS), strict=True):
        of_time = bought.filter(pl.col(columns.TIMESTAMP).is_between(start, end, closed="left")).join(row, on=columns.ITEM)
        parts.append(beginnings(of_time, size, seed))
    return items, matrix, (parts[0], parts[1])


def beginnings(bought: pl.DataFrame, size: int, seed: int) -> Sessions:
    """One basket of at least six products a household; the order of its products is drawn, as none is recorded."""
    random = np.random.default_rng(seed)
    baskets = bought.sort(columns.BASKET, "row").group_by(columns.USER, columns.BASKET, maintain_order=True).agg("row")
    baskets = baskets.filter(pl.col("row").list.len() >= 6).unique(columns.USER, keep="first", maintain_order=True)
    drawn = [random.permutation(own) for own in baskets.sort(columns.USER)["row"].to_list()]
    drawn = [drawn[place].astype(np.int64) for place in random.permutation(len(drawn))[:size]]
    first = [own[:length] for own in drawn for length in LENGTHS]
    rest = [own[length:] for own in drawn for length in LENGTHS]
    owner = np.repeat(np.arange(len(rest)), [len(own) for own in rest])
    return Sessions(first, Ragged.from_owner(owner, np.concatenate(rest).astype(np.int32), len(rest)))


class Found:
    """Collects the rows of the table."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions, self.rows = sessions, list[dict[str, Any]]()

    def of(self, scores: F32) -> tuple[float, dict[str, Any]]:
        """Mean Recall@20, and each session's figures; what a session has is not looked for."""
        scores = scores.copy()
        for session, own in enumerate(self.sessions.first):
            scores[session, own] = -np.inf
        top = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        figures = per_user(Ragged(np.arange(len(top) + 1) * K, top.ravel().astype(np.int32)), self.sessions.rest, [K])
        return float(figures[f"recall@{K}"].mean()), figures

    def add(self, method: str, scores: F32, **more: Any) -> None:
        """One more row, and Recall@20 by the number of products that the session has."""
        _, figures = self.of(scores)
        kept = {name: figures[name] for name in (f"recall@{K}", f"ndcg@{K}")}
        sure = intervals(kept, samples=1_000, seed=7)
        row = {name: {"value": float(each.mean()), "low": sure[name][0], "high": sure[name][1]} for name, each in kept.items()}
        lengths = np.array([len(own) for own in self.sessions.first])
        by_length = {f"of {length}": float(figures[f"recall@{K}"][lengths == length].mean()) for length in LENGTHS}
        self.rows.append({"method": method, "default": False} | row | by_length | more)
        print(json.dumps(self.rows[-1]), flush=True)


def even(own: I64) -> F32:
    """Each of a session's products counts the same."""
    return np.full(len(own), 1 / len(own), np.float32)


def means(vectors: F32, sessions: Sessions) -> F32:
    """(n, d) unit vectors: the mean of each session's products."""
    return unit(np.stack([vectors[own].mean(axis=0) for own in sessions.first]))


def mixed(mean: F32, spoken: F32, share: float) -> F32:
    """Both, the second to this share."""
    return unit((1 - share) * mean + share * spoken)


def unit(vectors: F32) -> F32:
    """At length one."""
    result: F32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return result


def uncommon(vectors: F32, directions: int = 8) -> F32:
    """Without the mean and the first principal components (Mu & Viswanath 2018, All-but-the-Top, arXiv:1702.01417)."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    shared = axes[:, -directions:]
    return unit(centred - centred @ shared @ shared.T)


def speak(baskets: Sequence[Sequence[str]], prompt: str, cache: Path, threads: int) -> tuple[list[str], float]:
    """What the model says of each basket, and its CPU seconds a basket; each different one is asked about once."""
    texts = ["; ".join(basket) for basket in baskets]
    different = sorted(set(texts), key=lambda text: (len(text), text))
    path = cache / f"intent-{hashlib.sha256(json.dumps([PROMPTS[prompt], different]).encode()).hexdigest()[:16]}.json"
    if not path.exists():
        speaker, begun = Speaker(cache / "models", PROMPTS[prompt], threads), time.process_time()
        said: list[str] = []
        for start in range(0, len(different), 16):
            batch = [f"Basket: {text}{_ANSWER[prompt]}" for text in different[start : start + 16]]
            said += speaker.lines(batch)
        seconds = (time.process_time() - begun) / len(different)
        path.write_text(json.dumps({"seconds": seconds, "said": dict(zip(different, said, strict=True))}, indent=1), encoding="utf-8")
    kept = json.loads(path.read_text(encoding="utf-8"))
    return [kept["said"][text].split("\n")[0] for text in texts], kept["seconds"]


class Speaker:
    """The packaged model, writing the most probable next words to the end of a line."""

    def __init__(self, folder: Path, before: str, threads: int) -> None:
        place = str(gemma.unpacked(folder))
        from transformers import AutoTokenizer, Gemma3ForCausalLM

        torch.set_num_threads(threads)
        self.tokenizer = AutoTokenizer.from_pretrained(place)
        model = Gemma3ForCausalLM.from_pretrained(place, dtype=torch.bfloat16).eval()
        self.model, self.vocabulary = model.model, model.get_input_embeddings().weight
        self.before = [self.tokenizer.bos_token_id, *self.tokens(before)]
        (self.end,) = self.tokens("\n")

    def tokens(self, text: str) -> list[int]:
        """Of words that go on."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @torch.inference_mode()
    def lines(self, texts: list[str]) -> list[str]:
        """How each text goes on."""
        from transformers import DynamicCache

        own = [self.tokens(text) for text in texts]
        width, cache = max(map(len, own)), DynamicCache()
        self.model(torch.tensor([self.before]), past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(own))
        given = torch.tensor([[self.tokenizer.pad_token_id] * (width - len(each)) + each for each in own])
        seen = torch.tensor([[1] * len(self.before) + [0] * (width - len(each)) + [1] * len(each) for each in own])
        said: list[torch.Tensor] = []
        done = torch.zeros(len(own), dtype=torch.bool)
        while len(said) < MOST_TOKENS and not done.all():
            positions = (seen.cumsum(1) - 1).clamp(min=0)[:, -given.shape[1] :]
            state = self.model(given, attention_mask=seen, position_ids=positions, past_key_values=cache, use_cache=True)
            following = (state.last_hidden_state[:, -1] @ self.vocabulary.T).argmax(dim=1)
            done |= torch.tensor(["\n" in self.tokenizer.decode([token]) for token in following.tolist()])
            said.append(torch.where(done, self.end, following))
            given = following[:, None]
            seen = torch.cat([seen, torch.ones(len(own), 1, dtype=seen.dtype)], dim=1)
        return [self.tokenizer.decode(row).split("\n")[0].strip() for row in torch.stack(said, dim=1).tolist()]
