"""What filters and rules cost and what they give: the test window answered with and without them, the same users paired."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cortex_rec import columns
from cortex_rec.arrays import F64, I32, I64, NO_ROW, Bool, Ragged, is_in
from cortex_rec.config import Evaluation
from cortex_rec.errors import ConfigError, InvalidRequest, UnknownItem
from cortex_rec.evaluation import baselines, beyond_accuracy, metrics, significance, slices
from cortex_rec.evaluation.evaluate import MAIN, mean, plain_values
from cortex_rec.evaluation.judge import BLOCK
from cortex_rec.evaluation.variants import Variant
from cortex_rec.histories import Histories
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Filters, Request, Rules
from cortex_rec.splits import Window, distinct, truth

#: Places of an answer: a page of a shop, and what recall@20 asks for. Rules fill just these, so no figure looks beyond them.
PLACES: Final = 20
#: Told how many answers there are so far, of how many.
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Answers:
    """What each test user is shown, and (n_users,) int64 how many times retrieval looked further for it."""

    shown: Ragged
    widened: I64


@dataclass(frozen=True)
class Panel:
    """The test users, what they bought in the window and before it, and what is known of the items that they are shown.

    Parameters
    ----------
    users
        (n,) int32 rows.
    truth, bought_before
        Their distinct items in the window, and before it.
    history
        Their purchases before the window.
    item_vectors, popularity, sold, tail
        (n_items, d) float32, (n_items,) int32 order lines of the weeks before, (n_items,) bool bought by anybody, and of the long tail.
    groups
        (n_items,) int32 codes by the name of a group whose values are counted, -1 unknown.
    """

    users: I32
    truth: Ragged
    bought_before: Ragged
    history: Histories
    item_vectors: Any
    popularity: I32
    sold: Bool
    tail: Bool
    groups: dict[str, I32]

    def per_user(self, answers: Answers) -> dict[str, F64]:
        """(n,) float64 by metric, NaN for who bought nothing of the kind."""
        whole = metrics.per_user(answers.shown, self.truth, (10, PLACES))
        new = slices.by_novelty(answers.shown, self.truth, self.bought_before)["new_items"]
        return {MAIN: whole[MAIN], "recall@20": whole["recall@20"], f"new_items {MAIN}": metrics.per_user(*new, (10,))[MAIN]}

    def describe(self, answers: Answers) -> dict[str, Any]:
        """What the answers are like, whoever bought what."""
        shown, size = answers.shown, np.diff(answers.shown.pointer)
        known = beyond_accuracy.describe(
            shown, item_vectors=self.item_vectors, popularity=self.popularity, sold=self.sold, history=self.history
        )
        return {
            "diversity": known["diversity"],
            "coverage": known["coverage"],
            "new_share": _share(~is_in(shown, self.bought_before)),
            "tail_share": _share(self.tail[shown.item]),
            "distinct": {name: mean(_distinct(shown, codes)) for name, codes in self.groups.items()},
            "short": int(np.count_nonzero(size < PLACES)),
            "empty": int(np.count_nonzero(size == 0)),
            "widened": {"answers": int(np.count_nonzero(answers.widened)), "times": int(answers.widened.sum())},
        }


def weigh(
    recommender: Recommender,
    window: Window,
    variants: Sequence[Variant],
    config: Evaluation,
    *,
    seed: int,
    report: Report,
    most: int | None = None,
) -> dict[str, Any]:
    """Answer those who bought in the window as the service would on its eve: plainly, and under each variant.

    Parameters
    ----------
    recommender
        Its snapshot is fitted as of `window.start`.
    config, seed
        The bootstrap's samples, and what decides its draws.
    report
        Follows how far it is.
    most
        How many users at the most, drawn by chance; everybody when absent.

    Returns
    -------
    dict
        `test_week`, `users`, `places`, `plain`, and `variants` by name; docs/rules.md names the keys of these two. Figures are rounded
        to six decimals; None where there is nothing to count.

    Raises
    ------
    ConfigError
        If a variant names a group, a value of it or an item that the catalogue does not have.
    """
    for variant in variants:
        _refuse_unknown(recommender, variant)
    panel = _panel(recommender, window, variants, truth(recommender.data.histories, window, most=most, seed=seed))
    rounds = 1 + len(variants)

    def answer(filters: Filters, rules: Rules, turn: int) -> Answers:
        return _answers(
            recommender, panel.users, filters, rules, lambda done: report(turn * len(panel.users) + done, rounds * len(panel.users))
        )

    plain = answer(Filters(), Rules(), 0)
    usual, found = panel.per_user(plain), {}
    for turn, variant in enumerate(variants, start=1):
        answers = answer(variant.filters, variant.rules, turn)
        own = panel.per_user(answers)
        difference = {name: own[name] - usual[name] for name in own}
        bounds = significance.intervals(difference, samples=config.bootstrap_samples, seed=seed)
        found[variant.name] = {
            "metrics": {name: mean(values) for name, values in own.items()},
            "difference": {name: {"value": mean(difference[name]), "low": low, "high": high} for name, (low, high) in bounds.items()},
            **panel.describe(answers),
        }
    result: dict[str, Any] = plain_values(
        {
            "test_week": window.label,
            "users": len(panel.users),
            "places": PLACES,
            "plain": {"metrics": {name: mean(values) for name, values in usual.items()}, **panel.describe(plain)},
            "variants": found,
        }
    )
    return result


def _refuse_unknown(recommender: Recommender, variant: Variant) -> None:
    """One answer to nobody in particular tells it before minutes have gone by."""
    try:
        recommender.answer([Request(filters=variant.filters, rules=variant.rules)])
    except (InvalidRequest, UnknownItem) as error:
        raise ConfigError(f"{variant.place}: {error}") from error


def _panel(recommender: Recommender, window: Window, variants: Sequence[Variant], judged: tuple[I32, Ragged]) -> Panel:
    data, statistics, (users, bought) = recommender.data, recommender.snapshot.statistics, judged
    history = data.histories.take(users).before(window.start)
    counted = dict.fromkeys([columns.BRAND, *(group for variant in variants for group in variant.rules.caps)])
    return Panel(
        users,
        bought,
        distinct(history),
        history,
        recommender.snapshot.content,
        baselines.sold(data.histories, as_of=window.start, n_items=len(data.items)),
        ~statistics.unsold,
        statistics.tail,
        {group: data.catalogue.codes[group] for group in counted if np.any(data.catalogue.codes[group] != NO_ROW)},
    )


def _answers(recommender: Recommender, users: I32, filters: Filters, rules: Rules, report: Callable[[int], None]) -> Answers:
    lists, widened, names = list[I32](), list[I64](), recommender.data.users.external(users)
    for at in range(0, len(names), BLOCK):
        requests = [Request(user, n=PLACES, filters=filters, rules=rules) for user in names[at : at + BLOCK]]
        answered = recommender.answer(requests)
        lists += [answered.ranked.lists.item[answered.shown(i)] for i in range(len(requests))]
        widened.append(answered.found.widened)
        report(len(lists))
    return Answers(Ragged.of(lists), np.concatenate([*widened, np.zeros(0, np.int64)]))


def _share(flags: Bool) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def _distinct(lists: Ragged, codes: I32) -> F64:
    """(n_lists,) how many values of a group each list has, unknown ones left out; NaN for an empty list."""
    code = codes[lists.item]
    known = code != NO_ROW
    width = int(code.max(initial=0)) + 1
    pairs = np.unique(lists.owner[known] * width + code[known])
    counts = np.bincount(pairs // width, minlength=len(lists)).astype(np.float64)
    return np.where(np.diff(lists.pointer) > 0, counts, np.nan)
