"""What every store of events must hold to: inherit the class in a test module and say how yours is opened."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from cortex_rec.events.protocol import KINDS, LIMITS, Event, EventStore, Kind, Line


class EventStoreContract:
    """Tests that a subclass inherits; pytest collects them when its name starts with `Test`.

    Examples
    --------
    >>> class TestMyEvents(EventStoreContract):
    ...     def open(self, limits):
    ...         return MyEvents(self.place, limits=limits)
    """

    def open(self, limits: Mapping[str, int]) -> EventStore:
        """Open the store under test: the same, empty one for each call within a test."""
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Iterator[EventStore]:
        store = self.open(LIMITS)
        yield store
        store.close()

    def test_what_was_acknowledged_is_read_whole_oldest_first(self, store: EventStore) -> None:
        bought = event("e1", "purchase", "milk", 20, basket="b1", quantity=1.5, price=0.1)
        assert store.append([bought, event("e2", "click", "jam", 10), event("e3", "hide", "gin", 30)]) == 3
        assert store.of(["ann"]) == [
            [
                Line("click", "jam", 10, "", 1.0, None),
                Line("purchase", "milk", 20, "b1", 1.5, 0.1),
                Line("hide", "gin", 30, "", 1.0, None),
            ]
        ]

    def test_a_later_append_comes_later_within_one_second(self, store: EventStore) -> None:
        for number in range(12):
            store.append([event(f"e{number}", "click" if number % 2 else "cart", f"i{number}", 10)])
        assert [line.item for line in store.of(["ann"])[0]] == [f"i{number}" for number in range(12)]

    def test_an_event_that_is_sent_again_counts_once_and_stays_as_it_was(self, store: EventStore) -> None:
        first = event("e1", "click", "jam", 10)
        again = replace(first, item="tea", time=99)
        assert [store.append(given) for given in ([first, again], [again], [again, event("e2", "click", "rye", 11)])] == [1, 0, 1]
        assert [line.item for line in store.of(["ann"])[0]] == ["jam", "rye"]
        assert list(store.since(0)) == [first, event("e2", "click", "rye", 11)]

    def test_nothing_is_no_trouble(self, store: EventStore) -> None:
        assert store.append([]) == 0
        assert store.of([]) == []
        assert store.of(["nobody"]) == [[]]
        assert list(store.since(0)) == []
        assert (store.forget("nobody"), store.trim(99)) == (0, 0)

    def test_each_user_gets_their_own_in_the_order_of_asking(self, store: EventStore) -> None:
        store.append([event("e1", "click", "jam", 10, user="ann"), event("e2", "click", "tea", 11, user="bob")])
        assert [[line.item for line in own] for own in store.of(["bob", "eve", "ann", "bob"])] == [["tea"], [], ["jam"], ["tea"]]

    def test_impressions_are_kept_for_learning_and_not_for_answering(self, store: EventStore) -> None:
        shown = event("e1", "impression", "jam", 10, impression="a1")
        store.append([shown])
        assert store.of(["ann"]) == [[]]
        assert list(store.since(0)) == [shown]

    def test_of_each_kind_the_latest_are_read_up_to_its_limit(self) -> None:
        store = self.open({"click": 1, "cart": 2, "purchase": 3, "hide": 4})
        kinds: tuple[Kind, ...] = ("click", "cart", "purchase", "hide")
        store.append([event(f"{kind}{time}", kind, f"{kind}{time}", time) for time in (1, 5, 3, 2, 4, 6) for kind in kinds])
        read = sorted(line.item for line in store.of(["ann"])[0])
        store.close()
        assert read == ["cart5", "cart6", "click6", "hide3", "hide4", "hide5", "hide6", "purchase4", "purchase5", "purchase6"]

    def test_all_events_come_back_for_learning_by_time_then_by_arrival(self) -> None:
        store = self.open({"click": 1, "cart": 1, "purchase": 1, "hide": 1})
        given = [event(f"e{number}", "purchase", f"i{number}", time) for number, time in enumerate((30, 10, 20, 20, 5))]
        for one in given:
            store.append([one])
        store.append([event("c", "click", "jam", 25)])
        assert [one.event_id for one in store.since(10)] == ["e1", "e2", "e3", "c", "e0"]
        assert list(store.since(10, ["purchase"])) == [given[1], given[2], given[3], given[0]]
        store.close()

    def test_a_forgotten_user_leaves_nothing_and_may_come_back(self, store: EventStore) -> None:
        mine = [event(f"e{number}", kind, "jam", 10) for number, kind in enumerate(KINDS)]  # type: ignore[arg-type]
        other = event("o1", "click", "tea", 10, user="bob")
        store.append([*mine, other])
        assert store.forget("ann") == len(KINDS)
        assert store.of(["ann", "bob"]) == [[], [Line("click", "tea", 10, "", 1.0, None)]]
        assert list(store.since(0)) == [other]
        assert store.append(mine[:1]) == 1

    def test_trimming_removes_what_is_older_but_for_hides(self, store: EventStore) -> None:
        store.append([event("e1", "click", "jam", 9), event("e2", "hide", "gin", 9), event("e3", "impression", "tea", 9)])
        store.append([event("e4", "purchase", "rye", 10)])
        assert store.trim(10) == 2
        assert [line.item for line in store.of(["ann"])[0]] == ["gin", "rye"]
        assert [one.event_id for one in store.since(0)] == ["e2", "e4"]

    def test_trimming_removes_hides_on_which_no_answer_rests(self) -> None:
        store = self.open({"click": 1, "cart": 1, "purchase": 1, "hide": 2})
        store.append([event(f"e{time}", "hide", f"i{time}", time) for time in (1, 2, 3)])
        assert store.trim(4) == 1
        assert [line.item for line in store.of(["ann"])[0]] == ["i2", "i3"]
        assert [one.event_id for one in store.since(0)] == ["e2", "e3"]
        store.close()

    def test_ids_of_any_letters_come_back_as_they_were(self, store: EventStore) -> None:
        odd = event("\0 %s*:\n", "purchase", "Käse 🧀\x00|", 10, user="O'Brien {1}[?]", basket="'; --", price=1e-3)
        store.append([odd])
        assert list(store.since(0)) == [odd]
        assert store.of([odd.user]) == [[Line("purchase", odd.item, 10, odd.basket, 1.0, 1e-3)]]
        assert store.forget(odd.user) == 1

    def test_opened_again_it_has_what_it_had(self) -> None:
        first = self.open(LIMITS)
        first.append([event("e1", "click", "jam", 10)])
        first.close()
        again = self.open(LIMITS)
        assert again.append([event("e1", "click", "jam", 10)]) == 0
        assert [line.item for line in again.of(["ann"])[0]] == ["jam"]
        again.close()

    def test_readers_see_batches_whole_and_what_was_acknowledged_at_once(self, store: EventStore) -> None:
        read: list[int] = []
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                read.append(len(store.of(["ann"])[0]))

        reader = threading.Thread(target=watch)
        reader.start()
        seen = []
        for batch in range(25):
            kinds: tuple[Kind, ...] = ("click", "purchase", "hide", "cart")
            store.append([event(f"{batch}-{kind}", kind, "jam", batch) for kind in kinds])
            seen.append(len(store.of(["ann"])[0]))
        done.set()
        reader.join()
        assert seen == list(range(4, 104, 4))
        assert read == sorted(read)
        assert {number % 4 for number in read} == {0}


def event(
    event_id: str,
    kind: Kind,
    item: str,
    time: int,
    *,
    user: str = "ann",
    basket: str = "",
    quantity: float = 1.0,
    price: float | None = None,
    impression: str = "",
) -> Event:
    """An event of `ann`'s unless said otherwise."""
    return Event(event_id, kind, user, item, time, basket, quantity, price, impression)
