"""The barrier: parts by identity, one claim, one tombstone."""

import json
import random
import time
from collections.abc import Callable

import pytest

from kvbackends import Arrival, Outcome, Part, Rank, Store
from tests.contract.test_five_methods import SHORT, outlive
from tests.support.chords import delivery, offer, part, publisher, rank_of

TTL = 60.0
WAITING, CLAIMED, HELD, CLOSED = Outcome


def value_of(each: Part) -> bytes:
    return f"{each.place}:{each.member}".encode()


def arrive(store: Store, each: Part, evict: str | None = None) -> Arrival:
    return store.arrive(each, value_of(each), TTL, evict)


def gathered(store: Store, barrier: str) -> dict[tuple[int, str], bytes]:
    """What `parts` yields; each part once."""
    listed = [((each.place, each.member), value) for each, value in store.parts(barrier)]
    assert len(dict(listed)) == len(listed)
    return dict(listed)


def begin(store: Store, barrier: str, size: int) -> None:
    store.open_barrier(barrier, b"about", TTL)
    assert store.expect(publisher(barrier), size, TTL).outcome is WAITING


def complete(store: Store, barrier: str, size: int = 2) -> Part:
    """A barrier with every part in; the part that holds the claim."""
    begin(store, barrier, size)
    for place in range(size - 1):
        assert arrive(store, part(barrier, place)).outcome is WAITING
    last = part(barrier, size - 1)
    assert arrive(store, last).outcome is CLAIMED
    return last


def close(store: Store, each: Part) -> None:
    store.close_barrier(each, TTL, None, rank_of)


class TestArriving:
    def test_the_last_claims(self, store: Store, barrier: str):
        """Each part but the last finds the barrier incomplete; the last one claims it."""
        begin(store, barrier, 3)
        outcomes = [arrive(store, part(barrier, place)) for place in (2, 0, 1)]
        assert [each.outcome for each in outcomes] == [WAITING, WAITING, CLAIMED]
        assert outcomes[-1].parts == 3
        assert outcomes[-1].about == b"about"
        expected = [part(barrier, place) for place in range(3)]
        assert gathered(store, barrier) == {(p.place, p.member): value_of(p) for p in expected}

    @pytest.mark.parametrize("first", [0, 1, 2, 3])
    def test_size_at_any_time(self, store: Store, barrier: str, first: int):
        """The size may come before, between or after the parts; whatever comes last claims."""
        store.open_barrier(barrier, b"", TTL)
        steps: list[Callable[[], Arrival]] = [
            lambda place=place: arrive(store, part(barrier, place)) for place in range(3)
        ]
        steps.insert(first, lambda: store.expect(publisher(barrier), 3, TTL))
        outcomes = [step().outcome for step in steps]
        assert outcomes == [WAITING, WAITING, WAITING, CLAIMED]

    def test_without_opening(self, store: Store, barrier: str):
        """A barrier that an older client did not open works, and tells nothing about itself."""
        arrive(store, part(barrier, 0))
        answer = store.expect(publisher(barrier), 1, TTL)
        assert (answer.outcome, answer.parts, answer.about) == (CLAIMED, 1, b"")

    def test_empty_header(self, store: Store, barrier: str):
        """A barrier that expects nothing is complete when its size arrives."""
        store.open_barrier(barrier, b"", TTL)
        answer = store.expect(publisher(barrier), 0, TTL)
        assert (answer.outcome, answer.parts) == (CLAIMED, 0)
        assert gathered(store, barrier) == {}

    def test_duplicates_count_once(self, store: Store, barrier: str):
        """Parts are counted by identity: ten deliveries of one part are one part."""
        begin(store, barrier, 3)
        for _ in range(10):
            assert arrive(store, part(barrier, 0)).outcome is WAITING
        assert arrive(store, part(barrier, 1)).outcome is WAITING
        assert arrive(store, part(barrier, 2)).outcome is CLAIMED

    def test_first_value_stays(self, store: Store, barrier: str):
        """A part is written once: a second delivery does not change its value."""
        begin(store, barrier, 2)
        store.arrive(part(barrier, 0), b"first", TTL)
        store.arrive(part(barrier, 0), b"second", TTL)
        store.arrive(part(barrier, 1), b"other", TTL)
        assert gathered(store, barrier) == {(0, "task-0"): b"first", (1, "task-1"): b"other"}

    def test_one_member_at_two_places(self, store: Store, barrier: str):
        """The same frozen signature twice in a header is two parts."""
        begin(store, barrier, 2)
        assert arrive(store, part(barrier, 0, "same")).outcome is WAITING
        assert arrive(store, part(barrier, 1, "same")).outcome is CLAIMED
        assert set(gathered(store, barrier)) == {(0, "same"), (1, "same")}

    def test_two_members_at_one_place(self, store: Store, barrier: str):
        """Neither the place nor the member alone is the identity: places repeat."""
        begin(store, barrier, 3)
        assert arrive(store, part(barrier, 0, "a")).outcome is WAITING
        assert arrive(store, part(barrier, 0, "b")).outcome is WAITING
        assert arrive(store, part(barrier, 2, "c")).outcome is CLAIMED
        assert set(gathered(store, barrier)) == {(0, "a"), (0, "b"), (2, "c")}

    def test_odd_members_and_values(self, store: Store, barrier: str):
        """Members are any text and values any bytes."""
        odd = {"a:b:c": b"", "": bytes(range(256)), "ключ\n\"'": b"\0", "m" * 500: b"x" * 100_000}
        begin(store, barrier, len(odd))
        for place, (member, value) in enumerate(odd.items()):
            answer = store.arrive(Part(barrier, place, member, delivery()), value, TTL)
        assert answer.outcome is CLAIMED
        assert {member: v for (_, member), v in gathered(store, barrier).items()} == odd

    def test_odd_barrier(self, store: Store, barrier: str):
        """A barrier's name is any text, at any length, and comes back as it was asked for."""
        name = f"{barrier} ключ\n{'long' * 500}"
        complete(store, name)
        assert {each.barrier for each, _ in store.parts(name)} == {name}

    def test_barriers_do_not_mix(self, store: Store, barrier: str):
        """Two barriers with the same members are two, also where one name begins another."""
        begin(store, barrier, 2)
        begin(store, barrier + "0", 2)
        assert arrive(store, part(barrier, 0)).outcome is WAITING
        assert arrive(store, part(barrier + "0", 1)).outcome is WAITING
        assert arrive(store, part(barrier, 1)).outcome is CLAIMED
        assert set(gathered(store, barrier + "0")) == {(1, "task-1")}

    def test_many_in_random_order(self, store: Store, barrier: str):
        """Three hundred parts, delivered twice in random order: the last new one claims."""
        places = list(range(300)) * 2
        random.Random(7).shuffle(places)
        last_new = max(places.index(place) for place in range(300))
        begin(store, barrier, 300)
        outcomes = [arrive(store, part(barrier, place)).outcome for place in places[: last_new + 1]]
        assert outcomes == [WAITING] * last_new + [CLAIMED]
        assert len(gathered(store, barrier)) == 300

    def test_looking_records_nothing(self, store: Store, barrier: str):
        """Without a value a part is not recorded, and a barrier that nobody began is not begun."""
        assert store.arrive(part(barrier, 0), None, TTL).outcome is WAITING
        begin(store, barrier, 1)
        assert store.arrive(part(barrier, 0), None, TTL).outcome is WAITING
        assert arrive(store, part(barrier, 0)).outcome is CLAIMED

    def test_size_may_be_told_again(self, store: Store, barrier: str):
        """The publisher's message may come twice, and its own claim does not stand in its way."""
        store.open_barrier(barrier, b"about", TTL)
        arrive(store, part(barrier, 0))
        assert store.expect(publisher(barrier), 2, TTL).outcome is WAITING
        assert store.expect(publisher(barrier), 2, TTL).outcome is WAITING
        arrive(store, part(barrier, 1))
        assert store.expect(publisher(barrier), 2, TTL).outcome is HELD


class TestClaiming:
    def test_others_are_held(self, store: Store, barrier: str):
        """While one part's delivery holds the claim, another part's is told whose it is."""
        holder = complete(store, barrier)
        answer = arrive(store, part(barrier, 0))
        assert (answer.outcome, answer.holder) == (HELD, holder.delivery)
        assert store.arrive(publisher(barrier), None, TTL).holder == holder.delivery
        assert store.renew(holder)

    def test_same_delivery_asks_again(self, store: Store, barrier: str):
        """A claim whose answer was lost is still the delivery's own."""
        holder = complete(store, barrier)
        assert arrive(store, holder) == Arrival(CLAIMED, parts=2, about=b"about")
        assert store.renew(holder)

    def test_own_part_takes_over_at_once(self, store: Store, barrier: str):
        """A redelivered message breaks the claim of its earlier delivery without waiting."""
        holder = complete(store, barrier)
        again = part(barrier, holder.place)
        assert arrive(store, again).outcome is CLAIMED
        assert not store.renew(holder)
        assert store.renew(again)

    def test_evicting(self, store: Store, barrier: str):
        """A claim of another part is broken only by who names its holder."""
        holder = complete(store, barrier)
        other = part(barrier, 0)
        assert arrive(store, other, evict="somebody else").outcome is HELD
        assert store.arrive(other, None, TTL, holder.delivery).outcome is CLAIMED
        assert not store.renew(holder)
        assert store.renew(other)
        assert store.arrive(holder, None, TTL).holder == other.delivery

    def test_evicted_twice(self, store: Store, barrier: str):
        """Naming a holder that was evicted already breaks nothing."""
        holder = complete(store, barrier)
        first, second = part(barrier, 0), publisher(barrier)
        assert store.arrive(first, None, TTL, holder.delivery).outcome is CLAIMED
        answer = store.arrive(second, None, TTL, holder.delivery)
        assert (answer.outcome, answer.holder) == (HELD, first.delivery)

    def test_looking_breaks_nothing(self, store: Store, barrier: str):
        """A delivery that lost its claim to another of its part looks without taking it back.

        Else two that both live would take it from each other for ever.
        """
        holder = complete(store, barrier)
        again = part(barrier, holder.place)
        assert arrive(store, again).outcome is CLAIMED
        answer = store.arrive(holder, None, TTL)
        assert (answer.outcome, answer.holder) == (HELD, again.delivery)
        assert store.renew(again)
        assert store.arrive(holder, None, TTL, again.delivery).outcome is CLAIMED

    def test_the_size_takes_over_too(self, store: Store, barrier: str):
        """The publisher's message that comes again breaks the claim of its earlier delivery."""
        store.open_barrier(barrier, b"about", TTL)
        arrive(store, part(barrier, 0))
        first, again = publisher(barrier), publisher(barrier)
        assert store.expect(first, 1, TTL).outcome is CLAIMED
        assert store.expect(again, 1, TTL).outcome is CLAIMED
        assert not store.renew(first)

    def test_looking_may_claim(self, store: Store, barrier: str):
        """A look at a complete barrier that nobody holds claims it."""
        begin(store, barrier, 2)
        arrive(store, part(barrier, 0))
        arrive(store, part(barrier, 0, "added later"))
        store.open_barrier(barrier, b"about", TTL)
        assert store.arrive(publisher(barrier), None, TTL).outcome is WAITING

    def test_nobody_holds_what_was_not_claimed(self, store: Store, barrier: str):
        """Renewing without a claim is False, with and without a barrier."""
        assert not store.renew(part(barrier, 0))
        begin(store, barrier, 2)
        assert not store.renew(part(barrier, 0))


class TestClosing:
    def test_late_arrival(self, store: Store, barrier: str):
        """After the tombstone every arrival is told so, and nothing it brings is kept."""
        holder = complete(store, barrier)
        close(store, holder)
        assert gathered(store, barrier) == {}
        for late in (part(barrier, 0), part(barrier, 7), publisher(barrier), holder):
            assert arrive(store, late).outcome is CLOSED
            assert store.arrive(late, None, TTL).outcome is CLOSED
        assert store.expect(publisher(barrier), 2, TTL).outcome is CLOSED
        assert gathered(store, barrier) == {}
        assert not store.renew(holder)

    def test_again(self, store: Store, barrier: str):
        """Closing twice is fine: the first answer may have been lost."""
        holder = complete(store, barrier)
        close(store, holder)
        close(store, holder)
        assert arrive(store, holder).outcome is CLOSED

    def test_whoever_owns_it(self, store: Store, barrier: str):
        """Who has published closes the barrier, whoever holds the claim by then."""
        holder = complete(store, barrier)
        other = part(barrier, 0)
        assert store.arrive(other, None, TTL, holder.delivery).outcome is CLAIMED
        close(store, holder)
        assert not store.renew(other)
        assert arrive(store, other).outcome is CLOSED

    def test_stores_the_completing_result(self, store: Store, barrier: str, key: str):
        """The result of the part that completed the barrier is stored by closing it, ranked."""
        holder = complete(store, barrier)
        done = offer(key, Rank.SUCCEEDED)
        store.close_barrier(holder, TTL, done, rank_of)
        assert store.get(key).value == done.value
        store.close_barrier(holder, TTL, offer(key, Rank.FAILED), rank_of)
        assert store.get(key).value == done.value

    def test_tombstone_expires(self, store: Store, barrier: str):
        """When the tombstone's time is over the barrier is as if it had never been."""
        holder = complete(store, barrier)
        store.close_barrier(holder, SHORT, None, rank_of)
        outlive(store)
        begin(store, barrier, 1)
        assert arrive(store, part(barrier, 0)).outcome is CLAIMED

    def test_expired_parts_are_missed(self, store: Store, barrier: str):
        """Parts that have expired are left out, and the claim said how many there were."""
        begin(store, barrier, 2)
        store.arrive(part(barrier, 0), b"short", 0.25)
        answer = store.arrive(part(barrier, 1), b"long", TTL)
        time.sleep(0.3 + store.limits.ttl_step)
        left = gathered(store, barrier)
        assert left[1, "task-1"] == b"long"
        # A store may renew the whole barrier with each arrival: then nothing is missed.
        assert answer.outcome is WAITING or len(left) <= answer.parts == 2


class TestReopening:
    def test_nothing_earlier_counts(self, store: Store, barrier: str):
        """A new run has parts, a size and a claim of its own."""
        begin(store, barrier, 3)
        arrive(store, part(barrier, 0))
        arrive(store, part(barrier, 1))
        store.open_barrier(barrier, b"second", TTL)
        assert arrive(store, part(barrier, 2)).outcome is WAITING
        assert store.expect(publisher(barrier), 2, TTL).outcome is WAITING
        answer = arrive(store, part(barrier, 1))
        assert (answer.outcome, answer.parts, answer.about) == (CLAIMED, 2, b"second")
        assert set(gathered(store, barrier)) == {(1, "task-1"), (2, "task-2")}

    def test_values_are_the_new_runs(self, store: Store, barrier: str):
        """A part of the new run has the new value, though it is the same part."""
        begin(store, barrier, 1)
        store.arrive(part(barrier, 0), b"old", TTL)
        begin(store, barrier, 1)
        store.arrive(part(barrier, 0), b"new", TTL)
        assert gathered(store, barrier) == {(0, "task-0"): b"new"}

    def test_after_closing(self, store: Store, barrier: str):
        """A frozen chord can be applied again after it was dispatched."""
        for _ in range(3):
            close(store, complete(store, barrier))

    def test_old_claim_is_void(self, store: Store, barrier: str):
        """Who held the claim of an earlier run neither holds the new one nor closes it."""
        holder = complete(store, barrier)
        begin(store, barrier, 2)
        assert not store.renew(holder)
        close(store, holder)
        assert arrive(store, part(barrier, 0)).outcome is WAITING
        assert arrive(store, part(barrier, 1)).outcome is CLAIMED
        assert len(gathered(store, barrier)) == 2


class TestAdding:
    """Parts that a running header task adds (`Task.add_to_chord`)."""

    def test_waits_for_the_added(self, store: Store, barrier: str):
        """A part that was added has to arrive as well."""
        begin(store, barrier, 2)
        adder = part(barrier, 0)
        store.expect_more(adder, 0, "added", TTL)
        assert arrive(store, adder).outcome is WAITING
        assert arrive(store, part(barrier, 1)).outcome is WAITING
        answer = arrive(store, part(barrier, 0, "added"))
        assert (answer.outcome, answer.parts) == (CLAIMED, 3)
        assert set(gathered(store, barrier)) == {(0, "task-0"), (1, "task-1"), (0, "added")}

    def test_added_arrives_first(self, store: Store, barrier: str):
        """The added part may arrive before its adder; it does not stand for a header task."""
        begin(store, barrier, 2)
        adder = part(barrier, 0)
        store.expect_more(adder, 0, "added", TTL)
        assert arrive(store, part(barrier, 0, "added")).outcome is WAITING
        assert arrive(store, part(barrier, 1)).outcome is WAITING
        assert arrive(store, adder).outcome is CLAIMED

    def test_idempotent(self, store: Store, barrier: str):
        """The same member of the same slot is expected once, however often that is said."""
        begin(store, barrier, 1)
        for _ in range(3):
            store.expect_more(part(barrier, 0), 0, "added", TTL)
        arrive(store, part(barrier, 0))
        assert arrive(store, part(barrier, 0, "added")).outcome is CLAIMED

    def test_any_member_fills_the_slot(self, store: Store, barrier: str):
        """An adder that ran twice named two members: one of them is enough, and one is yielded."""
        begin(store, barrier, 1)
        store.expect_more(part(barrier, 0), 0, "first run", TTL)
        store.expect_more(part(barrier, 0), 0, "second run", TTL)
        arrive(store, part(barrier, 0))
        answer = arrive(store, part(barrier, 0, "second run"))
        assert (answer.outcome, answer.parts) == (CLAIMED, 2)
        assert set(gathered(store, barrier)) == {(0, "task-0"), (0, "second run")}

    def test_both_members_arrive(self, store: Store, barrier: str):
        """Two members of one slot are one part; neither stands for a header task."""
        begin(store, barrier, 2)
        for member in ("first run", "second run"):
            store.expect_more(part(barrier, 0), 0, member, TTL)
            assert arrive(store, part(barrier, 0, member)).outcome is WAITING
        assert arrive(store, part(barrier, 0)).outcome is WAITING
        answer = arrive(store, part(barrier, 1))
        assert (answer.outcome, answer.parts) == (CLAIMED, 3)
        assert len(gathered(store, barrier)) == 3

    def test_slots_are_separate(self, store: Store, barrier: str):
        """Two slots of one adder, and the same slot of two adders, are parts of their own."""
        begin(store, barrier, 2)
        for adder, slot, member in ((0, 0, "a"), (0, 1, "b"), (1, 0, "c")):
            store.expect_more(part(barrier, adder), slot, member, TTL)
        arrivals = [(0, "task-0"), (0, "a"), (1, "c"), (1, "task-1"), (0, "b")]
        outcomes = [arrive(store, part(barrier, *each)).outcome for each in arrivals]
        assert outcomes == [WAITING] * 4 + [CLAIMED]
        assert set(gathered(store, barrier)) == set(arrivals)

    def test_before_the_size(self, store: Store, barrier: str):
        """What was added before the size is known is kept when it comes."""
        store.open_barrier(barrier, b"", TTL)
        store.expect_more(part(barrier, 0), 0, "added", TTL)
        arrive(store, part(barrier, 0))
        assert store.expect(publisher(barrier), 1, TTL).outcome is WAITING
        assert arrive(store, part(barrier, 0, "added")).outcome is CLAIMED

    def test_claim_fixes_the_choice(self, store: Store, barrier: str):
        """Another member of a filled slot that arrives after the claim changes no value."""
        begin(store, barrier, 1)
        store.expect_more(part(barrier, 0), 0, "first run", TTL)
        store.expect_more(part(barrier, 0), 0, "second run", TTL)
        arrive(store, part(barrier, 0))
        assert arrive(store, part(barrier, 0, "second run")).outcome is CLAIMED
        before = gathered(store, barrier)
        assert arrive(store, part(barrier, 0, "first run")).outcome is HELD
        assert gathered(store, barrier) == before
        assert arrive(store, part(barrier, 0, "second run")).parts == len(before)
        assert gathered(store, barrier) == before

    def test_too_late_to_add(self, store: Store, barrier: str):
        """What is added after the claim is not expected, and does not count when it arrives."""
        holder = complete(store, barrier)
        before = gathered(store, barrier)
        store.expect_more(part(barrier, 0), 0, "too late", TTL)
        assert arrive(store, part(barrier, 0, "too late")).outcome is HELD
        assert gathered(store, barrier) == before
        assert arrive(store, part(barrier, holder.place)).parts == len(before)
        assert gathered(store, barrier) == before

    def test_after_closing(self, store: Store, barrier: str):
        """Adding to a closed barrier changes nothing."""
        close(store, complete(store, barrier))
        store.expect_more(part(barrier, 0), 0, "too late", TTL)
        assert arrive(store, part(barrier, 0, "too late")).outcome is CLOSED


class TestFinishing:
    """The part and the result in one call."""

    def test_waiting(self, store: Store, barrier: str, key: str):
        """A success is stored when its part does not complete the barrier."""
        begin(store, barrier, 2)
        result = offer(key, Rank.SUCCEEDED, "result")
        assert store.finish(result, part(barrier, 0), rank_of, TTL).outcome is WAITING
        assert store.get(key).value == result.value

    def test_completing(self, store: Store, barrier: str, key: str):
        """The success that completes the barrier is a part and not yet a result."""
        begin(store, barrier, 1)
        result = offer(key, Rank.SUCCEEDED, "result")
        answer = store.finish(result, part(barrier, 0), rank_of, TTL)
        assert (answer.outcome, answer.parts, answer.about) == (CLAIMED, 1, b"about")
        assert store.get(key) is None
        assert gathered(store, barrier) == {(0, "task-0"): result.value}

    def test_held(self, store: Store, barrier: str, key: str):
        """A success that finds the claim held is not stored; who is stored last tells Celery."""
        holder = complete(store, barrier)
        result = offer(key, Rank.SUCCEEDED)
        answer = store.finish(result, part(barrier, 0), rank_of, TTL)
        assert (answer.outcome, answer.holder) == (HELD, holder.delivery)
        assert store.get(key) is None
        answer = store.finish(result, part(barrier, 0), rank_of, TTL, holder.delivery)
        assert answer.outcome is CLAIMED

    def test_closed(self, store: Store, barrier: str, key: str):
        """After the tombstone the caller offers its result itself."""
        close(store, complete(store, barrier))
        result = offer(key, Rank.SUCCEEDED)
        assert store.finish(result, part(barrier, 0), rank_of, TTL).outcome is CLOSED
        assert store.get(key) is None

    @pytest.mark.parametrize("size", [1, 2])
    def test_failure_is_stored_first(self, store: Store, barrier: str, key: str, size: int):
        """A failure is stored whether it completes the barrier or not."""
        begin(store, barrier, size)
        result = offer(key, Rank.FAILED, "error")
        answer = store.finish(result, part(barrier, 0), rank_of, TTL)
        assert answer.outcome is (CLAIMED if size == 1 else WAITING)
        assert store.get(key).value == result.value
        assert gathered(store, barrier) == {(0, "task-0"): result.value}

    def test_rank_holds(self, store: Store, barrier: str, key: str):
        """The result is ranked as any offer: a stored success stays, and the part arrives."""
        begin(store, barrier, 2)
        success = offer(key, Rank.SUCCEEDED)
        store.offer(success, rank_of)
        answer = store.finish(offer(key, Rank.FAILED), part(barrier, 0), rank_of, TTL)
        assert answer.outcome is WAITING
        assert store.get(key).value == success.value
        assert arrive(store, part(barrier, 1)).outcome is CLAIMED

    def test_first_part_stays(self, store: Store, barrier: str, key: str):
        """A failure after a success of the same part leaves the part's value."""
        begin(store, barrier, 2)
        success = offer(key, Rank.SUCCEEDED)
        store.finish(success, part(barrier, 0), rank_of, TTL)
        store.finish(offer(key, Rank.FAILED), part(barrier, 0), rank_of, TTL)
        arrive(store, part(barrier, 1))
        assert gathered(store, barrier)[0, "task-0"] == success.value


class TestMembers:
    def test_add_member(self, store: Store, key: str):
        """A set of members grows by one, and an addition again changes nothing."""
        assert store.add_member(key, "a", TTL) == {"a"}
        assert store.add_member(key, "b", TTL) == {"a", "b"}
        assert store.add_member(key, "a", TTL) == {"a", "b"}

    def test_reads_as_a_list(self, store: Store, key: str):
        """What `add_member` keeps is read as a JSON list, alone and in batches, and removed."""
        odd = ["", "a:b", 'ключ\n"$.x', "m" * 500]
        for member in odd:
            store.add_member(key, member, TTL)
        assert sorted(json.loads(store.get(key).value)) == sorted(odd)
        assert sorted(json.loads(store.get_batch([key])[key])) == sorted(odd)
        store.delete(key)
        assert store.get(key) is None
        assert store.add_member(key, "again", TTL) == {"again"}

    def test_expired_set_begins_anew(self, store: Store, key: str):
        """A set that has expired is empty, whether or not the store has removed it yet."""
        store.add_member(key, "old", SHORT)
        outlive(store)
        assert store.add_member(key, "new", TTL) == {"new"}
        assert json.loads(store.get(key).value) == ["new"]
