"""The rules of a chord's barrier, over requests that nearly every store can answer.

A barrier is a **control record**, which only compare-and-set changes, and **parts**, which are
recorded beside it.  A store that keeps both in its own form implements the requests, a subclass of
`StepwiseBarrier`, and returns it from `Store.barrier`; `docs/write-an-adapter.md` builds one.
"""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from kvbackends.contract.barrier import CLOSED, UNKNOWN, WAITING, Barrier, finish_in_steps
from kvbackends.contract.control import Claim, Control, Listed
from kvbackends.contract.derived import LostRaces
from kvbackends.contract.records import Arrival, BarrierState, Offer, Outcome, Part, RankOf

if TYPE_CHECKING:
    from kvbackends.contract.store import Store


class Snapshot(NamedTuple):
    """The control record as it was read.

    Attributes:
        control: The decoded record.
        version: Compared by `StepwiseBarrier.swap`; of the store's own type, None if there is
            no record.
        arrived: How many parts have arrived, or more; never fewer.
    """

    control: Control
    version: Any
    arrived: int = 0

    @property
    def open(self) -> bool:
        """True if there is a barrier, and it is not closed."""
        return self.version is not None and not self.control.done


NO_RECORD = Snapshot(Control(), None)
"""There is no control record: the barrier was never opened, or has expired."""
INCOMPLETE = Snapshot(Control(), "")
"""`StepwiseBarrier.record` may answer it where parts are certainly missing; it is never swapped."""


@dataclass(slots=True)
class Visit:
    """One call of `arrive` or `expect`: a part with its value, the size, or neither.

    Attributes:
        part: The part that visits.
        value: The part's bytes; None where it brings none.
        evict: The delivery whose claim may be taken over.
        size: The number of parts of the header, where the visit brings that.
        recorded: Set by `StepwiseBarrier.record`, for it and for `forget`; of the store's own
            type.
        races: Counts the races that the visit has lost.
    """

    part: Part
    value: bytes | None = None
    evict: str | None = None
    size: int | None = None
    recorded: Any = None
    races: LostRaces = field(default_factory=LostRaces)

    @property
    def arrives(self) -> bool:
        """True if the visit brings a part or the size."""
        return self.value is not None or self.size is not None

    def takes_over(self, claim: Claim) -> bool:
        """True if this visit may take over that claim.

        A part that arrives takes over a claim of its own: the earlier delivery is lost.  A visit
        that brings nothing does not: two living deliveries would take it from each other for ever.
        """
        return claim.delivery == self.evict or (self.arrives and claim.is_part(self.part))


class StepwiseBarrier(Barrier):
    """A barrier whose rules are here; a subclass implements the requests.

    Args:
        store: Stores the results of `finish` and `close`.
        name: The barrier's key.
        ttl: How long what an operation writes is kept, in seconds; None: for ever.
    """

    def __init__(self, store: "Store", name: str, ttl: float | None = None) -> None:
        self.store, self.name, self.ttl = store, name, ttl

    # -- the requests: `open`, `parts`, and these ---------------------------------------------

    @abstractmethod
    def record(self, visit: Visit) -> Snapshot | None:
        """Record what the visit brings, count it, then read the control record.

        In this order: the first value of a part stays, and the snapshot is later than the count, so
        that the last arrival sees all.  None if a race was lost: it is called again, with the same
        visit, and records only what is not recorded in the present run.  `NO_RECORD` if there is no
        control record: recording never begins a run.
        """

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """The control record as it is now."""

    @abstractmethod
    def swap(self, snapshot: Snapshot, control: Control) -> bool:
        """Replace the control record; False if it has changed since the snapshot."""

    @abstractmethod
    def listed(self, snapshot: Snapshot) -> Iterable[Listed]:
        """All parts that were recorded in the snapshot's run before the call."""

    @abstractmethod
    def payload(self, snapshot: Snapshot) -> bytes:
        """The payload of the snapshot's run; empty if there is none."""

    @abstractmethod
    def forget(self, visit: Visit) -> None:
        """Remove what `record` has recorded for this visit: the barrier is not open."""

    @abstractmethod
    def discard(self, snapshot: Snapshot) -> None:
        """Remove the parts of the snapshot's run, which is closed, and its payload."""

    def claim(self, snapshot: Snapshot, control: Control) -> bytes | None:
        """`swap`, then the payload; None if the record has changed since the snapshot."""
        return self.payload(snapshot) if self.swap(snapshot, control) else None

    def end(self) -> Snapshot | None:
        """Write the tombstone; the snapshot that it replaced, or None if nothing was closed.

        A run that no delivery has claimed began after the dispatched one, and is left alone.
        """
        races = LostRaces()
        while True:
            snapshot = self.snapshot()
            if snapshot.open and snapshot.control.claim is None:
                return None
            if self.swap(snapshot, snapshot.control.closed()):
                return snapshot
            races.count(snapshot.version)

    # -- the rules -------------------------------------------------------------------------------

    def expect(self, part: Part, size: int) -> Arrival:
        """Record the size, then claim the barrier if it is complete."""
        return self._visit(Visit(part, size=size))

    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        """Record the part, then claim the barrier if it is complete."""
        return self._visit(Visit(part, value, evict))

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """A failure is stored before its part arrives, a success after it."""
        return finish_in_steps(self, self.store, part, offer, rank_of, evict)

    def expect_more(self, part: Part, slot: int, member: str) -> None:
        """Add the member to its slot in the control record."""
        races = LostRaces()
        while True:
            snapshot = self.snapshot()
            changed = snapshot.control.added(f"{part.place}:{part.member}:{slot}", member)
            is_same = not snapshot.open or changed == snapshot.control
            if is_same or self.swap(snapshot, changed):
                return
            races.count(snapshot.version)

    def renew(self, part: Part) -> bool:
        """True if this delivery still holds the claim."""
        claim = self.snapshot().control.claim
        return claim is not None and claim.delivery == part.delivery

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """The tombstone, then the result, then the parts are removed."""
        ended = self.end()
        if offer is not None:
            # First: a crash during the removal must not lose a result that was acknowledged early.
            self.store.offer(offer, rank_of)
        if ended is not None:
            self.discard(ended)

    def state(self) -> BarrierState | None:
        """A snapshot, the list of the parts, and the payload."""
        snapshot = self.snapshot()
        if not snapshot.open:
            return None
        control, claim = snapshot.control, snapshot.control.claim
        holder = claim and Part(claim.place, claim.member, claim.delivery)
        listed, slots = frozenset(self.listed(snapshot)), dict(control.extra)
        return BarrierState(control.size, listed, slots, holder, self.payload(snapshot))

    def chosen(self, snapshot: Snapshot, listed: Iterable[Listed]) -> Iterable[Listed]:
        """The parts that the claim chose, for `parts`; all, while the barrier is not complete."""
        known, control = list(listed), snapshot.control
        chosen = control.chosen(known)
        if chosen and len(chosen) > (control.size or 0) + len(control.extra):
            # Strays were added after the snapshot: the next one knows every listed member.
            chosen = self.snapshot().control.chosen(known)
        return chosen or known

    def _visit(self, visit: Visit) -> Arrival:
        while True:
            snapshot = self.record(visit)
            arrival = None if snapshot is None else self._arrival(visit, snapshot)
            if arrival is not None:
                return arrival

    def _arrival(self, visit: Visit, snapshot: Snapshot) -> Arrival | None:
        """The answer to a visit; None if the record has changed since the snapshot."""
        part, control, claim = visit.part, snapshot.control, snapshot.control.claim
        if control.done or snapshot.version is None:
            self.forget(visit)
            return CLOSED if control.done else UNKNOWN
        if claim is None:
            return self._first_claim(part, snapshot)
        if claim.delivery == part.delivery:  # the answer to its claim was lost
            return Arrival(Outcome.CLAIMED, parts=claim.parts, payload=self.payload(snapshot))
        if not visit.takes_over(claim):
            return Arrival(Outcome.HELD, holder=claim.delivery)
        return self._claimed(snapshot, control.taken_over(part, claim.parts))

    def _first_claim(self, part: Part, snapshot: Snapshot) -> Arrival | None:
        """The list of parts decides; it is read after the snapshot and before the claim."""
        control = snapshot.control
        if not control.may_be_full(snapshot.arrived):
            return WAITING
        chosen = control.chosen(self.listed(snapshot))
        return WAITING if chosen is None else self._claimed(snapshot, control.claimed(part, chosen))

    def _claimed(self, snapshot: Snapshot, control: Control) -> Arrival | None:
        payload = self.claim(snapshot, control)
        parts = control.claim.parts if control.claim else 0
        return None if payload is None else Arrival(Outcome.CLAIMED, "", parts, payload)
