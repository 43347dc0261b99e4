"""Two rankings in one list, drafted in turns: each person compares the two, which needs far fewer people than to compare persons."""

from collections.abc import Sequence

from cortex_rec.experiments.assignment import unit


def team_draft(first: Sequence[str], second: Sequence[str], n: int, salt: str, impression: str) -> tuple[list[str], list[int]]:
    """Let two rankings choose in turns.

    In each round a coin says who chooses first; each takes its best item that is not in the list yet. What one of them no longer can
    give, the other gives.

    Parameters
    ----------
    first, second
        Items, best first; of no use beyond `n`.
    n
        Length of the list; it is shorter where both together have fewer.
    salt, impression
        What the coin depends on.

    Returns
    -------
    items
        The list.
    teams
        Who gave each item: 0 or 1.

    Source
    ------
    Radlinski, Kurup and Joachims 2008, How does clickthrough data reflect retrieval quality?, section 4.2.
    """
    rankings, at = (first, second), [0, 0]
    items: list[str] = []
    teams: list[int] = []
    taken: set[str] = set()
    round_ = 0
    while len(items) < n:
        begins = int(unit(salt, "draft", impression, str(round_)) < 0.5)
        chosen = False
        for team in (begins, 1 - begins):
            ranking = rankings[team]
            while at[team] < len(ranking) and ranking[at[team]] in taken:
                at[team] += 1
            if at[team] < len(ranking) and len(items) < n:
                items.append(ranking[at[team]])
                teams.append(team)
                taken.add(ranking[at[team]])
                chosen = True
        if not chosen:
            break
        round_ += 1
    return items, teams
