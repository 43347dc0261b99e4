"""What items say and show, as arrays: what the fusion network reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cortex_rec.arrays import F32, I32, load_arrays, save_arrays
from cortex_rec.catalogue import Catalogue


@dataclass(frozen=True)
class Content:
    """Items by row.

    Parameters
    ----------
    text
        (n, d_text) float32 unit vectors of title and description; zeros where an item has no words.
    image
        (n, d_image) float32 unit vectors of the picture; zeros where there is none that can be read. d_image is 0 in a shop
        without pictures.
    attributes
        For each categorical attribute: (n,) int32 code, -1 where unknown.
    """

    text: F32
    image: F32
    attributes: dict[str, I32]

    def __len__(self) -> int:
        return len(self.text)

    @classmethod
    def of(cls, text: F32, image: F32, catalogue: Catalogue) -> Self:
        """Vectors beside the catalogue's groups and attributes."""
        return cls(text, image, dict(sorted(catalogue.codes.items())))

    def take(self, rows: I32) -> Self:
        """The content of some items."""
        return type(self)(self.text[rows], self.image[rows], {name: codes[rows] for name, codes in self.attributes.items()})

    def save(self, path: Path) -> None:
        save_arrays(
            path, {"text": self.text, "image": self.image} | {f"attribute.{name}": codes for name, codes in self.attributes.items()}
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(path)
        text, image = arrays.pop("text"), arrays.pop("image")
        return cls(text, image, {name.removeprefix("attribute."): codes for name, codes in arrays.items()})


def words(catalogue: Catalogue) -> list[str]:
    """What each item says: its title, then its description; "" where it has neither."""
    pairs = zip(catalogue.titles, catalogue.descriptions, strict=True)
    return [". ".join(part for part in pair if part) for pair in pairs]
