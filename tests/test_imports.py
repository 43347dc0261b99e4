"""What an import brings with it, seen at run time."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["cortex_rec.recommender"])
def test_the_request_path_loads_nothing_that_only_training_needs(module: str) -> None:
    # LightGBM itself brings pandas and scikit-learn.
    heavy = {"dgl", "torch", "torchvision", "sentence_transformers", "PIL", "prefect", "great_expectations"}
    script = f"import sys, {module}\nprint(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("module", ["cortex_rec.embeddings.text", "cortex_rec.embeddings.images"])
def test_embeddings_load_their_networks_only_when_something_is_to_be_embedded(module: str) -> None:
    heavy = {"torch", "torchvision", "sentence_transformers", "efficientnet_lite_pytorch"}
    script = f"import sys, {module}\nprint(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
