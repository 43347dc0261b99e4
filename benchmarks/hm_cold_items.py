"""Products that nobody bought yet, found by what they say and show: a tenth of the H&M sample's articles kept out of all learning.

`make bench NAME=hm-cold-items`; the sample has to lie in `../shared/data/hm-sample`. With `BUCKET=1` before it another tenth is kept out
and judged, and the first one is left out altogether: where settings are chosen.
"""

import hashlib
import os
import sys
import time
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.harness import OUT, ROOT, Benchmark
from cortex_rec import columns
from cortex_rec.arrays import F32, F64, I64, NO_ROW, Ragged, pointers, ranges
from cortex_rec.config import Config, HMSource, load_config
from cortex_rec.embeddings import fusion_training, images, text
from cortex_rec.embeddings.content import Content, words
from cortex_rec.embeddings.placed import Placed
from cortex_rec.encoding import encode
from cortex_rec.evaluation.metrics import per_user
from cortex_rec.evaluation.significance import intervals
from cortex_rec.histories import Histories
from cortex_rec.queries import ask
from cortex_rec.retrieval.arrivals import Arrivals
from cortex_rec.retrieval.likeness import likeness
from cortex_rec.sources import hm

DATA: Final = ROOT.parent / "shared" / "data" / "hm-sample"
TEST, VALIDATION, BUCKETS = 0, 1, 10
K: Final = 20
SEED: Final = 7
#: What the networks of the table read.
PARTS: Final = (("text", "image", "attributes"), ("text", "attributes"), ("text", "image"), ("text",))


@dataclass(frozen=True)
class Protocol:
    """Who has to find what.

    Parameters
    ----------
    content
        All articles.
    learned
        The purchases of warm articles.
    users
        Rows of those who bought warm and cold articles.
    history, truth
        Their warm articles, and the positions of their cold ones in `cold`.
    cold
        (k,) rows of the articles that are ranked, all of them for everybody.
    """

    content: Content
    learned: Histories
    users: I64
    history: Ragged
    truth: Ragged
    cold: I64

    def metrics(self, scores: F32) -> dict[str, F64]:
        """`recall@20` and `ndcg@20` of each user, from scores (n_users, k)."""
        top = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        return self.judged(Ragged(np.arange(len(top) + 1) * K, top.ravel().astype(np.int32)))

    def judged(self, ranked: Ragged) -> dict[str, F64]:
        """The same of each user's list of positions in `cold`."""
        found = per_user(ranked, self.truth, [K])
        return {name: found[name] for name in (f"recall@{K}", f"ndcg@{K}")}

    def among(self, columns: I64) -> tuple[I64, "Protocol"]:
        """With fewer cold articles, by position: the users that bought one of them, and what they have to find."""
        place = np.full(len(self.cold), NO_ROW)
        place[columns] = np.arange(len(columns))
        moved = place[self.truth.item]
        users, owner = np.unique(self.truth.owner[moved >= 0], return_inverse=True)
        entries = ranges(self.history.pointer[users], np.diff(self.history.pointer)[users])
        history = Ragged(pointers(np.diff(self.history.pointer)[users]), self.history.item[entries])
        truth = Ragged.from_owner(owner, moved[moved >= 0], len(users))
        return users, replace(self, users=self.users[users], history=history, truth=truth, cold=self.cold[columns])


def main() -> None:
    """Print one row a way to place the articles."""
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: this benchmark reads a sample of H&M's articles, purchases and pictures from that folder.")
    benchmark = Benchmark("hm-cold-items", seed=SEED)
    config = load_config(ROOT / "configs" / "hm.yaml")
    bucket = int(os.environ.get("BUCKET", TEST))
    protocol = prepare(config, bucket)
    print(f"{len(protocol.truth):,} users, {len(protocol.truth.item):,} purchases of {len(protocol.cold):,} cold articles", flush=True)
    rows = unlearned(protocol)
    print("\n".join(f"{each['method']}: {each[f'recall@{K}']['value']:.4f} {each[f'ndcg@{K}']['value']:.4f}" for each in rows), flush=True)
    scores: dict[tuple[str, ...], F32] = {}
    for parts in PARTS:
        begun, spent, content = time.perf_counter(), time.process_time(), only(protocol.content, parts)
        fusion = fusion_training.fit(content, protocol.learned, config.embeddings.fusion, seed=SEED, threads=config.threads)
        seconds = {"seconds": round(time.perf_counter() - begun), "cpu_seconds": round(time.process_time() - spent)}
        placed, name = fusion.place(content), f"fusion of {', '.join(parts)}"
        scores[parts] = soft_match(protocol, placed.vectors)
        rows.append(row(protocol, f"{name}: mean of history", matched(protocol, placed.vectors, best=False), **seconds))
        rows.append(row(protocol, f"{name}: soft best match", scores[parts]))
        scores[parts] += placed.appeal[protocol.cold]
        rows.append(row(protocol, f"{name}: soft best match and appeal", scores[parts]) | {"default": parts == PARTS[0]})
        if parts == PARTS[0]:
            rows.append(retrieved(protocol, placed, config))
        print(f"{name}: {rows[-1]}", flush=True)
    benchmark.finish(rows + pictured(protocol, scores), bucket=bucket)


def prepare(config: Config, bucket: int) -> Protocol:
    """Read, split and embed."""
    assert isinstance(config.source, HMSource)
    dataset = hm.read(config.source, config.windows)
    hashed = pl.col(columns.ITEM).map_elements(lambda item: int(hashlib.sha1(item.encode()).hexdigest()[:8], 16), return_dtype=pl.Int64)
    buckets = dataset.items.select(columns.ITEM, bucket=hashed % BUCKETS)
    bought = dataset.interactions.join(buckets, on=columns.ITEM, maintain_order="left")
    if bucket != TEST:
        bought = bought.filter(pl.col("bucket") != TEST)
    warm = encode(replace(dataset, interactions=bought.filter(pl.col("bucket") != bucket).drop("bucket")))
    cold = warm.items.rows(buckets.filter(pl.col("bucket") == bucket)[columns.ITEM].sort()).astype(np.int64)
    truth = bought.filter(pl.col("bucket") == bucket).select(columns.USER, columns.ITEM).unique()
    truth = truth.filter(pl.col(columns.USER).is_in(warm.users.ids.implode())).sort(columns.USER, columns.ITEM)
    owner, wanted = warm.users.rows(truth[columns.USER]), np.searchsorted(cold, warm.items.rows(truth[columns.ITEM])).astype(np.int32)
    users, own = np.unique(owner, return_inverse=True)
    mine = warm.histories.take(users)
    pairs = np.unique(np.stack([mine.owner, mine.item]), axis=1)
    cache = OUT / "hm-cold-items"
    said = text.embed(words(warm.catalogue), config.embeddings.text, cache=cache, threads=config.threads)
    shown = images.embed(warm.catalogue.images, config.embeddings.image, cache=cache, threads=config.threads).vectors
    return Protocol(
        Content.of(said, shown, warm.catalogue),
        warm.histories,
        users,
        Ragged.from_owner(pairs[0], pairs[1], len(users)),
        Ragged.from_owner(own, wanted, len(users)),
        cold,
    )


def unlearned(protocol: Protocol) -> list[dict[str, Any]]:
    """Chance, and what the vectors of words and pictures find as they are."""
    chance = np.random.default_rng(SEED).random((len(protocol.truth), len(protocol.cold)), np.float32)
    said, shown = protocol.content.text, whitened(protocol.content.image)
    both: F32 = (np.concatenate([said, shown], axis=1) / 2**0.5).astype(np.float32)
    rows = [row(protocol, "random", chance)]
    for name, vectors in (("text", said), ("image, whitened", shown), ("text and image side by side", both)):
        rows.append(row(protocol, f"{name}: mean of history", matched(protocol, vectors, best=False)))
        rows.append(row(protocol, f"{name}: best match", matched(protocol, vectors, best=True)))
    return rows


def whitened(vectors: F32, dimensions: int = 128) -> F32:
    """Principal components of the pictures, of equal spread and at unit length; zeros stay zeros."""
    there = vectors.any(axis=1)
    centred = vectors[there] - vectors[there].mean(axis=0)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    known = centred @ (axes[:, -dimensions:] / np.sqrt(variance[-dimensions:]))
    result = np.zeros((len(vectors), dimensions), np.float32)
    result[there] = known / np.linalg.norm(known, axis=1, keepdims=True)
    return result


def matched(protocol: Protocol, vectors: F32, *, best: bool) -> F32:
    """(n_users, k) cosine of each cold article and the mean of the history, or that item of it which is nearest."""
    history, candidates = protocol.history, vectors[protocol.cold].T
    if best:
        return np.stack([(vectors[history[user]] @ candidates).max(axis=0) for user in range(len(history))])
    means = np.stack([vectors[history[user]].mean(axis=0) for user in range(len(history))])
    length = np.linalg.norm(means, axis=1, keepdims=True)
    result: F32 = np.divide(means, length, out=np.zeros_like(means), where=length > 0) @ candidates
    return result


def soft_match(protocol: Protocol, vectors: F32) -> F32:
    """(n_users, k) likeness of each cold article to the history, all of whose articles count the same."""
    history, candidates = protocol.history, vectors[protocol.cold]
    shares = [np.full(len(history[user]), 1 / len(history[user]), np.float32) for user in range(len(history))]
    return np.stack([likeness(vectors[history[user]], share, candidates) for user, share in enumerate(shares)])


def retrieved(protocol: Protocol, placed: Placed, config: Config) -> dict[str, Any]:
    """What a shop with these articles as its new ones is served: the latest purchases count most, and an index chooses whom to match."""
    histories = protocol.learned
    queries = ask(histories, protocol.users.astype(np.int32), int(histories.time.max()) + 1, len(protocol.content))
    lists = Arrivals(placed, protocol.cold, config.retrieval.arrivals.half_life_days).retrieve(queries, K)
    found = protocol.judged(Ragged(lists.pointer, np.searchsorted(protocol.cold, lists.item).astype(np.int32)))
    return line("the retriever `arrivals`", found)


def only(content: Content, parts: tuple[str, ...]) -> Content:
    """As if the shop had nothing else."""
    return Content(
        content.text if "text" in parts else content.text[:, :0],
        content.image if "image" in parts else content.image[:, :0],
        content.attributes if "attributes" in parts else {},
    )


def row(protocol: Protocol, method: str, scores: F32, **more: Any) -> dict[str, Any]:
    """One line of the table, with 95 % intervals over users."""
    return line(method, protocol.metrics(scores), **more)


def line(method: str, found: dict[str, F64], **more: Any) -> dict[str, Any]:
    """The same of figures by user."""
    sure = intervals(found, samples=1_000, seed=SEED)
    figures = {name: {"value": float(values.mean()), "low": sure[name][0], "high": sure[name][1]} for name, values in found.items()}
    return {"method": method, "default": False} | figures | more


def pictured(protocol: Protocol, scores: dict[tuple[str, ...], F32]) -> list[dict[str, Any]]:
    """What the picture adds where there is one: only the cold articles with a photo are ranked and wanted; paired intervals."""
    columns_with = np.flatnonzero(protocol.content.image[protocol.cold].any(axis=1))
    users, fewer = protocol.among(columns_with)
    found = {parts: fewer.metrics(each[users][:, columns_with]) for parts, each in scores.items()}
    rows = []
    for without, with_image in (PARTS[1], PARTS[0]), (PARTS[3], PARTS[2]):
        gain = {name: found[with_image][name] - found[without][name] for name in found[without]}
        sure = intervals(gain, samples=2_000, seed=SEED)
        figures = {name: {"value": float(each.mean()), "low": sure[name][0], "high": sure[name][1]} for name, each in gain.items()}
        rows.append({"method": f"what the picture adds to {' and '.join(without)}", "default": False} | figures)
    return rows


if __name__ == "__main__":
    main()
