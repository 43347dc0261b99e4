"""The version of the code that a stage runs: a digest of the sources that its module can reach, and of the libraries they import."""

import ast
import hashlib
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cortex_rec", "tasks")


@cache
def code_version(module: str) -> str:
    """Digest (64 hex) of a module's import closure.

    Parameters
    ----------
    module
        Dotted name inside `cortex_rec` or `tasks`; it is read, not imported.

    Raises
    ------
    ModuleNotFoundError
        If there is no such module.
    """
    if _source(module) is None:
        raise ModuleNotFoundError(f"no module {module!r} among {', '.join(PACKAGES)}", name=module)
    own, foreign = closure(module)
    lines = [f"python {sys.version_info.major}.{sys.version_info.minor}"]
    lines += [f"{name} {hashlib.sha256(_bytes(name)).hexdigest()}" for name in sorted(own)]
    lines += sorted({f"{name}=={metadata.version(name)}" for package in foreign for name in _distributions().get(package, ())})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def closure(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Modules of this project that `module` can reach, and the top-level names of all others, function-level imports included."""
    own: set[str] = set()
    foreign: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in own or _source(name) is None:
            continue
        own.add(name)
        pending.append(name.rpartition(".")[0])  # importing a module runs its package first
        for imported in _imports(name):
            top = imported.partition(".")[0]
            if top in PACKAGES:
                pending.append(imported)
            else:
                foreign.add(top)
    return frozenset(own), frozenset(foreign)


@cache
def _imports(module: str) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(_bytes(module))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def _source(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _bytes(module: str) -> bytes:
    path = _source(module)
    assert path is not None
    return path.read_bytes()


@cache
def _distributions() -> dict[str, list[str]]:
    """Import name -> distributions, for example `faiss` -> `faiss-cpu`."""
    return {name: list(found) for name, found in metadata.packages_distributions().items()}
