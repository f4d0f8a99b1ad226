"""Arrivals of a chord's parts."""

import random
from collections.abc import Callable
from functools import partial

import pytest

from kvbackends.contract import Arrival, Barrier, Part, Store
from kvbackends.testing.check import Area
from kvbackends.testing.tools import (
    CLAIMED,
    HELD,
    TTL,
    UNKNOWN,
    WAITING,
    arrive,
    begin,
    close,
    complete,
    delivery,
    gathered,
    part,
    publisher,
    value_of,
)

MANY = 60
"""Parts of a barrier: more than a page of fifty has."""


class Parts(Area):
    """Parts are counted by identity."""

    area = "parts"
    rule = "parts"

    def the_last_claims(self, barrier: Barrier) -> None:
        """Each part but the last finds the barrier incomplete; the last one claims it."""
        begin(barrier, 3)
        outcomes = [arrive(barrier, part(place)) for place in (2, 0, 1)]
        assert [each.outcome for each in outcomes] == [WAITING, WAITING, CLAIMED]
        assert outcomes[-1].parts == 3
        assert outcomes[-1].payload == b"payload"
        expected = [part(place) for place in range(3)]
        assert gathered(barrier) == {(p.place, p.member): value_of(p) for p in expected}

    @pytest.mark.parametrize("first", [0, 1, 2, 3])
    def size_at_any_time(self, barrier: Barrier, first: int) -> None:
        """The size may arrive before, between or after the parts; the last to arrive claims."""
        barrier.open(b"payload")
        steps: list[Callable[[], Arrival]] = [
            partial(arrive, barrier, part(place)) for place in range(3)
        ]
        steps.insert(first, lambda: barrier.expect(publisher(), 3))
        answers = [step() for step in steps]
        assert [each.outcome for each in answers] == [WAITING, WAITING, WAITING, CLAIMED]
        assert (answers[-1].parts, answers[-1].payload) == (3, b"payload")

    def never_opened(self, barrier: Barrier) -> None:
        """Only opening begins a barrier: before it, arrivals are answered UNKNOWN, none is kept."""
        for _ in range(2):
            assert barrier.expect(publisher(), 1).outcome is UNKNOWN
            barrier.expect_more(part(0), 0, "added")
            assert arrive(barrier, part(0)).outcome is UNKNOWN
            assert barrier.arrive(part(0), None).outcome is UNKNOWN
        assert gathered(barrier) == {}
        begin(barrier, 2)
        assert arrive(barrier, part(1)).outcome is WAITING
        assert arrive(barrier, part(0)).outcome is CLAIMED

    def empty_header(self, barrier: Barrier) -> None:
        """A barrier that expects nothing is complete when its size arrives."""
        barrier.open(b"")
        answer = barrier.expect(publisher(), 0)
        assert (answer.outcome, answer.parts) == (CLAIMED, 0)
        assert gathered(barrier) == {}

    def duplicates_count_once(self, barrier: Barrier) -> None:
        """Parts are counted by identity: ten deliveries of one part are one part."""
        begin(barrier, 3)
        for _ in range(10):
            assert arrive(barrier, part(0)).outcome is WAITING
        assert arrive(barrier, part(1)).outcome is WAITING
        assert arrive(barrier, part(2)).outcome is CLAIMED

    def first_value_stays(self, barrier: Barrier) -> None:
        """A part is written once: a second delivery does not change its value."""
        begin(barrier, 2)
        barrier.arrive(part(0), b"first")
        barrier.arrive(part(0), b"second")
        barrier.arrive(part(1), b"other")
        assert gathered(barrier) == {(0, "task-0"): b"first", (1, "task-1"): b"other"}

    def first_value_stays_after_the_claim(self, barrier: Barrier) -> None:
        """Every publish has the same values, whatever a redelivery brings after the claim."""
        complete(barrier)
        before = gathered(barrier)
        assert barrier.arrive(part(0), b"second").outcome is HELD
        assert gathered(barrier) == before
        assert barrier.arrive(part(1), b"second").outcome is CLAIMED
        assert gathered(barrier) == before

    def one_member_at_two_places(self, barrier: Barrier) -> None:
        """The same frozen signature twice in a header is two parts, of which one claims."""
        begin(barrier, 2)
        assert arrive(barrier, part(0, "same")).outcome is WAITING
        assert arrive(barrier, part(1, "same")).outcome is CLAIMED
        assert arrive(barrier, part(0, "same")).outcome is HELD
        assert set(gathered(barrier)) == {(0, "same"), (1, "same")}

    def two_members_at_one_place(self, barrier: Barrier) -> None:
        """Neither the place nor the member alone is the identity: places repeat."""
        begin(barrier, 3)
        assert arrive(barrier, part(2, "c")).outcome is WAITING
        assert arrive(barrier, part(0, "a")).outcome is WAITING
        assert arrive(barrier, part(0, "b")).outcome is CLAIMED
        assert arrive(barrier, part(0, "a")).outcome is HELD
        assert set(gathered(barrier)) == {(0, "a"), (0, "b"), (2, "c")}

    def far_places(self, barrier: Barrier) -> None:
        """Places above 65,535 are places of their own, and so are those that read alike."""
        places = [(0, "a"), (256, "a"), (65_536, "a"), (1, "1a"), (11, "a"), (1, "a"), (70_001, "")]
        begin(barrier, len(places))
        outcomes = [arrive(barrier, part(place, member)).outcome for place, member in places[:-1]]
        outcomes.append(arrive(barrier, Part(*places[-1], delivery())).outcome)
        assert outcomes == [WAITING] * (len(places) - 1) + [CLAIMED]
        assert set(gathered(barrier)) == set(places)

    def odd_members_and_values(self, store: Store, barrier: Barrier) -> None:
        """Members are any text and values any bytes."""
        large = b"x" * min(100_000, store.limits.value_bytes or 100_000)
        odd = {"a:b:c": b"", "": bytes(range(256)), "ключ\n\"'": b"\0", "m" * 500: large}
        begin(barrier, len(odd))
        for place, (member, value) in enumerate(odd.items()):
            answer = barrier.arrive(Part(place, member, delivery()), value)
        assert answer.outcome is CLAIMED
        assert {member: v for (_, member), v in gathered(barrier).items()} == odd

    def odd_barrier(self, store: Store, barrier: Barrier) -> None:
        """A barrier's name is any text, at any length."""
        odd = store.barrier(f"{barrier.name} ключ\n{'long' * 500}", TTL)
        complete(odd)
        assert gathered(odd)

    def barriers_do_not_mix(self, store: Store, barrier: Barrier) -> None:
        """Barriers with the same members are separate, also if one name is a prefix of another."""
        begin(barrier, 2)
        longer = store.barrier(f"{barrier.name}0", TTL)
        begin(longer, 2)
        assert arrive(barrier, part(0)).outcome is WAITING
        assert arrive(longer, part(1)).outcome is WAITING
        assert arrive(barrier, part(1)).outcome is CLAIMED
        assert set(gathered(longer)) == {(1, "task-1")}

    def closing_one_leaves_others(self, store: Store, barrier: Barrier) -> None:
        """Closing a barrier removes the parts of no other one whose name begins or looks alike."""
        name, short = barrier.name, barrier.name[:-1]
        names = [
            short,
            f"{short}_",
            f"{short}?",
            f"{name}%",
            f"{name}*",
            name,
            f"{name}:",
            f"{name}0",
        ]
        barriers = [store.barrier(each, TTL) for each in names]
        for each in barriers:
            begin(each, 2)
            assert arrive(each, part(0)).outcome is WAITING
        for each in barriers:
            last = part(1)
            assert arrive(each, last).outcome is CLAIMED
            assert len(gathered(each)) == 2
            close(each, last)

    def many_in_random_order(self, barrier: Barrier) -> None:
        """Many parts in random order, half of them delivered twice: the last new one claims."""
        places = [*range(MANY), *range(0, MANY, 2)]
        random.Random(7).shuffle(places)
        last_new = max(places.index(place) for place in range(MANY))
        begin(barrier, MANY)
        outcomes = [arrive(barrier, part(place)).outcome for place in places[: last_new + 1]]
        assert outcomes == [WAITING] * last_new + [CLAIMED]
        assert len(gathered(barrier)) == MANY

    def looking_records_nothing(self, barrier: Barrier) -> None:
        """An arrival without a value records no part."""
        begin(barrier, 1)
        assert barrier.arrive(part(0), None).outcome is WAITING
        assert arrive(barrier, part(0)).outcome is CLAIMED

    def size_may_be_told_again(self, barrier: Barrier) -> None:
        """A size that arrives twice is recorded once."""
        barrier.open(b"payload")
        arrive(barrier, part(0))
        assert barrier.expect(publisher(), 2).outcome is WAITING
        assert barrier.expect(publisher(), 2).outcome is WAITING
        arrive(barrier, part(1))
        assert barrier.expect(publisher(), 2).outcome is HELD
