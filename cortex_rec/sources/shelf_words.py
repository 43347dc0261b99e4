"""A grocer's shelf labels (`FRZN SS PREMIUM ENTREES/DNRS/N`) in words that a language model knows."""

from typing import Final

import polars as pl

#: Abbreviations of the Complete Journey's product tables; whole words only, in lower case.
WORDS: Final = {
    "beerale": "beer ale", "beeralemalt": "beer ale malt", "bkd": "baked", "bn": "bean", "bnless": "boneless", "brkfst": "breakfast",
    "btl": "bottle", "btls": "bottles", "bt": "bottle", "carb": "carbonated", "cer": "cereal", "chix": "chicken", "chkn": "chicken",
    "choc": "chocolate", "chocol": "chocolate", "chocoate": "chocolate", "ckys": "cookies", "cleang": "cleaning", "cnd": "canned",
    "cndy": "candy", "conc": "concentrate", "containr": "container", "crkr": "crackers", "dnr": "dinner", "dnrs": "dinners",
    "drnk": "drink", "drnks": "drinks", "drsng": "dressing", "fd": "food", "flav": "flavored", "flvr": "flavored", "frsh": "fresh",
    "frz": "frozen", "frzn": "frozen", "gm": "general merchandise", "hh": "household", "incl": "including", "jce": "juice",
    "juic": "juice", "jui": "juice", "lds": "loads", "liq": "liquid", "lnch": "lunch", "mach": "machine", "mlk": "milk",
    "mrgrn": "margarine", "mxs": "mixes", "nt": "nut", "pckgd": "packaged", "pk": "pack", "pkg": "package", "pkgd": "packaged",
    "prod": "products", "refrgratd": "refrigerated", "sald": "salad", "sce": "sauce", "sft": "soft", "sgl": "single", "snk": "snack",
    "snks": "snacks", "sndwch": "sandwich", "sply": "supplies", "sprd": "spread", "ss": "single serve", "suppplies": "supplies",
    "sv": "serve", "swt": "sweet", "veg": "vegetable", "vend": "vending", "whlsm": "wholesome", "wht": "white", "xtra": "extra",
}  # fmt: skip
_NUMBER_OR_WORD: Final = r"[^a-z0-9.%&' ]+"


def readable(label: pl.Series) -> pl.Series:
    """Labels (n,) String in lower-case words, null where there is none."""
    distinct = label.unique().drop_nulls()
    spaced = distinct.str.to_lowercase().str.replace_all(_NUMBER_OR_WORD, " ")
    words = [" ".join(WORDS.get(word, word) for word in text.split()) or None for text in spaced.to_list()]
    return label.replace_strict(distinct, pl.Series(words, dtype=pl.String), default=None, return_dtype=pl.String)
