"""What each kind of feature adds: LambdaRank without it, learned on weeks 44 and 45, judged on 46 to 48, before the test weeks.

Two weeks and one objective in place of the demo's six and two, so that fifteen rows take half an hour; all rows alike.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from benchmarks.harness import CONFIG, OUT, Benchmark, end_of
from cortex_rec.arrays import Ragged
from cortex_rec.config import Config, load_config
from cortex_rec.encoding import Encoded
from cortex_rec.evaluation.evaluate import judge_lists
from cortex_rec.evaluation.influence import group_of
from cortex_rec.features.assemble import Matrix, assemble
from cortex_rec.queries import ask
from cortex_rec.ranking import lambdarank
from cortex_rec.ranking.lambdarank import LambdaRank
from cortex_rec.ranking.training import TrainingLists
from cortex_rec.snapshot import Snapshot
from cortex_rec.splits import distinct, truth, windows
from flows.environment import prepare

LEARNED: Final = (44, 45)
JUDGED: Final = (46, 47, 48)
#: Users whose candidates are assembled at once.
BLOCK: Final = 250


@dataclass(frozen=True)
class Week:
    """Candidates and features of everybody who bought in a week, and what they bought."""

    matrices: list[Matrix]
    bought: Ragged
    before: Ragged

    def judge(self, ranker: LambdaRank, config: Config) -> dict[str, Any]:
        """The figures of a ranker."""
        order = []
        for matrix in self.matrices:
            item = matrix.lists.item
            order.append(item[np.lexsort((item, -ranker.score(matrix), matrix.lists.owner))])
        counts = np.concatenate([np.diff(matrix.lists.pointer) for matrix in self.matrices])
        ranked = Ragged.from_owner(np.repeat(np.arange(len(counts)), counts), np.concatenate(order), len(counts))
        return judge_lists(ranked, self.bought, self.before, config.evaluation, seed=config.seed)


def main() -> None:
    """Leave one kind out after the other; the difference is to the row with all."""
    span = {"end": end_of(JUDGED[-1]), "training": len(LEARNED) + len(JUDGED) - 1}
    config = load_config(CONFIG, workspace=str(OUT / "features"), windows=span, ranking={"lambdarank": {"objectives": ["lambdarank"]}})
    benchmark = Benchmark("features", seed=config.seed)
    lists, weeks, retrievers = load(config)
    names = lists[0].matrix.names
    kinds = list(dict.fromkeys(group_of(name, retrievers) for name in names))
    rows: list[dict[str, Any]] = []
    for kind in (None, *kinds):
        kept = [name for name in names if kind is None or group_of(name, retrievers) != kind]
        learned = [replace(each, matrix=replace(each.matrix, names=tuple(kept), values=each.matrix.columns(kept))) for each in lists]
        ranker = lambdarank.fit(learned, config.ranking, seed=config.seed, threads=config.threads)
        found = [week.judge(ranker, config) for week in weeks]
        figures = [
            float(np.mean([week["ndcg@10"] for week in found])),
            float(np.mean([week["slices"]["new_items"]["ndcg@10"] for week in found])),
        ]
        row: dict[str, Any] = {"method": "all features" if kind is None else f"without {kind}", "default": kind is None}
        row |= {"features": len(kept)}
        row |= {name: round(value, 6) for name, value in zip(("ndcg@10", "new_items_ndcg@10"), figures, strict=True)}
        first = rows[0] if rows else row
        row |= {f"{name} lost": round(first[name] - row[name], 6) for name in ("ndcg@10", "new_items_ndcg@10")}
        rows.append(row)
        print(row, flush=True)
    benchmark.finish(rows, learned=list(LEARNED), judged=list(JUDGED))


def load(config: Config) -> tuple[list[TrainingLists], list[Week], tuple[str, ...]]:
    """Lists to learn from, weeks to judge, and the names of the retrievers; the stages are those of a training run."""
    prepare(OUT / "features")
    from flows.train import look_back

    seen = look_back(config)
    data = Encoded.load(seen.encoded.path)
    lists = [TrainingLists.load(each.path) for each in seen.lists[: len(LEARNED)]]
    training, test = windows(config.windows, data.histories)
    weeks = []
    for window, fit in list(zip((*training, test), seen.fits, strict=True))[len(LEARNED) :]:
        snapshot = Snapshot.load(fit.path)
        users, bought = truth(data.histories, window)
        matrices = []
        for start in range(0, len(users), BLOCK):
            queries = ask(data.histories, users[start : start + BLOCK], window.start, len(data.items))
            matrices.append(assemble(queries, snapshot.union.retrieve(queries), snapshot, data.catalogue))
        weeks.append(Week(matrices, bought, distinct(data.histories.before(window.start).take(users))))
    return lists, weeks, snapshot.union.names


if __name__ == "__main__":
    main()
