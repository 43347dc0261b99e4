"""Data-quality gates: a table against its Great Expectations suite in `expectations/`."""

import gc
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from cortex_rec.dataset import BLOCK
from cortex_rec.errors import GateFailed

# Read once, at import: nothing may reach out, whoever imports this first.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig

# It tells of every temporary folder that it makes; the module that does has set a level of its own.
for _name in ("great_expectations", "great_expectations.data_context.types.base"):
    logging.getLogger(_name).setLevel(logging.WARNING)

SUITES: Final = Path(__file__).parent.parent / "expectations"
_FIRST: Final = 5


@dataclass(frozen=True)
class GateResult:
    """What a gate let through.

    Parameters
    ----------
    passed
        The rows that break no rule, in their order.
    rules
        One entry a rule: `table`, `rule`, `column`, `rows` checked, `bad` rows, the `first` of them, `passed`. Holds no
        time and no path, so equal tables give equal entries.
    """

    passed: pl.DataFrame
    rules: list[dict[str, Any]]


def check_table(
    frame: pl.DataFrame,
    suite: str,
    *,
    allowance: float,
    quarantine: Path,
    parameters: Mapping[str, Any] | None = None,
    data_docs: Path | None = None,
) -> GateResult:
    """Hold a table to a suite.

    Parameters
    ----------
    frame
        The table, with the boolean columns that the suite asks for.
    suite
        Name of a file in `expectations/`. A rule with `"optional": true` in its `meta` is left out when its column is
        absent; one with `"level": "table"` speaks of the whole table, all others of rows.
    allowance
        Share of rows, 0 to 1, that may break a rule and are then set aside.
    quarantine
        Folder for `<suite>.csv`: row (0-based in `frame`), rule, column and value of everything that is wrong. An
        older file of the suite is removed when nothing is wrong.
    parameters
        Values for the suite's `{"$PARAMETER": name}`.
    data_docs
        Folder to build Great Expectations' Data Docs in, below it one folder a suite; their style sheets come from the
        web, so offline they are plain. Of a table of more rows than `BLOCK` they show the first so many.

    Raises
    ------
    GateFailed
        If more rows are bad than allowed, a rule of the whole table fails, or a column that the suite needs is absent.
    """
    told: dict[str, Any] = {"allowance": allowance, "quarantine": quarantine, "parameters": parameters, "data_docs": data_docs}
    rules, bad = check_blocks(frame.iter_slices(BLOCK), frame.clear(), suite, **told)
    passed = frame if bad.is_empty() else frame.with_row_index("row").filter(~pl.col("row").is_in(bad.implode())).drop("row")
    return GateResult(passed, rules)


def check_blocks(
    blocks: Iterable[pl.DataFrame],
    none: pl.DataFrame,
    suite: str,
    *,
    allowance: float,
    quarantine: Path,
    parameters: Mapping[str, Any] | None = None,
    data_docs: Path | None = None,
) -> tuple[list[dict[str, Any]], pl.Series]:
    """Hold a table that comes in blocks to a suite: rules of rows in one block after the other, rules of the table at its end.

    Parameters
    ----------
    blocks
        Its rows, at most some `BLOCK` at a time.
    none
        The columns, without a row.
    suite, allowance, quarantine, parameters, data_docs
        See `check_table`.

    Returns
    -------
    rules
        See `GateResult.rules`.
    bad
        The rows that break a rule, 0-based in the whole table, ascending.

    Raises
    ------
    GateFailed
        See `check_table`.
    """
    # Great Expectations makes a pandas table of a block, which takes some ten times the memory.
    expectations = _applicable(suite, none)
    used = sorted({column for expectation in expectations for column in _columns(expectation)})
    every = range(len(expectations))
    tables = [i for i in every if expectations[i]["meta"].get("level") == "table"]
    by_row = [i for i in every if i not in tables]
    named = sorted({column for i in tables for column in _columns(expectations[i])})

    def validated(frame: pl.DataFrame, wanted: Sequence[int], docs: Path | None) -> list[tuple[bool, list[int]]]:
        told = _validate(frame, suite, [expectations[i] for i in wanted], parameters or {}, docs)
        return [_unexpected(suite, result) for result in told["results"]]

    found: list[tuple[bool, list[int]]] = [(True, []) for _ in every]
    whole, bad, height = [none.select(named)], [_bad_rows(none, [], [], 0)], 0
    each = iter(blocks)
    block, following = next(each, none), next(each, None)
    alone = following is None
    while True:
        wanted = every if alone else by_row
        results = validated(block.select(used), wanted, data_docs if height == 0 else None)
        bad.append(_bad_rows(block, [expectations[i] for i in wanted], [rows for _, rows in results], height))
        for i, (holds, rows) in zip(wanted, results, strict=True):
            found[i] = found[i][0] and holds, found[i][1] + [height + row for row in rows]
        whole.append(block.select(named))
        height += block.height
        if following is None:
            break
        # Great Expectations' contexts refer to themselves, and each holds its block until they are looked for.
        gc.collect()
        block, following = following, next(each, None)
    if tables and not alone:
        seen = pl.concat(whole) if named else pl.DataFrame({"rows": np.zeros(height, np.int8)})
        for i, verdict in zip(tables, validated(seen, tables, None), strict=True):
            found[i] = verdict

    rules = [_rule(suite, height, expectation, *pair) for expectation, pair in zip(expectations, found, strict=True)]
    broken = pl.concat(bad)
    _write(quarantine / f"{suite}.csv", broken)
    wrong = broken["row"].unique().sort()
    if any(not rule["passed"] and rule["level"] == "table" for rule in rules) or len(wrong) > allowance * height:
        raise _failure(suite, height, allowance, wrong, rules, quarantine / f"{suite}.csv")
    return [{k: v for k, v in rule.items() if k != "fix"} for rule in rules], wrong


def _applicable(suite: str, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The suite's expectations, without optional ones whose column is absent."""
    kept = []
    for expectation in json.loads((SUITES / f"{suite}.json").read_text(encoding="utf-8"))["expectations"]:
        absent = [column for column in _columns(expectation) if column not in frame.columns]
        if not absent:
            kept.append(expectation)
        elif not expectation["meta"].get("optional"):
            message = f"{suite}: column {absent[0]!r} is missing, rule {expectation['meta']['rule']!r} needs it. It has {frame.columns}."
            raise GateFailed(message, table=suite)
    return kept


def _columns(expectation: Mapping[str, Any]) -> list[str]:
    return [expectation["kwargs"]["column"]] if "column" in expectation["kwargs"] else []


def _validate(
    frame: pl.DataFrame, suite: str, expectations: list[dict[str, Any]], parameters: Mapping[str, Any], data_docs: Path | None
) -> dict[str, Any]:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batches = context.data_sources.add_pandas("tables").add_dataframe_asset(suite).add_batch_definition_whole_dataframe("whole")
    definition = gx.ValidationDefinition(
        name=suite, data=batches, suite=context.suites.add(gx.ExpectationSuite(name=suite, expectations=expectations))
    )
    # A row that fails is needed by its number only; listing its values again would double the memory.
    result = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": _as_compared_fast(frame).to_pandas()},
        expectation_parameters=dict(parameters),
        result_format={"result_format": "COMPLETE", "include_unexpected_rows": False},
    )
    if data_docs is not None:
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str((data_docs / suite).resolve())}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        context.add_data_docs_site("workspace", {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index})
        context.build_data_docs(site_names=["workspace"])
    as_json: dict[str, Any] = result.to_json_dict()  # type: ignore[no-untyped-call]
    return as_json


def _as_compared_fast(frame: pl.DataFrame) -> pl.DataFrame:
    """The same values in the types that Great Expectations compares as arrays; others it compares one by one in Python."""
    # Nanoseconds end in the year 2262, and a wrong date may lie after it.
    times = pl.col(pl.Datetime("us")).clip(datetime(1700, 1, 1), datetime(2200, 1, 1)).cast(pl.Datetime("ns"))
    return frame.with_columns(pl.col(pl.Float32).cast(pl.Float64), times)


def _unexpected(suite: str, result: Mapping[str, Any]) -> tuple[bool, list[int]]:
    """Whether the rule holds, and the rows that break it."""
    raised = result["exception_info"]
    if raised.get("raised_exception", any(isinstance(part, dict) and part.get("raised_exception") for part in raised.values())):
        rule = result["expectation_config"]["meta"]["rule"]
        raise GateFailed(f"{suite}: rule {rule!r} could not be checked: {raised}. Correct expectations/{suite}.json.", table=suite)
    return bool(result["success"]), list(result["result"].get("unexpected_index_list") or [])


def _rule(suite: str, rows: int, expectation: Mapping[str, Any], success: bool, bad: list[int]) -> dict[str, Any]:
    meta = expectation["meta"]
    return {
        "table": suite,
        "rule": meta["rule"],
        "column": ", ".join(_columns(expectation)),
        "level": meta.get("level", "row"),
        "rows": rows,
        "bad": len(bad),
        "first": ", ".join(map(str, bad[:_FIRST])),
        "passed": success,
        "fix": meta["fix"],
    }


def _bad_rows(frame: pl.DataFrame, expectations: list[dict[str, Any]], found: list[list[int]], before: int) -> pl.DataFrame:
    """One line a broken rule and row, in the order of the rows, which are counted from `before`."""
    schema = {"row": pl.Int64, "rule": pl.String, "column": pl.String, "value": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    for expectation, rows in zip(expectations, found, strict=True):
        if rows and expectation["meta"].get("level") != "table":
            shown = [column for column in expectation["meta"].get("show", _columns(expectation)) if column in frame.columns]
            values = frame[rows].select(pl.concat_str([pl.col(name).cast(pl.String).fill_null("null") for name in shown], separator=" | "))
            rule, column = expectation["meta"]["rule"], ", ".join(shown)
            part = pl.DataFrame({"row": rows, "value": values.to_series()}).select(
                pl.col("row") + before, rule=pl.lit(rule), column=pl.lit(column), value="value"
            )
            parts.append(part)
    return pl.concat(parts).sort("row", maintain_order=True)


def _write(path: Path, bad: pl.DataFrame) -> None:
    if bad.is_empty():
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    bad.write_csv(draft)
    draft.replace(path)


def _failure(suite: str, height: int, allowance: float, rows: pl.Series, rules: list[dict[str, Any]], file: Path) -> GateFailed:
    broken = [rule for rule in rules if not rule["passed"]]
    cells = [("rule", "column", "bad rows", "first rows")]
    cells += [(rule["rule"], rule["column"], f"{rule['bad']:,}" if rule["bad"] else "table", rule["first"]) for rule in broken]
    widths = [max(len(line[i]) for line in cells) for i in range(4)]
    table = "\n".join("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)
    share = len(rows) / max(height, 1)
    fixes = "\n".join(f"  {rule['rule']}: {rule['fix']}" for rule in broken)
    where = f"\nEvery bad row with its value: {file}." if len(rows) else ""
    message = (
        f"{suite}: {len(rows):,} of {height:,} rows ({share:.2%}) break a rule of expectations/{suite}.json; {allowance:.2%} may.\n"
        f"{table}\nWays out:\n{fixes}{where} For tables, `quality.max_bad_rows` sets how many rows may be set aside."
    )
    return GateFailed(message, table=suite, rows=rows.head(_FIRST).to_list(), rules=rules)
