"""From a bare file of orders, with who, what and when only, to a release that answers; and how it looks on the terminal."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from command_line import TINY, cortex_rec
from s3 import Server
from webhook import Hook

from cortex_rec.ranking import training
from cortex_rec.ranking.training import TrainingLists
from cortex_rec.releases import channels, store
from cortex_rec.testing.shop import small_shop


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run on three columns, and what the run said on stderr."""
    folder: Path = tmp_path_factory.mktemp("own")
    bare = small_shop().interactions.select(customer="user_id", sku="item_id", time="timestamp").unique(maintain_order=True)
    bare.write_csv(folder / "orders.csv")
    written = cortex_rec("init", "orders.csv", "--output", "shop.yaml", folder=folder)
    assert written.returncode == 0, written.stderr
    config = yaml.safe_load((folder / "shop.yaml").read_text())
    (folder / "shop.yaml").write_text(yaml.safe_dump(config | TINY))
    done = cortex_rec("train", "shop.yaml", folder=folder, own_server=True)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


def test_orders_with_only_customer_sku_and_time_end_in_a_release_that_answers(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    assert store.verify(folder / "releases").manifest.data.users == 60
    done = cortex_rec("recommend", "h004", "--n", "5", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    sold = set(pl.read_csv(folder / "orders.csv")["sku"])
    assert told["fallback"] is None
    assert len(told["items"]) == 5
    assert {item["item_id"] for item in told["items"]} <= sold
    assert all(item["reasons"] for item in told["items"])
    chances = [item["probability"] for item in told["items"]]
    assert 1 >= chances[0] >= chances[-1] >= 0


@pytest.mark.slow
def test_what_rules_cost_is_told_from_the_same_stages_and_a_fault_in_their_file_before_anything_starts(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    (folder / "rules.yaml").write_text("[{name: new, rules: {new_share: 0.5}}, {name: odd, rules: {caps: {colour: 1}}}]")
    done = cortex_rec("evaluate", "shop.yaml", "--rules", "rules.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ConfigError: rules.yaml: variant 'odd': rules.caps: 'colour' is no group of this release." in done.stderr
    (folder / "rules.yaml").write_text("{name: new, rules: {new_share: 0.5}}")
    done = cortex_rec("evaluate", "shop.yaml", "--rules", "rules.yaml", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    told, report = json.loads(done.stdout), store.open_release(folder / "releases").manifest.metrics
    assert told["plain"]["metrics"]["ndcg@10"] == report["metrics"]["ndcg@10"], "judged by the same system as the release's report"
    assert told["variants"]["new"]["new_share"] >= 0.5 > told["plain"]["new_share"]
    assert {line.split()[1] for line in done.stderr.splitlines() if line.startswith("✓")} == {"rules"}, "nothing is learned again"
    (folder / "rules.yaml").write_text("{name: new, rules: {new_part: 0.5}}")
    done = cortex_rec("evaluate", "shop.yaml", "--rules", "rules.yaml", folder=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("ConfigError: rules.yaml: variant 'new': `rules.new_part` is not a known field.")


def test_features_that_the_data_cannot_fill_are_left_out_and_named(trained: tuple[Path, str]) -> None:
    folder, said = trained
    (gates,) = (folder / ".cortex" / "stages" / "ranker").glob("*/gates.json")
    (rule,) = [rule for rule in json.loads(gates.read_text()) if rule["rule"] == "feature varies, or is left out"]
    (window,) = [TrainingLists.load(path.parent) for path in (folder / ".cortex" / "stages" / "lists").glob("*/names.json")]
    absent = rule["first"].split(", ")
    assert (rule["bad"], rule["rows"]) == (len(absent), len(window.matrix.names))
    assert set(absent) == set(window.matrix.names) - set(training.informative([window])) != set()
    features = {feature.name for feature in store.open_release(folder / "releases").manifest.features}
    assert features == set(window.matrix.names) - set(absent)
    assert f"{len(absent)} of {len(window.matrix.names)} features hardly vary here and are left out" in said


def test_a_feature_whose_input_the_file_lacks_has_no_value_rather_than_zero(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    (window,) = [TrainingLists.load(path.parent) for path in (folder / ".cortex" / "stages" / "lists").glob("*/names.json")]
    groups = [name for name in window.matrix.names if name.startswith(("department_", "category_", "subcategory_", "brand_"))]
    amounts = [name for name in window.matrix.names if name.endswith(("price", "discount", "quantity", "price_change", "price_level"))]
    assert len(groups) > 20
    assert len(amounts) > 5
    assert np.isnan(window.matrix.columns(groups + amounts)).all()
    assert np.isfinite(window.matrix.columns(["pair_since_last", "item_buyers_28"])).any(axis=0).all(), "what the file tells is there"


def test_a_run_says_nothing_but_one_line_a_stage_and_its_notes(trained: tuple[Path, str]) -> None:
    lines = trained[1].splitlines()
    stages = [line.split()[1] for line in lines if re.fullmatch(r"✓ \w+ +\S.* \d+\.\d s", line)]
    assert sorted(set(stages)) == sorted(
        [
            "ingest",
            "check",
            "encode",
            "embed",
            "windows",
            "fusion",
            "retrievers",
            "lists",
            "ranker",
            "evaluate",
            "reference",
            "release",
            "promote",
        ]
    )
    notes = [line for line in lines if line.startswith("  ")]
    assert len(stages) + len(notes) == len(lines), trained[1]
    assert len(notes) == 1


def test_a_run_that_a_gate_ends_leaves_the_gates_findings_at_the_dashboard_and_tells_the_webhook(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_REC_WEBHOOK", hook.address)
    orders = small_shop().interactions.select(customer="user_id", sku="item_id", time="timestamp", qty=-pl.col("quantity"))
    orders.write_csv(tmp_path / "orders.csv")
    assert cortex_rec("init", "orders.csv", "--output", "shop.yaml", folder=tmp_path).returncode == 0
    done = cortex_rec("train", "shop.yaml", folder=tmp_path, own_server=True)
    assert done.returncode == 1
    assert "GateFailed: interactions" in done.stderr
    with closing(sqlite3.connect(tmp_path / ".cortex" / "prefect" / "prefect.db")) as database:
        ((data,),) = database.execute("SELECT data FROM artifact WHERE key = 'gates'").fetchall()
    told = {rule["rule"]: (rule["passed"], rule["bad"]) for rule in json.loads(json.loads(data))}
    assert told["quantity is above 0"] == (False, orders.height)
    assert sum(passed for passed, _ in told.values()) > 3, "the rules that held are told too"
    (message,) = hook.told
    assert message["flow"] == "train"
    assert message["text"].startswith("train failed: ")
    assert "GateFailed: interactions" in message["text"]


def test_the_same_run_publishes_the_same_release_straight_into_a_bucket(trained: tuple[Path, str], s3: Server) -> None:
    folder, _ = trained
    place = f"s3://{s3.bucket()}/nightly"
    config = yaml.safe_load((folder / "shop.yaml").read_text())
    (folder / "bucket.yaml").write_text(yaml.safe_dump(config | {"releases": place}))
    done = cortex_rec("train", "bucket.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    assert store.verify(place).id == store.verify(folder / "releases").id
    (move, _) = channels.log(place)
    assert (move.channel, move.why) == (channels.PRODUCTION, "the first release")
    told = cortex_rec("recommend", "h004", "--releases", place, "--json", folder=folder)
    assert told.stdout == cortex_rec("recommend", "h004", "--json", folder=folder).stdout
