"""In what two releases differ, by what their manifests say."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cortex_rec.releases.manifest import Manifest

PARTS: Final = ("data", "config", "features", "metrics", "libraries")


def between(first: Manifest, second: Manifest) -> list[dict[str, Any]]:
    """One row a difference.

    Returns
    -------
    list
        `part` (one of `PARTS`, in their order), `name` (a path such as `ranking.lambdarank.trees`), and what
        `first` and `second` say; None where one does not have it. A feature's value is its place in the matrix and its dtype.
    """
    rows = []
    sides = [dict(_facts(manifest)) for manifest in (first, second)]
    for part, name in sorted(sides[0].keys() | sides[1].keys(), key=lambda fact: (PARTS.index(fact[0]), fact[1])):
        one, other = (side.get((part, name)) for side in sides)
        if one != other:
            rows.append({"part": part, "name": name, "first": one, "second": other})
    return rows


def _facts(manifest: Manifest) -> Iterator[tuple[tuple[str, str], Any]]:
    said = manifest.model_dump(mode="json")
    said["features"] = {feature["name"]: f"{place} {feature['dtype']}" for place, feature in enumerate(said["features"])}
    said["metrics"] = said["metrics"].get("metrics", said["metrics"]) | {
        name: value for name, value in said["metrics"].items() if name in ("candidate_recall", "users", "slices")
    }
    for part in PARTS:
        for name, value in _flat(said[part]):
            yield (part, name), value


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf by its path; a list is a leaf."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
