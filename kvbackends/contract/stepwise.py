"""The chord's barrier, but for its requests: one turn of the protocol over a few primitives.

A barrier is a **control record**, which is replaced on condition of what was read and in no other
way, and **parts**, which are recorded beside it.  `docs/protocol.md` has the rules.  A store that
keeps barriers in its own manner writes the requests, a subclass of `Barrier`, and returns it from
`Store.barrier`; `docs/write-an-adapter.md` makes one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Self

import msgspec

from kvbackends.contract.records import Arrival, Outcome, Part

ABOUT_TTL = 30 * 86400.0
"""Seconds.  `about` is not renewed by arrivals, so it outlives chords that run for weeks."""

Listed = tuple[int, str]
"""Place and member of a recorded part."""

_WAITING = Arrival(Outcome.WAITING)
_CLOSED = Arrival(Outcome.CLOSED)


class Owner(NamedTuple):
    """Who holds the claim: one delivery of one part; and how many parts were claimed."""

    place: int
    member: str
    delivery: str
    parts: int

    def is_part(self, part: Part) -> bool:
        """True for any delivery of `part`."""
        return (self.place, self.member) == (part.place, part.member)


class Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of the control record: what is expected, and who holds the claim."""

    run: str = ""
    """Names this run of the barrier; where its parts are kept contains it."""
    size: int | None = None
    extra: dict[str, list[str]] = {}
    """Parts added while the chord runs: slot -> the ids, any one of which fills it."""
    pages: list[int] = []
    """How many parts were counted on each page, where a store counts them here."""
    strays: list[str] = []
    """Parts added after the claim: they count for nothing."""
    owner: Owner | None = None
    done: bool = False

    @classmethod
    def decode(cls, data: bytes | None) -> Self:
        """The record from its bytes; an absent one (None) expects nothing yet."""
        return cls() if data is None else msgspec.json.decode(data, type=cls)

    def encode(self) -> bytes:
        """The record as bytes, for stores that keep it as such."""
        return msgspec.json.encode(self)

    def sized(self, size: int) -> Self:
        """With this size."""
        return msgspec.structs.replace(self, size=size)

    def counted(self, page: int, count: int) -> Self:
        """With at least `count` parts on `page`; itself if that is known."""
        pages = self.pages + [0] * (page + 1 - len(self.pages))
        if pages[page] >= count:
            return self
        pages[page] = count
        return msgspec.structs.replace(self, pages=pages)

    def added(self, slot: str, member: str) -> Self:
        """With one part more; itself if that is known, or nothing is expected any more."""
        ids = self.extra.get(slot, [])
        if self.done or member in ids or member in self.strays:
            return self
        if self.owner:
            return msgspec.structs.replace(self, strays=[*self.strays, member])
        return msgspec.structs.replace(self, extra={**self.extra, slot: [*ids, member]})

    def claimed(self, part: Part, chosen: Iterable[Listed]) -> Self:
        """Held by this delivery.

        What was chosen comes first in its slot, so that whoever claims after it chooses the same.
        """
        names = [member for _, member in chosen]
        first = frozenset(names)
        extra = {
            slot: sorted(ids, key=lambda i: i not in first) for slot, ids in self.extra.items()
        }
        return msgspec.structs.replace(self, extra=extra).owned(part, len(names))

    def owned(self, part: Part, parts: int) -> Self:
        """Held by this delivery, the choice of the first claim unchanged."""
        owner = Owner(part.place, part.member, part.delivery, parts)
        return msgspec.structs.replace(self, owner=owner)

    def closed(self) -> Self:
        """The tombstone."""
        return type(self)(run=self.run, done=True)

    def may_be_full(self, count: int) -> bool:
        """False if parts are certainly missing where `count` arrived.  `chosen` decides."""
        return self.size is not None and count >= self.size + len(self.extra)

    def chosen(self, listed: Iterable[Listed]) -> list[Listed] | None:
        """The parts that make the barrier complete, one for each slot; None if it is not."""
        known = list(listed)
        added = {member for ids in self.extra.values() for member in ids}.union(self.strays)
        header = [each for each in known if each[1] not in added]
        arrived = {each[1]: each for each in known}
        slots = [
            next((arrived[i] for i in ids if i in arrived), None) for ids in self.extra.values()
        ]
        filled = [each for each in slots if each is not None]
        if self.size is None or len(header) < self.size or len(filled) < len(slots):
            return None
        return header + filled


class Look(NamedTuple):
    """The control record as it was read."""

    control: Control
    version: Any
    """What `Barrier.swap` compares, of a type of the store's own; None: there is no record."""
    arrived: int = 0
    """After `Barrier.tell`: how many parts have arrived, or more; never fewer."""

    @property
    def open(self) -> bool:
        """True if there is a barrier, and it is not closed."""
        return self.version is not None and not self.control.done


NOTHING = Look(Control(), None)
"""No record; also what `tell` answers where it knows that parts are missing."""


class Visit(NamedTuple):
    """What comes to a barrier: a part with its value, the size, or somebody who looks."""

    part: Part
    value: bytes | None = None
    evict: str | None = None
    """The delivery whose claim gives way, if it still is the holder."""
    size: int | None = None

    @property
    def arrives(self) -> bool:
        """False for who only looks."""
        return self.value is not None or self.size is not None

    def may_break(self, owner: Owner) -> bool:
        """True if a claim of `owner` gives way to this visit.

        A part that arrives breaks a claim of its own: that delivery is lost.  Who only looks does
        not, or two deliveries that both live would take it from each other for ever.
        """
        return owner.delivery == self.evict or (self.arrives and owner.is_part(self.part))


class Barrier(ABC):
    """One barrier, for one operation of one process; what `tell` records it may remember.

    `ttl` is how long what the operation writes shall live, in seconds (None: for ever).
    """

    def __init__(self, name: str, ttl: float | None = None) -> None:
        self.name = name
        self.ttl = ttl

    @abstractmethod
    def open(self, about: bytes) -> None:
        """Begin a run with a new name, whatever is there; keep `about` for at least `ABOUT_TTL`."""

    @abstractmethod
    def tell(self, visit: Visit) -> Look | None:
        """Record what the visit brings, count it, then look; None: something changed, once more.

        *Arrive first, look afterwards*: a part is recorded (its first value stays), then counted,
        and the look is later than both, so that who looks last sees all.  When called again it
        records only what is not recorded in the run of now.
        """

    @abstractmethod
    def look(self) -> Look:
        """The control record of now."""

    @abstractmethod
    def swap(self, look: Look, control: Control) -> bool:
        """Replace the record if it is what was looked at; False if it has changed meanwhile."""

    @abstractmethod
    def listed(self, look: Look) -> Iterable[Listed]:
        """All parts that were recorded in this run before the call."""

    @abstractmethod
    def about(self, look: Look) -> bytes:
        """What the run was opened with; empty if there is nothing."""

    @abstractmethod
    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """Place, member and value of the run's `fixed` parts; expired ones are left out."""

    @abstractmethod
    def forget(self) -> None:
        """Remove what `tell` has recorded: the run is over."""

    @abstractmethod
    def discard(self, look: Look) -> None:
        """Remove the parts of a run that is closed, and what it was opened with."""

    def claim(self, look: Look, control: Control) -> bytes | None:
        """`swap`, and then `about`; None if the record has changed meanwhile."""
        return self.about(look) if self.swap(look, control) else None

    def end(self) -> Look | None:
        """Write the tombstone; the look that it replaced.

        A run that nobody has claimed began after the one that was dispatched, and is left alone.
        """
        while True:
            look = self.look()
            if look.open and look.control.owner is None:
                return None
            if self.swap(look, look.control.closed()):
                return look

    # -- what follows from these --------------------------------------------------------------

    def visit(self, visit: Visit) -> Arrival:
        """One turn of the protocol, without waiting."""
        while True:
            look = self.tell(visit)
            answer = None if look is None else self._answer(visit, look)
            if answer is not None:
                return answer

    def add(self, part: Part, slot: int, member: str) -> None:
        """One part more.  A run of the adder that comes again adds another to the same slot."""
        while True:
            look = self.look()
            changed = look.control.added(f"{part.place}:{part.member}:{slot}", member)
            if changed == look.control or self.swap(look, changed):
                return

    def renew(self, part: Part) -> bool:
        """True if this delivery still holds the claim."""
        owner = self.look().control.owner
        return owner is not None and owner.delivery == part.delivery

    def close(self, store_result: Callable[[], object]) -> None:
        """The tombstone, whoever owns the claim by now; then the result; then the parts go."""
        ended = self.end()
        store_result()  # before the rest: with early acknowledgement who dies there has not failed
        if ended is not None:
            self.discard(ended)

    def fixed(self, look: Look, listed: Iterable[Listed]) -> Iterable[Listed]:
        """Those parts that the claim chose; all, while the barrier is not complete."""
        known, control = list(listed), look.control
        chosen = control.chosen(known)
        if chosen and len(chosen) > (control.size or 0) + len(control.extra):
            # Strays came after the look; whatever is listed was added before the next one.
            chosen = self.look().control.chosen(known)
        return chosen or known

    def _answer(self, visit: Visit, look: Look) -> Arrival | None:
        """What a visit finds; None if the record has changed meanwhile."""
        part, control, owner = visit.part, look.control, look.control.owner
        if control.done:
            self.forget()
            return _CLOSED
        if owner is None:
            return self._first_claim(part, look)
        if owner.delivery == part.delivery:  # the answer to its claim was lost
            return Arrival(Outcome.CLAIMED, parts=owner.parts, about=self.about(look))
        if not visit.may_break(owner):
            return Arrival(Outcome.HELD, holder=owner.delivery)
        return self._claimed(look, control.owned(part, owner.parts))

    def _first_claim(self, part: Part, look: Look) -> Arrival | None:
        """The list decides; it is read before the claim, and after the record that it compares."""
        control = look.control
        chosen = control.chosen(self.listed(look)) if control.may_be_full(look.arrived) else None
        return (
            self._claimed(look, control.claimed(part, chosen)) if chosen is not None else _WAITING
        )

    def _claimed(self, look: Look, control: Control) -> Arrival | None:
        about = self.claim(look, control)
        parts = control.owner.parts if control.owner else 0
        return None if about is None else Arrival(Outcome.CLAIMED, parts=parts, about=about)
