"""Weeks 49 to 53 of Complete Journey, each judged by the system that was trained on the weeks before it."""

import json
from typing import Any

import numpy as np

from benchmarks.harness import CONFIG, OUT, Benchmark, end_of
from benchmarks.next_basket import baselines
from cortex_rec.config import load_config
from flows.run import run_evaluate

WEEKS = (49, 50, 51, 52, 53)
SHOWN = ("ndcg@10", "recall@20", "map@10", "mrr@10", "hit_rate@10")


def main() -> None:
    """Run the five weeks through the training flow and print one row a method and week, and the means."""
    benchmark = Benchmark("complete-journey", seed=load_config(CONFIG).seed)
    rows: list[dict[str, Any]] = []
    for week in WEEKS:
        found = judge(week, workspace="complete-journey")
        found["baselines"] |= baselines(week, workspace="complete-journey")
        rows += [row | {"week": week} for row in rows_of(found)]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    means = [mean([row for row in rows if row["method"] == method]) for method in methods]
    decay = next(row for row in means if row["method"] == "personal_decay")
    for row in means:
        row["of_personal_decay"] = round(row["ndcg@10"] / decay["ndcg@10"], 4)
    # The one default row is the mean of the weeks; the weeks are there to be read beside it.
    benchmark.finish([*means, *(row | {"default": False} for row in rows)])


def judge(week: int, *, workspace: str, **overrides: Any) -> dict[str, Any]:
    """Train on the weeks before one and judge it; `overrides` replace keys of the configuration."""
    folder = run_evaluate(str(CONFIG), workspace=str(OUT / workspace), windows={"end": end_of(week)}, **overrides)
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def rows_of(metrics: dict[str, Any], system: str = "cortex-rec") -> list[dict[str, Any]]:
    """One row for the system, under its name, and one for each baseline."""
    systems = {system: metrics} | metrics["baselines"]
    rows = []
    for method, found in systems.items():
        figures = found["metrics"] if method == system else found
        row = {"method": method, "default": method == system, "week": 0, "users": metrics["users"]}
        interval = found["intervals"]["ndcg@10"]
        row |= {"ndcg@10": figures["ndcg@10"], "low": interval["low"], "high": interval["high"]}
        row |= {name: figures[name] for name in SHOWN[1:]}
        row |= {"new_items_ndcg@10": found["slices"]["new_items"]["ndcg@10"]}
        row |= {"candidate_recall": metrics["candidate_recall"] if method == system else None}
        rows.append(row)
    return rows


def mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The means of the weeks' figures; users are added up."""
    names = [*SHOWN, "new_items_ndcg@10", "candidate_recall"]
    means = {name: None if rows[0][name] is None else round(float(np.mean([row[name] for row in rows])), 6) for name in names}
    return {"method": rows[0]["method"], "default": rows[0]["default"], "week": "mean", "users": sum(row["users"] for row in rows)} | means


if __name__ == "__main__":
    main()
