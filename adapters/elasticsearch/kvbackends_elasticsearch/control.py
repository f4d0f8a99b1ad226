"""The control record of a barrier: what is expected, and who holds the claim.

It is written when the chord is begun, sized, added to, claimed and closed, never by a part.
"""

from collections.abc import Iterable, Sized

import msgspec

from kvbackends import Part

Listed = tuple[int, str]
"""Place and member of a part."""


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """Who holds the claim: one delivery of one part; and how many parts it has."""

    place: int
    member: str
    delivery: str
    parts: int

    def is_part(self, part: Part) -> bool:
        """True for any delivery of `part`."""
        return (self.place, self.member) == (part.place, part.member)


class Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of the record; it is replaced on condition of its version only."""

    run: str = ""
    """Names this run of the barrier; the ids of its parts contain it."""
    size: int | None = None
    extra: dict[str, list[str]] = {}
    """Parts added while the chord runs: slot -> the ids, any one of which fills it."""
    strays: list[str] = []
    """Parts added after the claim: they count for nothing."""
    owner: Owner | None = None
    done: bool = False

    def sized(self, size: int) -> "Control":
        """With this size."""
        return msgspec.structs.replace(self, size=size)

    def added(self, slot: str, member: str) -> "Control":
        """With one part more; itself if that is known, or nothing is expected any more."""
        ids = self.extra.get(slot, [])
        if self.done or member in ids or member in self.strays:
            return self
        if self.owner:
            return msgspec.structs.replace(self, strays=[*self.strays, member])
        return msgspec.structs.replace(self, extra={**self.extra, slot: [*ids, member]})

    def owned(self, part: Part, parts: int) -> "Control":
        """Held by this delivery."""
        owner = Owner(part.place, part.member, part.delivery, parts)
        return msgspec.structs.replace(self, owner=owner)

    def fixed(self, chosen: Iterable[Listed]) -> "Control":
        """With what was chosen first in its slot: whoever claims later chooses the same."""
        names = {member for _, member in chosen}
        extra = {
            slot: sorted(ids, key=lambda i: i not in names) for slot, ids in self.extra.items()
        }
        return msgspec.structs.replace(self, extra=extra)

    def closed(self) -> "Control":
        """The tombstone."""
        return Control(run=self.run, done=True)

    def may_be_full(self, count: int) -> bool:
        """False if parts are certainly missing where `count` arrived.  `chosen` decides."""
        return self.size is not None and count >= self.size + len(self.extra)

    def surpasses(self, chosen: Sized) -> bool:
        """True if more was chosen than a claim chooses: strays that came after this was read."""
        return len(chosen) > (self.size or 0) + len(self.extra)

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
