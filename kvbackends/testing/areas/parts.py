"""Parts of a chord arrive."""

import random
from collections.abc import Callable
from functools import partial

import pytest

from kvbackends.contract import Arrival, Part, Store
from kvbackends.testing.check import Area
from kvbackends.testing.tools import (
    CLAIMED,
    HELD,
    TTL,
    WAITING,
    arrive,
    begin,
    complete,
    delivery,
    gathered,
    part,
    publisher,
    value_of,
)


class Parts(Area):
    """Parts are counted by identity."""

    area = "parts"
    rule = "parts"

    def the_last_claims(self, store: Store, barrier: str) -> None:
        """Each part but the last finds the barrier incomplete; the last one claims it."""
        begin(store, barrier, 3)
        outcomes = [arrive(store, part(barrier, place)) for place in (2, 0, 1)]
        assert [each.outcome for each in outcomes] == [WAITING, WAITING, CLAIMED]
        assert outcomes[-1].parts == 3
        assert outcomes[-1].about == b"about"
        expected = [part(barrier, place) for place in range(3)]
        assert gathered(store, barrier) == {(p.place, p.member): value_of(p) for p in expected}

    @pytest.mark.parametrize("first", [0, 1, 2, 3])
    def size_at_any_time(self, store: Store, barrier: str, first: int) -> None:
        """The size may come before, between or after the parts; whatever comes last claims."""
        store.open_barrier(barrier, b"", TTL)
        steps: list[Callable[[], Arrival]] = [
            partial(arrive, store, part(barrier, place)) for place in range(3)
        ]
        steps.insert(first, lambda: store.expect(publisher(barrier), 3, TTL))
        outcomes = [step().outcome for step in steps]
        assert outcomes == [WAITING, WAITING, WAITING, CLAIMED]

    def without_opening(self, store: Store, barrier: str) -> None:
        """A barrier that an older client did not open works, and tells nothing about itself."""
        arrive(store, part(barrier, 0))
        answer = store.expect(publisher(barrier), 1, TTL)
        assert (answer.outcome, answer.parts, answer.about) == (CLAIMED, 1, b"")

    def empty_header(self, store: Store, barrier: str) -> None:
        """A barrier that expects nothing is complete when its size arrives."""
        store.open_barrier(barrier, b"", TTL)
        answer = store.expect(publisher(barrier), 0, TTL)
        assert (answer.outcome, answer.parts) == (CLAIMED, 0)
        assert gathered(store, barrier) == {}

    def duplicates_count_once(self, store: Store, barrier: str) -> None:
        """Parts are counted by identity: ten deliveries of one part are one part."""
        begin(store, barrier, 3)
        for _ in range(10):
            assert arrive(store, part(barrier, 0)).outcome is WAITING
        assert arrive(store, part(barrier, 1)).outcome is WAITING
        assert arrive(store, part(barrier, 2)).outcome is CLAIMED

    def first_value_stays(self, store: Store, barrier: str) -> None:
        """A part is written once: a second delivery does not change its value."""
        begin(store, barrier, 2)
        store.arrive(part(barrier, 0), b"first", TTL)
        store.arrive(part(barrier, 0), b"second", TTL)
        store.arrive(part(barrier, 1), b"other", TTL)
        assert gathered(store, barrier) == {(0, "task-0"): b"first", (1, "task-1"): b"other"}

    def one_member_at_two_places(self, store: Store, barrier: str) -> None:
        """The same frozen signature twice in a header is two parts."""
        begin(store, barrier, 2)
        assert arrive(store, part(barrier, 0, "same")).outcome is WAITING
        assert arrive(store, part(barrier, 1, "same")).outcome is CLAIMED
        assert set(gathered(store, barrier)) == {(0, "same"), (1, "same")}

    def two_members_at_one_place(self, store: Store, barrier: str) -> None:
        """Neither the place nor the member alone is the identity: places repeat."""
        begin(store, barrier, 3)
        assert arrive(store, part(barrier, 0, "a")).outcome is WAITING
        assert arrive(store, part(barrier, 0, "b")).outcome is WAITING
        assert arrive(store, part(barrier, 2, "c")).outcome is CLAIMED
        assert set(gathered(store, barrier)) == {(0, "a"), (0, "b"), (2, "c")}

    def odd_members_and_values(self, store: Store, barrier: str) -> None:
        """Members are any text and values any bytes."""
        odd = {"a:b:c": b"", "": bytes(range(256)), "ключ\n\"'": b"\0", "m" * 500: b"x" * 100_000}
        begin(store, barrier, len(odd))
        for place, (member, value) in enumerate(odd.items()):
            answer = store.arrive(Part(barrier, place, member, delivery()), value, TTL)
        assert answer.outcome is CLAIMED
        assert {member: v for (_, member), v in gathered(store, barrier).items()} == odd

    def odd_barrier(self, store: Store, barrier: str) -> None:
        """A barrier's name is any text, at any length."""
        name = f"{barrier} ключ\n{'long' * 500}"
        complete(store, name)
        assert gathered(store, name)

    def barriers_do_not_mix(self, store: Store, barrier: str) -> None:
        """Two barriers with the same members are two, also where one name begins another."""
        begin(store, barrier, 2)
        begin(store, barrier + "0", 2)
        assert arrive(store, part(barrier, 0)).outcome is WAITING
        assert arrive(store, part(barrier + "0", 1)).outcome is WAITING
        assert arrive(store, part(barrier, 1)).outcome is CLAIMED
        assert set(gathered(store, barrier + "0")) == {(1, "task-1")}

    def many_in_random_order(self, store: Store, barrier: str) -> None:
        """Many parts, delivered twice in random order: the last new one claims."""
        places = list(range(60)) * 2
        random.Random(7).shuffle(places)
        last_new = max(places.index(place) for place in range(60))
        begin(store, barrier, 60)
        outcomes = [arrive(store, part(barrier, place)).outcome for place in places[: last_new + 1]]
        assert outcomes == [WAITING] * last_new + [CLAIMED]
        assert len(gathered(store, barrier)) == 60

    def looking_records_nothing(self, store: Store, barrier: str) -> None:
        """Without a value a part is not recorded, and a barrier that nobody began is not begun."""
        assert store.arrive(part(barrier, 0), None, TTL).outcome is WAITING
        begin(store, barrier, 1)
        assert store.arrive(part(barrier, 0), None, TTL).outcome is WAITING
        assert arrive(store, part(barrier, 0)).outcome is CLAIMED

    def size_may_be_told_again(self, store: Store, barrier: str) -> None:
        """The publisher's message may come twice, and its own claim does not stand in its way."""
        store.open_barrier(barrier, b"about", TTL)
        arrive(store, part(barrier, 0))
        assert store.expect(publisher(barrier), 2, TTL).outcome is WAITING
        assert store.expect(publisher(barrier), 2, TTL).outcome is WAITING
        arrive(store, part(barrier, 1))
        assert store.expect(publisher(barrier), 2, TTL).outcome is HELD
