"""`docs/extending.md` works as it is written."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from pydantic import create_model

from cortex_rec import retrieval
from cortex_rec.config import Retrieval
from cortex_rec.ranking import rankers
from cortex_rec.ranking.protocol import Ranker
from cortex_rec.retrieval import union
from cortex_rec.retrieval.union import REGISTRY, Registered, Union
from cortex_rec.testing.evidence import all_kinds_of_queries, small_evidence

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text(encoding="utf-8")
FILE, REGISTRY_LINE, FIELD, TEST, RANKER, RANKER_LINE, RANKER_TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(YAML,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def new_arrivals(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's file, as if it lay where the page says."""
    module = ModuleType("cortex_rec.retrieval.new_arrivals")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(retrieval, "new_arrivals", module, raising=False)
    exec(compile(FILE, "new_arrivals.py", "exec"), module.__dict__)
    return module


def test_the_line_and_the_field_put_it_into_the_union(new_arrivals: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    added = eval("{" + REGISTRY_LINE + "}", {"Registered": Registered, "new_arrivals": new_arrivals})
    monkeypatch.setattr(union, "REGISTRY", {**REGISTRY, **added})
    name, _, default = re.fullmatch(r"(\w+): (\w+) = (\w+)\(\)", FIELD.strip()).groups()  # type: ignore[union-attr]
    section = getattr(new_arrivals, default)
    wider = create_model("Wider", __base__=Retrieval, **{name: (section, section())})
    small = {"graph": {"dimensions": 8, "steps": 2, "batch_size": 64, "negatives": 16}}
    config = wider.model_validate({**small, **yaml.safe_load(YAML)["retrieval"]})

    fitted = union.fit(small_evidence(), config)
    found = fitted.retrieve(all_kinds_of_queries(small_evidence()))
    assert fitted.names[-1] == "new_arrivals"
    assert fitted.sizes["new_arrivals"] == 40
    assert found.scores.shape[1] == len(REGISTRY) + 1
    fitted.save(tmp_path)
    again = Union.load(tmp_path).retrieve(all_kinds_of_queries(small_evidence()))
    assert np.array_equal(again.scores, found.scores)


def test_the_rankers_line_puts_it_into_the_registry() -> None:
    linear = ModuleType("linear")
    exec(compile(RANKER, "linear.py", "exec"), linear.__dict__)
    added = eval("{" + RANKER_LINE + "}", {"Registered": rankers.Registered, "linear": linear})
    assert list(added) == ["linear"]
    assert {name for name in vars(Ranker) if not name.startswith("_")} <= {*dir(added["linear"].model), "features"}


@pytest.mark.parametrize(
    ("module", "file", "test", "passed"),
    [("cortex_rec.retrieval", FILE, TEST, 12), ("cortex_rec.ranking", RANKER, RANKER_TEST, 11)],
    ids=["retriever", "ranker"],
)
def test_the_pages_tests_pass(tmp_path: Path, module: str, file: str, test: str, passed: int) -> None:
    (name,) = re.findall(rf"from {module} import (\w+)\n", test)
    (tmp_path / f"{name}.py").write_text(file, encoding="utf-8")
    (tmp_path / f"test_{name}.py").write_text(test.replace(f"from {module} import", "import"))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 0, run.stdout
    assert re.search(rf"\b{passed} passed", run.stdout), run.stdout
