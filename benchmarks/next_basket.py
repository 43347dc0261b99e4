"""Parameters of the next-basket baselines, each chosen on weeks 46 to 48, before the test weeks.

Each search starts at the values that the method's paper names first and changes one parameter after the other, as long as the
mean of the three weeks rises. `complete_journey.py` judges the winners on the test weeks.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from benchmarks.harness import CONFIG, OUT, Benchmark, end_of
from cortex_rec.arrays import I32, Ragged
from cortex_rec.config import load_config
from cortex_rec.encoding import Encoded
from cortex_rec.evaluation import next_basket
from cortex_rec.evaluation.baselines import everyone, personal_decay, popularity
from cortex_rec.evaluation.evaluate import MAIN, judge_lists
from cortex_rec.evaluation.next_basket import TifuKnn, UpCf
from cortex_rec.histories import Histories
from cortex_rec.splits import distinct, truth, windows
from flows.environment import prepare

WEEKS: Final = (46, 47, 48)
#: Where a search starts, and the values that it tries for each parameter.
TIFU_KNN: Final = TifuKnn(group_size=7, within_group=0.9, across_groups=0.7, k=300, own=0.7)
TIFU_KNN_VALUES: Final[dict[str, tuple[float, ...]]] = {
    "group_size": (5, 7, 10),
    "within_group": (0.9, 0.95, 1.0),
    "across_groups": (0.6, 0.7, 0.8),
    "k": (50, 100, 300),
    "own": (0.3, 0.5, 0.7),
}
UP_CF: Final = UpCf(recency=25, locality=5, asymmetry=0.25)
UP_CF_VALUES: Final[dict[str, tuple[float, ...]]] = {
    "recency": (15, 25, 50),
    "locality": (3, 5, 10),
    "asymmetry": (0.25, 0.5, 0.75, 1.0),
}
#: Items new to a household that the judged lists have room for.
_NEW: Final = 50


@dataclass(frozen=True)
class Week:
    """What was known when a test week began, and what was bought in it: as `judge` has it for `evaluate`."""

    start: int
    users: I32
    bought: Ragged
    before: Histories
    bought_before: Ragged
    n_items: int

    def judge(self, ranked: Ragged) -> dict[str, Any]:
        """The figures of one method's lists."""
        config = load_config(CONFIG)
        return judge_lists(ranked, self.bought, self.bought_before, config.evaluation, seed=config.seed)


def main() -> None:
    """Search the parameters of both methods and print what was tried, the best first, below the simple baselines."""
    benchmark = Benchmark("next-basket", seed=load_config(CONFIG).seed)
    weeks = [load(week, workspace="next-basket") for week in WEEKS]

    def row(method: str, default: bool, lists: Callable[[Week], Ragged], parameters: dict[str, Any]) -> dict[str, Any]:
        found = [week.judge(lists(week)) for week in weeks]
        means = {MAIN: _mean([figures[MAIN] for figures in found])}
        means |= {f"new_items_{MAIN}": _mean([figures["slices"]["new_items"][MAIN] for figures in found])}
        return {"method": method, "default": default} | means | parameters

    rows = [row(name, False, lists, {}) for name, lists in SIMPLE.items()]
    for start, values in ((TIFU_KNN, TIFU_KNN_VALUES), (UP_CF, UP_CF_VALUES)):
        rows += climb(start, values, lambda chosen: row(method_of(chosen), chosen == type(chosen)(), lists_of(chosen), asdict(chosen)))
    benchmark.finish(rows, weeks=list(WEEKS))


def climb(
    start: TifuKnn | UpCf, values: dict[str, tuple[float, ...]], judge: Callable[[TifuKnn | UpCf], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of all that was tried, the best first: one parameter after the other, until a round changes none."""
    tried = {start: judge(start)}
    best, before = start, None
    while best != before:
        before = best
        for name, options in values.items():
            for candidate in (replace(best, **{name: option}) for option in options):  # type: ignore[arg-type]
                if candidate not in tried:
                    tried[candidate] = judge(candidate)
            best = max(tried, key=lambda chosen: tried[chosen][MAIN])
    return sorted(tried.values(), key=lambda row: -row[MAIN])


def baselines(week: int, *, workspace: str) -> dict[str, dict[str, Any]]:
    """The figures of one week by method, as those of the other baselines in `metrics.json`."""
    known = load(week, workspace=workspace)
    methods = {name: SIMPLE[name] for name in ("personal_frequency", "gp_topfreq")}
    methods |= {method_of(chosen): lists_of(chosen) for chosen in (TifuKnn(), UpCf())}
    return {name: known.judge(lists(known)) for name, lists in methods.items()}


def load(week: int, *, workspace: str) -> Week:
    """One week of the gated and encoded year; the stages are those of a training run, which leaves them in its workspace."""
    prepare(OUT / workspace)
    from tasks.check import check_tables
    from tasks.encode import encode
    from tasks.ingest import ingest

    config = load_config(CONFIG, workspace=str(OUT / workspace), windows={"end": end_of(week)})
    data = Encoded.load(encode(config, check_tables(config, ingest(config))).path)
    _, window = windows(config.windows, data.histories)
    users, bought = truth(data.histories, window)
    before = data.histories.before(window.start)
    return Week(window.start, users, bought, before, distinct(before.take(users)), len(data.items))


def lists_of(chosen: TifuKnn | UpCf) -> Callable[[Week], Ragged]:
    """How the method with these parameters answers for a week."""
    method: Any = next_basket.tifu_knn if isinstance(chosen, TifuKnn) else next_basket.up_cf
    return lambda week: method(week.before, week.users, chosen, as_of=week.start, n=_NEW, n_items=week.n_items)


def method_of(chosen: TifuKnn | UpCf) -> str:
    """The name of its row."""
    return "tifu_knn" if isinstance(chosen, TifuKnn) else "up_cf"


def _frequency(week: Week) -> Ragged:
    return next_basket.personal_frequency(week.before, week.users, as_of=week.start, n=week.n_items)


def _then_global(week: Week) -> Ragged:
    ranking = next_basket.frequency(week.before, as_of=week.start, n_items=week.n_items)
    return next_basket.followed_by(_frequency(week), ranking, _NEW)


#: Methods without a parameter to choose here.
SIMPLE: Final[dict[str, Callable[[Week], Ragged]]] = {
    "popularity": lambda week: everyone(popularity(week.before, as_of=week.start, n_items=week.n_items), week.bought_before, _NEW),
    "personal_decay": lambda week: personal_decay(week.before, week.users, as_of=week.start, n=200),
    "personal_frequency": _frequency,
    "gp_topfreq": _then_global,
}


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)


if __name__ == "__main__":
    main()
