"""Each rule of the chord is needed: with any one broken, some history violates a property."""

from collections.abc import Callable

import msgspec
import pytest

from kvbackends.contract import Arrival, Outcome, Rank, paged
from kvbackends.contract.control import Control
from kvbackends.contract.paged import PagedBarrier
from kvbackends.contract.stepwise import Visit
from kvbackends.protocol.chord import Chord
from tests.protocol.test_chord import seeded
from tests.protocol.world import CONTROL, DictStore, Plan, Watched, explore

Patch = pytest.MonkeyPatch


def claim_without_comparing(patch: Patch) -> None:
    """The control record is written whatever its version."""

    def careless(self, key, value, version, ttl=None):
        if key == CONTROL and version is not None:
            self.set(key, value, ttl)
            return True
        return DictStore.compare_and_set(self, key, value, version, ttl)

    patch.setattr(Watched, "compare_and_set", careless)


def result_first(patch: Patch) -> None:
    """The success is stored before the part arrives."""

    def finish(self, part, offer, rank_of, evict=None):
        self.store.offer(offer, rank_of)
        return self.arrive(part, offer.value, evict)

    patch.setattr(PagedBarrier, "finish", finish)


def losers_acknowledge(patch: Patch) -> None:
    """A delivery that finds the claim held does not wait."""
    patch.setattr(Chord, "_wait_for_claim", lambda *_: Arrival(Outcome.WAITING))


def no_lease(patch: Patch) -> None:
    """A delivery that finds the claim held waits for ever."""
    patch.setattr(Chord, "_arrive_again", lambda self, _: self._barrier.arrive(self.part, None))


def last_value_stays(patch: Patch) -> None:
    """A second delivery of a part replaces its value."""
    record = PagedBarrier._record_part

    def replacing(self, visit, run):
        if visit.value is not None and visit.recorded is None:
            key = run.value(visit.part.place, visit.part.member)
            self.store.set(key, visit.value, self.ttl)
        return record(self, visit, run)

    patch.setattr(PagedBarrier, "_record_part", replacing)


def value_after_listing(patch: Patch) -> None:
    """A part is listed before its value is stored."""

    def listing_first(self, visit, run):
        if visit.value is None or (visit.recorded and visit.recorded.run == run):
            return False
        place, member, _ = visit.part
        page = paged.page_of(visit.part)
        listed = self.store.add_member(run.page(page), f"{place}:{member}", self.ttl)
        self.store.compare_and_set(run.value(place, member), visit.value, None, self.ttl)
        visit.recorded = paged.Recorded(run, page, len(listed))
        return True

    patch.setattr(PagedBarrier, "_record_part", listing_first)


def listing_not_read(patch: Patch) -> None:
    """The counts decide whether the barrier is complete."""
    chosen = Control.chosen

    def trusting(self, members):
        listed = list(members)
        return chosen(self, listed) or listed

    patch.setattr(Control, "chosen", trusting)


def no_tombstone(patch: Patch) -> None:
    """Closing removes the parts and the record."""

    def close(self, part, offer, rank_of):
        self.store.delete(CONTROL)
        if offer is not None:
            self.store.offer(offer, rank_of)

    patch.setattr(PagedBarrier, "close", close)


def late_arrivals_stay(patch: Patch) -> None:
    """Parts that arrive after the tombstone are not removed."""
    patch.setattr(PagedBarrier, "forget", lambda *_: None)


def late_arrival_removes_its_page_only(patch: Patch) -> None:
    """A late arrival removes a page before the closing delivery has read it."""

    def forget(self, visit):
        if visit.recorded is not None:
            self.store.delete(visit.recorded.run.value(visit.part.place, visit.part.member))
            self.store.delete(visit.recorded.run.page(visit.recorded.page))

    patch.setattr(PagedBarrier, "forget", forget)


def looks_take_over(patch: Patch) -> None:
    """A delivery that lost the claim to a redelivery of its part takes it back at once."""
    patch.setattr(
        Visit,
        "takes_over",
        lambda self, claim: claim.delivery == self.evict or claim.is_part(self.part),
    )


def choice_not_fixed(patch: Patch) -> None:
    """The claim does not remember which member of a slot it chose."""
    patch.setattr(Control, "claimed", lambda self, part, chosen: self.taken_over(part, len(chosen)))


def strays_count(patch: Patch) -> None:
    """A part that is added after the claim counts as a header task."""

    def added(self, slot, member):
        ids = self.extra.get(slot, [])
        if self.done or self.claim or member in ids:
            return self
        return msgspec.structs.replace(self, extra={**self.extra, slot: [*ids, member]})

    patch.setattr(Control, "added", added)


def not_renewed(patch: Patch) -> None:
    """The claim is not renewed between the read and the publish."""
    patch.setattr(PagedBarrier, "renew", lambda *_: True)


def failure_last(patch: Patch) -> None:
    """A failure is stored only while the barrier waits, and never afterwards."""

    def finish(self, part, offer, rank_of, evict=None):
        arrival = self.arrive(part, offer.value, evict)
        if arrival.outcome is Outcome.WAITING and offer.rank is Rank.SUCCEEDED:
            self.store.offer(offer, rank_of)
        return arrival

    patch.setattr(PagedBarrier, "finish", finish)


MUTANTS: list[tuple[Callable[[Patch], None], Plan, str]] = [
    (claim_without_comparing, Plan(parts=3, workers=4), "P4|P3|P1"),
    (result_first, Plan(crashes=1), "P3 never published"),
    (losers_acknowledge, Plan(crashes=1, duplicates=1), "P3 never published|P5 no tombstone"),
    (no_lease, Plan(crashes=1, duplicates=1), "P3 never"),
    (last_value_stays, Plan(crashes=1, duplicates=2), "P2 two runs published different values"),
    (value_after_listing, Plan(parts=2, workers=3), "P1 published early"),
    (listing_not_read, Plan(adds=1, duplicates=2), "P1 published early"),
    (no_tombstone, Plan(duplicates=1), "P5 no tombstone|P4|P3"),
    (late_arrivals_stay, Plan(duplicates=2), "P5 garbage"),
    (late_arrival_removes_its_page_only, Plan(adds=2, duplicates=2), "P5 garbage"),
    (looks_take_over, Plan(duplicates=2), "P3 never ends"),
    (choice_not_fixed, Plan(adds=1, crashes=1, duplicates=2, workers=4), "P2 two runs"),
    (strays_count, Plan(adds=1, duplicates=2, workers=4), "P2|P5"),
    (not_renewed, Plan(duplicates=2), "P1|P2|P4"),
    (failure_last, Plan(fails=True), "results were never stored"),
]


@pytest.mark.parametrize(
    ("break_it", "plan", "shown"), MUTANTS, ids=[each.__name__ for each, _, _ in MUTANTS]
)
def test_broken_rule_is_caught(
    monkeypatch: Patch, break_it: Callable[[Patch], None], plan: Plan, shown: str
):
    """Some history among a few thousand violates the property that the rule serves."""
    monkeypatch.setattr(paged, "PAGES", 1)
    break_it(monkeypatch)
    violated = explore(plan, seeded(6_000, seed=2))
    assert violated is not None
    assert any(str(violated).startswith(each) for each in shown.split("|")), violated
