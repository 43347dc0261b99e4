"""What is trained is what is served: features of one user at one moment, from training's path and from the service's."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex_rec import snapshot, splits
from cortex_rec.arrays import DAY, pointers
from cortex_rec.config import CompleteJourneySource, Config, Graph, LambdaRank, Ranking, Retrieval, Windows
from cortex_rec.encoding import Encoded, encode
from cortex_rec.features.assemble import Matrix, assemble
from cortex_rec.features.recent import Recent
from cortex_rec.histories import Histories
from cortex_rec.queries import Queries, ask, usual_store
from cortex_rec.ranking import rankers, training
from cortex_rec.recommender import Recommender
from cortex_rec.requests import Request
from cortex_rec.snapshot import Snapshot
from cortex_rec.sources import read
from cortex_rec.testing.evidence import places, subset
from cortex_rec.testing.shop import small_shop

#: More than any list has, so that none is left out of the training lists.
ALL = 1_000_000
CONFIG = Config(
    name="parity",
    threads=1,
    source=CompleteJourneySource(household_stride=4),
    windows=Windows(training=1),
    retrieval=Retrieval(graph=Graph(dimensions=8, steps=2, refresh_steps=1, batch_size=1_024, negatives=64)),
    ranking=Ranking(negatives=ALL, lambdarank=LambdaRank(trees=5)),
)


def of_user(matrix: Matrix, i: int) -> tuple[bytes, ...]:
    """The bits of all that a ranker reads of one list."""
    own = slice(matrix.lists.pointer[i], matrix.lists.pointer[i + 1])
    recent = (getattr(matrix.recent, field.name)[i].tobytes() for field in fields(Recent))
    return (matrix.lists.item[own].tobytes(), np.ascontiguousarray(matrix.values[own]).tobytes(), *recent)


def test_500_real_households_are_served_the_features_that_were_trained_on_bit_for_bit() -> None:
    data = encode(read(CONFIG.source, CONFIG.windows))
    window = splits.windows(CONFIG.windows, data.histories)[1]
    fitted = snapshot.fit(data, places(len(data.items), seed=7), CONFIG, as_of=window.start)
    trained = training.build(fitted, data, window, CONFIG)
    users = splits.truth(data.histories, window)[0]
    assert len(users) > 250
    everybody = np.flatnonzero(np.diff(data.histories.before(window.start).pointer) > 0)[:500]
    assert len(everybody) == 500
    ranker = rankers.fit([trained], CONFIG)
    recommender = Recommender(data, fitted, ranker)
    place = {int(user): i for i, user in enumerate(users)}
    scores = ranker.score(trained.matrix)
    whole = matrix_of(data, fitted, ask(data.histories, everybody.astype(np.int32), window.start, len(data.items)))
    for i, user in enumerate(everybody):
        queries = recommender.ask([Request(user=data.users.external([user])[0])]).queries
        alone = matrix_of(data, fitted, queries)
        assert of_user(alone, 0) == of_user(whole, i), f"household {user}, in a batch"
        if user in place:
            at = place[int(user)]
            assert of_user(alone, 0) == of_user(trained.matrix, at), f"household {user}, in training"
            ranked = recommender.rank(queries)
            own = slice(trained.matrix.lists.pointer[at], trained.matrix.lists.pointer[at + 1])
            assert np.sort(ranked.scores).tobytes() == np.sort(scores[own]).tobytes(), f"household {user}, scores"


def matrix_of(data: Encoded, fitted: Snapshot, queries: Queries) -> Matrix:
    return assemble(queries, fitted.union.retrieve(queries), fitted, data.catalogue)


@pytest.fixture(scope="module")
def shop() -> tuple[Encoded, Snapshot]:
    data = encode(small_shop())
    config = CONFIG.model_copy(update={"retrieval": Retrieval(graph=Graph(dimensions=8, steps=2, batch_size=64, negatives=16))})
    test = splits.windows(Windows(training=1), data.histories)[1]
    return data, snapshot.fit(data, places(len(data.items), seed=7), config, as_of=test.start)


#: Baskets of one user: days before the moment, the hour, the store, and lines of item, quantity, price and discount.
PRICE, DISCOUNT = st.sampled_from([0.5, 2.25, np.nan]), st.sampled_from([0, 0.25, np.nan])
LINE = st.tuples(st.integers(0, 79), st.sampled_from([1, 2, 5, np.nan]), PRICE, DISCOUNT)
BASKET = st.tuples(st.integers(0, 400), st.integers(1, 24), st.integers(-1, 2), st.lists(LINE, min_size=1, max_size=5))
USER = st.lists(BASKET, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(USER, min_size=2, max_size=5))
def test_any_history_has_the_same_features_in_a_batch_as_alone(shop: tuple[Encoded, Snapshot], users: list[list[tuple]]) -> None:  # type: ignore[type-arg]
    data, fitted = shop
    own = histories_of(users, fitted.as_of)
    queries = Queries(own, np.full(len(users), -1, np.int32), fitted.as_of, usual_store(own, fitted.as_of), len(data.items))
    whole = matrix_of(data, fitted, queries)
    for i in range(len(users)):
        assert of_user(matrix_of(data, fitted, subset(queries, [i])), 0) == of_user(whole, i), f"user {i}"


def histories_of(users: list[list[tuple]], as_of: int) -> Histories:  # type: ignore[type-arg]
    """Histories in the order that `Histories` wants: by user, time, basket, item."""
    rows = []
    for baskets in users:
        oldest_first = sorted(baskets, key=lambda basket: -basket[0] * 24 - basket[1])
        for number, (days, hour, store, lines) in enumerate(oldest_first):
            time = as_of - days * DAY - hour * 3600
            rows += [(item, time, number, store, *others) for item, *others in sorted(lines, key=lambda line: line[0])]
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    dtypes = (np.int32, np.int64, np.int64, np.int32, np.float32, np.float32, np.float32)
    counts = np.array([sum(len(lines) for *_, lines in baskets) for baskets in users])
    return Histories(pointers(counts), *(np.array(values, dtype) for values, dtype in zip(columns, dtypes, strict=True)))
