"""What an import brings with it, seen at run time."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["cortex_rec.recommender"])
def test_the_request_path_loads_nothing_that_only_training_needs(module: str) -> None:
    # LightGBM itself brings pandas and scikit-learn.
    heavy = {"dgl", "torch", "torchvision", "sentence_transformers", "prefect", "great_expectations"}
    script = f"import sys, {module}\nprint(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
