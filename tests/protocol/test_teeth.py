"""Each rule of the chord is needed: with one of them broken the worlds show what goes wrong."""

from collections.abc import Callable

import msgspec
import pytest

from kvbackends.contract import Arrival, Outcome, Rank, Store, pages
from kvbackends.contract.stepwise import Control, Visit
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

    def finish(self, offer, part, rank_of, ttl, evict=None):
        self.offer(offer, rank_of)
        return self.arrive(part, offer.value, ttl, evict)

    patch.setattr(Store, "finish", finish)


def losers_acknowledge(patch: Patch) -> None:
    """Who finds the claim held goes away."""
    patch.setattr(Chord, "_hold", lambda *_: Arrival(Outcome.WAITING))


def no_lease(patch: Patch) -> None:
    """Who finds the claim held waits for ever."""
    patch.setattr(Chord, "_look", lambda self, _: self.store.arrive(self.part, None, 1e6))


def last_value_stays(patch: Patch) -> None:
    """A second delivery of a part replaces its value."""

    def record(store, run, part, value, ttl):
        store.set(run.value(part.place, part.member), value, ttl)
        return len(
            store.add_member(run.page(pages.page_of(part)), f"{part.place}:{part.member}", ttl)
        )

    patch.setattr(pages, "record", record)


def value_after_listing(patch: Patch) -> None:
    """A part is listed before its value is stored."""

    def record(store, run, part, value, ttl):
        page = store.add_member(run.page(pages.page_of(part)), f"{part.place}:{part.member}", ttl)
        store.compare_and_set(run.value(part.place, part.member), value, None, ttl)
        return len(page)

    patch.setattr(pages, "record", record)


def listing_not_read(patch: Patch) -> None:
    """The counts decide whether the barrier is complete."""
    chosen = Control.chosen

    def trusting(self, members):
        listed = list(members)
        return chosen(self, listed) or listed

    patch.setattr(Control, "chosen", trusting)


def no_tombstone(patch: Patch) -> None:
    """Closing removes the parts and the record."""

    def close(self, part, ttl, offer, rank_of):
        self.delete(CONTROL)
        if offer is not None:
            self.offer(offer, rank_of)

    patch.setattr(Store, "close_barrier", close)


def late_arrivals_stay(patch: Patch) -> None:
    """What comes after the tombstone is not removed."""
    patch.setattr(pages, "forget", lambda *_: None)


def late_arrival_removes_its_page_only(patch: Patch) -> None:
    """A page is removed by a late arrival before who closed the barrier has read it."""

    def forget(store, run, part):
        store.delete(run.value(part.place, part.member))
        store.delete(run.page(pages.page_of(part)))

    patch.setattr(pages, "forget", forget)


def looks_take_over(patch: Patch) -> None:
    """Who lost the claim to another delivery of its part takes it back at once."""
    patch.setattr(
        Visit,
        "may_break",
        lambda self, owner: owner.delivery == self.evict or owner.is_part(self.part),
    )


def choice_not_fixed(patch: Patch) -> None:
    """The claim does not remember which member of a slot it chose."""
    patch.setattr(Control, "claimed", lambda self, part, chosen: self.owned(part, len(chosen)))


def strays_count(patch: Patch) -> None:
    """What is added after the claim passes for a header task."""

    def added(self, slot, member):
        ids = self.extra.get(slot, [])
        if self.done or self.owner or member in ids:
            return self
        return msgspec.structs.replace(self, extra={**self.extra, slot: [*ids, member]})

    patch.setattr(Control, "added", added)


def not_renewed(patch: Patch) -> None:
    """The claim is not looked at between the read and the publish."""
    patch.setattr(Store, "renew", lambda *_: True)


def failure_last(patch: Patch) -> None:
    """A failure is stored only while the barrier waits, and by nobody afterwards."""

    def finish(self, offer, part, rank_of, ttl, evict=None):
        arrival = self.arrive(part, offer.value, ttl, evict)
        if arrival.outcome is Outcome.WAITING and offer.rank is Rank.SUCCEEDED:
            self.offer(offer, rank_of)
        return arrival

    patch.setattr(Store, "finish", finish)


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
    monkeypatch.setattr(pages, "PAGES", 1)
    break_it(monkeypatch)
    violated = explore(plan, seeded(6_000, seed=2))
    assert violated is not None
    assert any(str(violated).startswith(each) for each in shown.split("|")), violated
