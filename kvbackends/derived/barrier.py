"""The chord's barrier over five methods: one turn of the protocol, without waiting.

`docs/protocol.md` has the rules.  Two kinds of keys: the control record, and pages of parts.
Arrive first and look afterwards: the control record is written after the part is recorded, in a
`compare_and_set` on the version that was looked at, so the last writer sees every part.
"""

import uuid
from collections.abc import Hashable, Iterator
from typing import NamedTuple

import msgspec

from kvbackends.derived import pages
from kvbackends.derived.control import Control, Owner, decode
from kvbackends.derived.pages import Run
from kvbackends.derived.primitives import LostRaces, Operations, Primitives, get_many, update
from kvbackends.records import Arrival, Offer, Outcome, Part, RankOf

ABOUT_TTL = 30 * 86400.0
"""Seconds.  `about` is not renewed by arrivals, so it outlives chords that run for weeks."""

_WAITING = Arrival(Outcome.WAITING)
_CLOSED = Arrival(Outcome.CLOSED)


def open_barrier(store: Primitives, barrier: str, about: bytes, ttl: float | None) -> None:
    """A new run: other keys for its parts, so nothing of an earlier run counts."""
    run = Run(barrier, uuid.uuid4().hex[:12])
    fresh = Control(run=run.run).encode()
    store.set(run.about, about, None if ttl is None else max(ttl, ABOUT_TTL))
    if not store.compare_and_set(_control(barrier), fresh, None, ttl):
        update(store, _control(barrier), lambda _: fresh, ttl)


def expect(store: Operations, part: Part, size: int, ttl: float | None) -> Arrival:
    """Write the size, keep the rest, then look like any arrival."""
    return _turn(store, _Visit(part, ttl, size=size))


def expect_more(store: Primitives, part: Part, slot: int, member: str, ttl: float | None) -> None:
    """One part more.  A run of the adder that comes again adds another member to the same slot."""

    def with_member(old: bytes | None) -> bytes | None:
        control = decode(old)
        changed = control.added(f"{part.place}:{part.member}:{slot}", member)
        return None if changed == control else changed.encode()

    update(store, _control(part.barrier), with_member, ttl)


def arrive(
    store: Operations, part: Part, value: bytes | None, ttl: float | None, evict: str | None
) -> Arrival:
    """Record the part (None: it is recorded), count it, and claim the barrier if it is complete."""
    return _turn(store, _Visit(part, ttl, value, evict))


def parts(store: Operations, barrier: str) -> Iterator[tuple[Part, bytes]]:
    """The recorded parts, in no order; one for each added slot.  Expired ones are left out."""
    control = _now(store, barrier)
    run = Run(barrier, control.run)
    listed = pages.members(store, run, control.pages)
    chosen = control.chosen(listed)
    if chosen and control.surpasses(chosen):
        chosen = _now(store, barrier).chosen(listed)  # whatever is listed was added before
    keys = {run.value(*each): each for each in chosen or listed}
    for key, value in get_many(store, keys):
        yield Part(barrier, *keys[key], ""), value


def renew(store: Primitives, part: Part) -> bool:
    """True if this delivery still holds the claim."""
    owner = _now(store, part.barrier).owner
    return owner is not None and owner.delivery == part.delivery


def close_barrier(
    store: Operations, part: Part, ttl: float | None, offer: Offer | None, rank_of: RankOf
) -> None:
    """Tombstone first, whoever owns the claim by now; then the result; then the parts.

    The result does not wait for the discard, which takes longer the more parts there are: with
    early acknowledgement a process lost in between is taken for one that failed.  A run that
    nobody has claimed began after the one that was dispatched, and is left alone.
    """
    before: Control | None = None

    def tombstone(old: bytes | None) -> bytes | None:
        nonlocal before
        control = decode(old)
        later = old is not None and not control.owner and not control.done
        before = None if later else control
        return None if later else Control(run=control.run, done=True).encode()

    update(store, _control(part.barrier), tombstone, ttl)
    if offer is not None:
        store.offer(offer, rank_of)
    if before is not None:
        run = Run(part.barrier, before.run)
        pages.discard(store, run, before.pages)
        store.delete(run.about)


class _Look(NamedTuple):
    control: Control
    version: Hashable | None


class _Visit(NamedTuple):
    """What comes to a barrier: a part with its value, the size, or somebody who looks."""

    part: Part
    ttl: float | None
    value: bytes | None = None
    evict: str | None = None
    size: int | None = None

    def may_break(self, owner: Owner) -> bool:
        """True if a claim of `owner` gives way to this visit.

        A part that arrives breaks a claim of its own at once: its earlier delivery is lost.  Who
        only looks does not, or two deliveries that both live would take it from each other for
        ever.
        """
        arrives = self.value is not None or self.size is not None
        return owner.delivery == self.evict or (arrives and owner.is_part(self.part))

    def told(self, control: Control, count: int | None) -> Control:
        """The record with what this visit knows: the size, and the members on its part's page."""
        if self.size is not None:
            control = msgspec.structs.replace(control, size=self.size)
        return control if count is None else control.counted(pages.page_of(self.part), count)


def _turn(store: Operations, visit: _Visit) -> Arrival:
    part = visit.part
    recorded: tuple[Run, int] | None = None
    looks = _looks(store, part.barrier)
    while True:
        control, version = next(looks)
        if control.done:
            if recorded is not None:
                pages.forget(store, recorded[0], part)  # what came back to life after the discard
            return _CLOSED
        run = Run(part.barrier, control.run)
        arrives = visit.value is not None and (recorded is None or recorded[0] != run)
        if arrives:
            recorded = run, pages.record(store, run, part, visit.value or b"", visit.ttl)
        changed = visit.told(control, recorded and recorded[1])
        if changed != control:
            stored = store.compare_and_set(
                _control(part.barrier), changed.encode(), version, visit.ttl
            )
            if stored and not changed.may_be_full():
                return _WAITING
        if changed != control or arrives:
            continue  # look again: arrive first, look afterwards
        if not control.may_be_full():
            return _WAITING
        answer = _claim(store, visit, _Look(control, version))
        if answer is not None:
            return answer


def _claim(store: Operations, visit: _Visit, look: _Look) -> Arrival | None:
    """Claim what was looked at; None if it has changed meanwhile."""
    part, control, owner = visit.part, look.control, look.control.owner
    held = owner is not None and owner.delivery == part.delivery
    if owner is not None and not held and not visit.may_break(owner):
        return Arrival(Outcome.HELD, holder=owner.delivery)
    # Read before the claim; the read decides.  Nothing is discarded before the version changes.
    run = Run(part.barrier, control.run)
    chosen = control.chosen(pages.members(store, run, control.pages))
    if chosen is None:
        return _WAITING
    if not held:
        mine = Owner(part.place, part.member, part.delivery)
        claimed = control.claimed(mine, chosen).encode()
        if not store.compare_and_set(_control(part.barrier), claimed, look.version, visit.ttl):
            return None
    about = store.get(run.about)
    return Arrival(Outcome.CLAIMED, parts=len(chosen), about=about.value if about else b"")


def _looks(store: Primitives, barrier: str) -> Iterator[_Look]:
    """The record, again and again; it has to change in between."""
    races, key = LostRaces(), _control(barrier)
    while True:
        entry = store.get(key)
        control, version = (None, None) if entry is None else entry
        yield _Look(decode(control), version)
        races.count(version)


def _now(store: Primitives, barrier: str) -> Control:
    entry = store.get(_control(barrier))
    return decode(entry and entry.value)


def _control(barrier: str) -> str:
    return f"{barrier}.c"
