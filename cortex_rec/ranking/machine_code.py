"""Boosted trees as machine code, kept in a folder of this machine."""

import hashlib
import tempfile
from importlib import metadata
from pathlib import Path

import lleaves
from llvmlite import binding

from cortex_rec.folders import replace_file


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
    if not target.exists():
        with replace_file(target) as fresh:
            _code(model, fresh)
    return _code(model, target)


def _code(model: str, file: Path) -> lleaves.Model:
    """The code in a file, which is compiled when the file is not there."""
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(scratch) / "model.txt"
        text.write_text(model, encoding="utf-8")
        code = lleaves.Model(model_file=str(text))
        code.compile(cache=str(file), raw_score=True)
    return code
