"""Settings of the ranker judged on weeks 46 to 48, before the test weeks: where choices are made.

`make bench NAME=settings`; edit `VARIANTS` to ask another question.
"""

from typing import Any, Final

import numpy as np

from benchmarks.complete_journey import judge
from benchmarks.harness import CONFIG, Benchmark
from cortex_rec.config import load_config

WEEKS: Final = (46, 47, 48)
#: What to change in the configuration, by the name of its row.
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "lambdarank alone": {"ranker": "lambdarank"},
    "neural alone": {"ranker": "neural"},
    "lambdarank, truncation 30": {"ranker": "lambdarank", "ranking": {"lambdarank": {"truncation": 30}}},
}


def main() -> None:
    """Train and judge each variant on each week; stages that a variant does not change are shared."""
    benchmark = Benchmark("settings", seed=load_config(CONFIG).seed)
    rows = []
    for method, changes in VARIANTS.items():
        judged = [judge(week, workspace="settings", **changes) for week in WEEKS]
        row: dict[str, Any] = {"method": method, "default": not changes}
        row["ndcg@10"] = round(float(np.mean([found["metrics"]["ndcg@10"] for found in judged])), 6)
        row["new_items_ndcg@10"] = round(float(np.mean([found["slices"]["new_items"]["ndcg@10"] for found in judged])), 6)
        row["personal_decay_ndcg@10"] = round(float(np.mean([found["baselines"]["personal_decay"]["ndcg@10"] for found in judged])), 6)
        rows.append(row)
    benchmark.finish(rows, weeks=list(WEEKS))


if __name__ == "__main__":
    main()
