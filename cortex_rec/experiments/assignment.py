"""Chance as a hash: the same person always has the same arm, and an answer can be worked out again, on every machine."""

import hashlib
from typing import Final

_BITS: Final = 53


def unit(*parts: str) -> float:
    """A number in [0, 1) that depends on nothing but some texts; as good as drawn uniformly, and independent for different texts.

    Parameters
    ----------
    parts
        For example an experiment's salt, what is drawn, and a user's id.
    """
    # With its length before it, no part can be taken for the end of the one before.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    drawn: float = (int.from_bytes(digest, "big") >> (64 - _BITS)) / (1 << _BITS)
    return drawn
