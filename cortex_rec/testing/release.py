"""A whole small release of the made-up shop in a few seconds: for tests of whatever serves, stores or reads one."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from cortex_rec import snapshot, splits
from cortex_rec.config import CompleteJourneySource, Config, Evaluation, Graph, LambdaRank, Ranking, Retrieval, Windows
from cortex_rec.dataset import Dataset
from cortex_rec.embeddings.content import Content
from cortex_rec.encoding import encode
from cortex_rec.evaluation import catalogue_page
from cortex_rec.evaluation.evaluate import evaluate
from cortex_rec.evaluation.judge import explain, judge, shorten
from cortex_rec.evaluation.report import render
from cortex_rec.monitoring import reference
from cortex_rec.monitoring.reference import Reference
from cortex_rec.ranking import rankers, training
from cortex_rec.recommender import Recommender
from cortex_rec.releases import channels, store
from cortex_rec.releases.manifest import Contents, DataWindow, Feature
from cortex_rec.releases.store import Release
from cortex_rec.testing.evidence import unit_vectors
from cortex_rec.testing.fusion import small_fusion
from cortex_rec.testing.shop import small_shop

CONFIG: Final = Config(
    name="small-shop",
    threads=1,
    source=CompleteJourneySource(),
    windows=Windows(training=1),
    retrieval=Retrieval(graph=Graph(dimensions=8, steps=3, refresh_steps=1, batch_size=256, negatives=32)),
    ranking=Ranking(lambdarank=LambdaRank(trees=10, leaves=7, min_rows_in_leaf=5)),
    evaluation=Evaluation(bootstrap_samples=20),
)


def small_release(root: Path, *, seed: int = 0, shop: Dataset | None = None) -> Release:
    """Learn from a shop, judge its last week, publish, and put it into production.

    Parameters
    ----------
    root
        The folder of releases; made when absent.
    seed
        Of the shop, of the vectors of words and pictures, which are random, and of the network that places the items.
    shop
        `small_shop(seed)` when absent; what is learned from that one is kept, and only published again.
    """
    write, contents = _small_shop_learned(seed) if shop is None else _learned(shop, seed)
    made = store.publish(root, write, contents, {"seconds": {}, "peak_rss_mb": 0})
    channels.promote(root, made.id, by="small_release", why="made for a test", at=datetime.now(UTC))
    return made


@cache
def _small_shop_learned(seed: int) -> tuple[Callable[[Path], None], Contents]:
    return _learned(small_shop(seed), seed)


def _learned(shop: Dataset, seed: int) -> tuple[Callable[[Path], None], Contents]:
    """What writes a release's files into a folder, and what its manifest says."""
    config = CONFIG.model_copy(update={"seed": seed})
    data = encode(shop)
    fusion = small_fusion(data.catalogue, seed=seed)
    text, image = (unit_vectors(len(data.items), width, seed=seed) for width in (fusion.text_width, fusion.image_width))
    shown = Content.of(text, image, data.catalogue)
    content = fusion.place(shown)
    (window,), test = splits.windows(config.windows, data.histories)

    at_window = snapshot.fit(data, content, config, as_of=window.start)
    ranker = rankers.fit([training.build(at_window, data, window, config)], config)
    at_test = snapshot.fit(data, content, config, as_of=test.start, start=at_window)
    recommender = Recommender(data, at_test, ranker)
    influence, shortened = explain(recommender, test, seed=seed), shorten(recommender, test, seed=seed, users=10)
    metrics = evaluate(judge(recommender, test), config.evaluation, seed=seed, influence=influence, shortened=shortened)
    at_end = snapshot.fit(data, content, config, as_of=test.end, start=at_test)
    monitored = config.monitoring
    windows = [(Recommender(data, at_window, ranker), window), (recommender, test)]
    kept = Reference(
        reference.of_purchases(data, at_end.content, as_of=test.end, weeks=monitored.weeks),
        reference.of_answers(windows, users=monitored.users, seed=seed),
    )
    pages = {
        "report.html": render(metrics, {"name": config.name}, catalogue="catalogue.html"),
        "catalogue.html": catalogue_page.render(data.catalogue, data.items.ids.to_list(), shown, content.vectors, seed=seed),
    }

    def write(folder: Path) -> None:
        for name in ("encoded", "snapshot", "ranker", "fusion", "report", reference.FOLDER):
            (folder / name).mkdir()
        data.save(folder / "encoded")
        at_end.save(folder / "snapshot")
        ranker.save(folder / "ranker")
        fusion.save(folder / "fusion")
        kept.save(folder / reference.FOLDER)
        (folder / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
        (folder / "report" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        for name, page in pages.items():
            (folder / "report" / name).write_text(page, encoding="utf-8")

    time = data.histories.time
    first, last, end = (datetime.fromtimestamp(int(moment), UTC).replace(tzinfo=None) for moment in (time.min(), time.max(), test.end))
    contents = Contents(
        name=config.name,
        data=DataWindow(as_of=end, first=first, last=last, interactions=len(time), users=len(data.users), items=len(data.items)),
        config=config.model_dump(mode="json", exclude={"workspace", "releases"}),
        features=tuple(Feature(name=name, dtype="float32") for name in ranker.features),
        metrics=metrics,
        libraries={},
    )
    return write, contents
