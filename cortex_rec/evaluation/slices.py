"""Parts of the test users and of what they bought, so that a good mean cannot hide a bad corner."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from cortex_rec.arrays import I32, I64, Bool, Ragged, is_in
from cortex_rec.evaluation.metrics import where
from cortex_rec.evaluation.new_products import unsold

#: A slice: the ranked lists to judge and the truth to judge them by.
Part = tuple[Ragged, Ragged]
#: Thirds of the users, by what they have bought.
ACTIVITY: Final = ("light_users", "medium_users", "heavy_users")


def by_novelty(ranked: Ragged, truth: Ragged, bought_before: Ragged) -> dict[str, Part]:
    """What the user never bought before, and what they buy again; the other kind is taken out of the list as well."""
    listed, relevant = is_in(ranked, bought_before), is_in(truth, bought_before)
    return {
        "new_items": (where(ranked, ~listed), where(truth, ~relevant)),
        "repeat_items": (where(ranked, listed), where(truth, relevant)),
    }


def by_sale(ranked: Ragged, truth: Ragged, sold: Bool) -> dict[str, Part]:
    """What nobody had bought before the window, and what somebody had; the other kind is taken out of the list as well.

    Parameters
    ----------
    sold
        (n_items,) bool; a purchase of what the catalogue lacks is of neither kind.
    """
    listed, relevant = unsold(ranked.item, sold), unsold(truth.item, sold)
    return {
        "cold_items": (where(ranked, listed), where(truth, relevant)),
        "warm_items": (where(ranked, ~listed), where(truth, (truth.item >= 0) & ~relevant)),
    }


def by_activity(ranked: Ragged, truth: Ragged, n_purchases: I64) -> dict[str, Part]:
    """Thirds of the users by the order lines that they have behind them; equal numbers stay together.

    Parameters
    ----------
    n_purchases
        (n_users,) order lines before the test window.
    """
    third = activity(n_purchases)
    return {name: (ranked.take(third == place), truth.take(third == place)) for place, name in enumerate(ACTIVITY)}


def activity(n_purchases: I64) -> I64:
    """(n_users,) int64 place in `ACTIVITY` of each user."""
    bounds = np.quantile(n_purchases, [1 / 3, 2 / 3]) if len(n_purchases) else np.zeros(2)
    return np.searchsorted(bounds, n_purchases)


def by_department(ranked: Ragged, truth: Ragged, department: I32, names: Sequence[str]) -> dict[str, Part]:
    """One slice a department: the truth is what was bought there, the list stays whole.

    Parameters
    ----------
    department
        (n_items,) row into `names`, -1 where unknown.
    names
        Department names.

    Returns
    -------
    dict
        By department name, the most bought first; departments without a test purchase are left out.
    """
    known = (truth.item >= 0) & (truth.item < len(department))
    of_truth = np.where(known, department[np.where(known, truth.item, 0)], -1) if len(department) else np.full(len(truth.item), -1)
    bought = np.bincount(of_truth[of_truth >= 0], minlength=len(names))
    order = np.argsort(-bought, kind="stable")
    return {names[row]: (ranked, where(truth, of_truth == row)) for row in order if bought[row]}
