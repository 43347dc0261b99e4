"""Boosted trees as machine code, kept in a folder of this machine."""

import hashlib
import os
import tempfile
from importlib import metadata
from pathlib import Path

import lleaves
from llvmlite import binding


def of(model: str, folder: Path) -> lleaves.Model:
    """Load the code of a LightGBM model, compiling it when the folder lacks it.

    Parameters
    ----------
    model
        LightGBM's text format.
    folder
        Made when absent; a file in it is named by the model, the processor and the compiler's version. Processes that compile the
        same model at once do not disturb each other.
    """
    compiler = " ".join([binding.get_host_cpu_name(), metadata.version("llvmlite"), metadata.version("lleaves")])
    key = hashlib.sha256(f"{compiler}\n{model}".encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"trees-{key[:32]}.o"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".trees-") as draft:
        text = Path(draft) / "model.txt"
        text.write_text(model, encoding="utf-8")
        code = lleaves.Model(model_file=str(text))
        if not target.exists():
            made = Path(draft) / "trees.o"
            code.compile(cache=str(made), raw_score=True)
            os.replace(made, target)
            return code
        code.compile(cache=str(target), raw_score=True)
        return code
