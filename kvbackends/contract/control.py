"""The control record of a chord's barrier: what is expected, and which delivery dispatches."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import msgspec

from kvbackends.contract.records import Part

Listed = tuple[int, str]
"""Place and member of a recorded part."""


class Claim(NamedTuple):
    """The delivery that dispatches, the part that it delivers, and how many parts were claimed.

    Attributes:
        place: The place of the part.
        member: The member of the part.
        delivery: The delivery that dispatches.
        parts: How many parts were claimed.
    """

    place: int
    member: str
    delivery: str
    parts: int

    def is_part(self, part: Part) -> bool:
        """True for any delivery of `part`."""
        return (self.place, self.member) == (part.place, part.member)


class Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of the control record: what is expected, and which delivery holds the claim.

    Attributes:
        run: The name of this run of the barrier; the keys of its parts contain it.
        size: The number of parts of the header; None until it is known.
        extra: Parts added while the chord runs: slot -> the members, any one of which fills it.
        pages: How many parts were counted on each page, where a store counts them here.
        strays: Members added after the claim: they do not count.
        claim: The delivery that dispatches; None while parts are missing.
        done: True: this is the tombstone.
    """

    run: str = ""
    size: int | None = None
    extra: dict[str, list[str]] = {}
    pages: list[int] = []
    strays: list[str] = []
    claim: Claim | None = None
    done: bool = False

    @classmethod
    def decode(cls, data: bytes | None) -> Self:
        """The record from its bytes; None (an absent record) expects nothing yet."""
        return cls() if data is None else msgspec.json.decode(data, type=cls)

    def encode(self) -> bytes:
        """The record as bytes."""
        return msgspec.json.encode(self)

    def sized(self, size: int) -> Self:
        """With this size."""
        return msgspec.structs.replace(self, size=size)

    def counted(self, page: int, count: int) -> Self:
        """With at least `count` parts on `page`; unchanged if that is known."""
        pages = self.pages + [0] * (page + 1 - len(self.pages))
        if pages[page] >= count:
            return self
        pages[page] = count
        return msgspec.structs.replace(self, pages=pages)

    def added(self, slot: str, member: str) -> Self:
        """With one part more; unchanged if it is known, or the barrier is closed."""
        ids = self.extra.get(slot, [])
        if self.done or member in ids or member in self.strays:
            return self
        if self.claim:
            return msgspec.structs.replace(self, strays=[*self.strays, member])
        return msgspec.structs.replace(self, extra={**self.extra, slot: [*ids, member]})

    def claimed(self, part: Part, chosen: Iterable[Listed]) -> Self:
        """Claimed by this delivery.

        The chosen member comes first in its slot, so that every later claim chooses the same.
        """
        names = [member for _, member in chosen]
        first = frozenset(names)
        extra = {
            slot: sorted(ids, key=lambda i: i not in first) for slot, ids in self.extra.items()
        }
        return msgspec.structs.replace(self, extra=extra).taken_over(part, len(names))

    def taken_over(self, part: Part, parts: int) -> Self:
        """Claimed by this delivery, with the parts that the first claim chose."""
        claim = Claim(part.place, part.member, part.delivery, parts)
        return msgspec.structs.replace(self, claim=claim)

    def closed(self) -> Self:
        """The tombstone."""
        return type(self)(run=self.run, done=True)

    def may_be_full(self, count: int) -> bool:
        """False if `count` parts are certainly too few.  If True, `chosen` decides."""
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
