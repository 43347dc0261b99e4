"""The command line: what scripts and people get from it."""

import gzip
import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from rich.console import Console

from cortex_rec import cli
from cortex_rec.config import load_config
from cortex_rec.releases import channels, store
from cortex_rec.releases.manifest import Contents, DataWindow, Feature
from cortex_rec.requests import Recommendation
from cortex_rec.starting_config import guess_columns
from cortex_rec.terminal import recommendations_table

METRICS = {
    "test_week": "2026-01-01",
    "users": 2,
    "metrics": {"ndcg@10": 0.25, "auc": 0.8},
    "candidate_recall": 0.6,
    "slices": {"new_items": {"ndcg@10": 0.02}},
    "baselines": {
        "popularity": {"ndcg@10": 0.1, "slices": {"new_items": {"ndcg@10": 0.01}}},
        "personal_decay": {"ndcg@10": 0.2, "slices": {"new_items": {"ndcg@10": 0.0}}},
    },
}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["cortex-rec", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def write_model(folder: Path) -> None:
    (folder / "model").write_text("m")


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    root = tmp_path / "releases"
    data = DataWindow(as_of=datetime(2026, 1, 8), first=datetime(2025, 1, 1), last=datetime(2026, 1, 7), interactions=10, users=2, items=3)
    for seed in (1, 2):
        contents = Contents(
            name="shop", data=data, config={"seed": seed}, features=(Feature(name="age", dtype="float32"),), metrics=METRICS, libraries={}
        )
        made = store.publish(root, write_model, contents, {"seconds": {"fit": 2.0}, "peak_rss_mb": 99})
    channels.promote(root, made.id, by="ann", why="better", at=datetime(2026, 1, 8, 12, tzinfo=UTC))
    return root


def test_wrong_usage_ends_with_2_and_a_failure_with_1_and_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "no-such-command") == 2
    capsys.readouterr()
    assert run(monkeypatch, "report", "--releases", str(tmp_path)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ReleaseNotFound: ")
    assert "cortex-rec train" in said.err
    assert "Traceback" not in said.err


def test_a_misspelt_config_key_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text("name: shop\nsource: {kind: complete_journey}\nrankin: {trees: 3}\n")
    assert run(monkeypatch, "train", str(config), "--workspace", str(tmp_path / "work")) == 1
    assert "`rankin` is not a known key. Did you mean `ranking`?" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_report_as_json_has_what_scripts_ask_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], releases: Path
) -> None:
    assert run(monkeypatch, "report", "--releases", str(releases), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["release"] == store.resolve(releases, "production")
    assert told["metrics"]["ndcg@10"] == 0.25
    assert told["slices"]["new_items"]["ndcg@10"] == 0.02
    assert told["baselines"]["personal_decay"]["ndcg@10"] == 0.2
    assert (told["test_week"], told["candidate_recall"], told["seconds"], told["peak_rss_mb"]) == ("2026-01-01", 0.6, {"fit": 2.0}, 99)


def test_report_prints_the_system_and_its_baselines_in_one_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], releases: Path
) -> None:
    assert run(monkeypatch, "report", "--releases", str(releases)) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = {method: next(line for line in lines if method in line) for method in ("CORTEX-Rec", "popularity", "personal decay")}
    assert "0.2500" in figures["CORTEX-Rec"]
    assert "0.0200" in figures["CORTEX-Rec"]
    assert "0.1000" in figures["popularity"]
    assert "0.2000" in figures["personal decay"]


def test_recommendations_are_shown_with_their_chance_where_there_is_one() -> None:
    items = [
        Recommendation("i7", "oat milk", 3.25, 0.3449, ("sold 3 times",)),
        Recommendation("i8", "rye bread", 2.5, 0.0123, ()),
        Recommendation("i9", "tea", 2.0, None, ()),
    ]
    printed = io.StringIO()
    Console(width=80, file=printed).print(recommendations_table("208", items))
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.getvalue().splitlines() if line.startswith("│")]
    assert rows == [
        ["1", "i7", "oat milk", "3.250", "34 %", "sold 3 times"],
        ["2", "i8", "rye bread", "2.500", "1.2 %", ""],
        ["3", "i9", "tea", "2.000", "", ""],
    ]


def test_releases_can_be_listed_shown_and_verified_and_a_damaged_one_is_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], releases: Path
) -> None:
    current = store.resolve(releases, "production")
    assert run(monkeypatch, "releases", "verify", "--releases", str(releases)) == 0
    other = next(name for name in store.release_ids(releases) if name != current)
    (releases / other / "manifest.json").chmod(0o644)
    (releases / other / "manifest.json").write_text("{")
    capsys.readouterr()
    assert run(monkeypatch, "releases", "list", "--releases", str(releases), "--json") == 0
    rows = {row["release"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[current]["channels"] == ["production", "candidate"]
    assert rows[current]["fault"] is None
    assert "is damaged" in rows[other]["fault"]
    assert run(monkeypatch, "releases", "list", "--releases", str(releases)) == 0
    assert "damaged" in capsys.readouterr().out
    assert run(monkeypatch, "releases", "show", current, "--releases", str(releases), "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == current
    assert run(monkeypatch, "releases", "verify", other, "--releases", str(releases)) == 1
    assert current in capsys.readouterr().err


def test_a_release_is_promoted_and_rolled_back_and_the_log_tells_by_whom_and_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], releases: Path
) -> None:
    current = store.resolve(releases, "production")
    other = next(name for name in store.release_ids(releases) if name != current)
    monkeypatch.setenv("LOGNAME", "bob")
    monkeypatch.setenv("CORTEX_REC_RELEASES", str(releases))
    assert run(monkeypatch, "releases", "promote", other) == 2, "a reason is needed"
    assert run(monkeypatch, "releases", "promote", other, "--why", "[by hand]") == 0
    assert store.resolve(releases, "production") == other
    assert f"{other} is in production in place of {current}." in capsys.readouterr().out
    assert run(monkeypatch, "releases", "promote", other, "--why", "again") == 0
    assert f"{other} is in production already, since" in capsys.readouterr().out
    assert run(monkeypatch, "releases", "rollback", "--why", "worse", "--by", "cid") == 0
    assert f"{current} is in production again, in place of {other}." in capsys.readouterr().out
    assert run(monkeypatch, "releases", "log") == 0
    assert "[by hand]" in capsys.readouterr().out
    assert run(monkeypatch, "releases", "log", "--json") == 0
    moves = [move for move in json.loads(capsys.readouterr().out) if move["channel"] == "production"]
    assert [(move["release"], move["former"], move["by"], move["why"]) for move in moves] == [
        (current, other, "cid", "worse"),
        (other, current, "bob", "[by hand]"),
        (current, None, "ann", "better"),
    ]


def test_a_damaged_release_is_not_promoted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], releases: Path) -> None:
    current = store.resolve(releases, "production")
    other = next(name for name in store.release_ids(releases) if name != current)
    (releases / other / "model").chmod(0o644)
    (releases / other / "model").write_text("n")
    assert run(monkeypatch, "releases", "promote", other, "--why", "x", "--releases", str(releases)) == 1
    assert f"{other}/model has SHA-256" in capsys.readouterr().err
    assert store.resolve(releases, "production") == current


def test_two_releases_are_shown_side_by_side_where_they_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], releases: Path
) -> None:
    manifest = store.manifest_of(releases, "production")
    contents = Contents(
        name="shop",
        data=manifest.data.model_copy(update={"interactions": 12}),
        config={"seed": 2, "ranking": {"lambdarank": {"trees": 5}}},
        features=(Feature(name="price", dtype="float32"), Feature(name="age", dtype="float32")),
        metrics=METRICS | {"metrics": {"ndcg@10": 0.26, "auc": 0.8}},
        libraries={"numpy": "2.4.6"},
    )
    made = store.publish(releases, write_model, contents, {})
    assert run(monkeypatch, "releases", "diff", "production", made.id, "--releases", str(releases), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["first"], told["second"]) == (manifest.id, made.id)
    assert [tuple(row.values()) for row in told["differences"]] == [
        ("data", "interactions", 10, 12),
        ("config", "ranking.lambdarank.trees", None, 5),
        ("features", "age", "0 float32", "1 float32"),
        ("features", "price", None, "0 float32"),
        ("metrics", "ndcg@10", 0.25, 0.26),
        ("libraries", "numpy", None, "2.4.6"),
    ]
    assert run(monkeypatch, "releases", "diff", "production", "candidate", "--releases", str(releases)) == 0
    assert "ranking.lambdarank" in capsys.readouterr().out
    assert run(monkeypatch, "releases", "diff", made.id, "candidate", "--releases", str(releases)) == 0
    assert f"{made.id} and {made.id} say the same of themselves." in capsys.readouterr().out


def test_help_shows_examples_and_imports_nothing_heavy() -> None:
    script = "import sys\nsys.argv = ['cortex-rec', 'train', '--help']\nfrom cortex_rec import cli\ntry:\n    cli.main()\nfinally:\n"
    script += "    print('heavy:', sorted({'torch', 'dgl', 'prefect', 'polars', 'lightgbm', 'pandas'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "Example:" in said
    assert "heavy: []" in said


@pytest.mark.parametrize("kind", ["csv", "semicolon", "gzip", "parquet"])
def test_init_writes_a_config_that_loads_with_the_columns_of_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    header = ["Order ID", "CustomerID", "StockCode", "InvoiceDate", "Quantity", "UnitPrice"]
    text = ",".join(header) + "\n1,2,3,2026-01-01,1,2.5\n"
    orders = tmp_path / {"csv": "My Orders.csv", "semicolon": "o.csv", "gzip": "o.csv.gz", "parquet": "o.parquet"}[kind]
    if kind == "parquet":
        pl.DataFrame({name: ["1"] for name in header}).write_parquet(orders)
    elif kind == "gzip":
        orders.write_bytes(gzip.compress(text.encode()))
    else:
        orders.write_text("\ufeff" + text.replace(",", ";" if kind == "semicolon" else ","), encoding="utf-8")
    output = tmp_path / "shop.yaml"
    assert run(monkeypatch, "init", str(orders), "--output", str(output)) == 0
    source = load_config(output).source
    assert source.kind == "files"
    assert source.interactions.path == str(orders)
    assert source.interactions.separator == (";" if kind == "semicolon" else ",")
    assert source.interactions.columns == {
        "user_id": "CustomerID",
        "item_id": "StockCode",
        "timestamp": "InvoiceDate",
        "basket_id": "Order ID",
        "quantity": "Quantity",
        "price": "UnitPrice",
    }
    before = output.read_text()
    assert run(monkeypatch, "init", str(orders), "--output", str(output)) == 1
    assert "--force" in capsys.readouterr().err
    assert output.read_text() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n", "no column looks like user_id, item_id, timestamp among ['a', 'b']"),
        (b"caf\xe9,user\n", "cannot be read"),
    ],
)
def test_init_says_what_is_wrong_with_a_file_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "orders.csv").write_bytes(content)
    assert run(monkeypatch, "init", str(tmp_path / "orders.csv"), "-o", str(tmp_path / "out.yaml")) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.yaml").exists()


def test_no_column_of_the_header_is_used_twice() -> None:
    assert guess_columns(["date", "time", "order", "user", "item"]) == {
        "user_id": "user",
        "item_id": "item",
        "timestamp": "date",
        "basket_id": "order",
    }


def test_the_example_configs_load() -> None:
    configs = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
    assert [load_config(path).name for path in configs] == [yaml.safe_load(path.read_text())["name"] for path in configs]
