"""The control record of a barrier: what is expected, what is counted, who holds the claim."""

from collections.abc import Iterable, Sized

import msgspec

from kvbackends.records import Part


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """Who holds the claim: one delivery of one part."""

    place: int
    member: str
    delivery: str

    def is_part(self, part: Part) -> bool:
        """True for any delivery of `part`."""
        return (self.place, self.member) == (part.place, part.member)


class Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of the record.  It changes by `compare_and_set` only."""

    run: str = ""
    """Names this run of the barrier; the keys of its parts contain it."""
    size: int | None = None
    extra: dict[str, list[str]] = {}
    """Parts added while the chord runs: slot -> the ids, any one of which fills it."""
    pages: dict[str, int] = {}
    """How many members each page was seen to have."""
    strays: list[str] = []
    """Parts added after the claim: they count for nothing."""
    owner: Owner | None = None
    done: bool = False

    def encode(self) -> bytes:
        """The stored bytes."""
        return msgspec.json.encode(self)

    def counted(self, page: str, count: int) -> "Control":
        """With at least `count` members on `page`; itself if that is known."""
        if self.pages.get(page, 0) >= count:
            return self
        return msgspec.structs.replace(self, pages={**self.pages, page: count})

    def added(self, slot: str, member: str) -> "Control":
        """With one part more; itself if that is known, or nothing is expected any more."""
        ids = self.extra.get(slot, [])
        if self.done or member in ids or member in self.strays:
            return self
        if self.owner:
            return msgspec.structs.replace(self, strays=[*self.strays, member])
        return msgspec.structs.replace(self, extra={**self.extra, slot: [*ids, member]})

    def claimed(self, owner: Owner, chosen: Iterable[tuple[int, str]]) -> "Control":
        """Held by `owner`.

        What was chosen comes first in its slot, so that whoever claims after it chooses the same.
        """
        names = {member for _, member in chosen}
        extra = {
            slot: sorted(ids, key=lambda i: i not in names) for slot, ids in self.extra.items()
        }
        return msgspec.structs.replace(self, owner=owner, extra=extra)

    def may_be_full(self) -> bool:
        """False if parts are certainly missing.  `full` decides."""
        return self.size is not None and sum(self.pages.values()) >= self.size + len(self.extra)

    def surpasses(self, chosen: Sized) -> bool:
        """True if more was chosen than a claim chooses: strays that came after this was read."""
        return len(chosen) > (self.size or 0) + len(self.extra)

    def chosen(self, members: Iterable[tuple[int, str]]) -> list[tuple[int, str]] | None:
        """The parts that make the barrier complete, one for each slot; None if it is not."""
        listed = list(members)
        added = {member for ids in self.extra.values() for member in ids}.union(self.strays)
        header = [each for each in listed if each[1] not in added]
        arrived = {member: (place, member) for place, member in listed}
        slots = [
            next((arrived[i] for i in ids if i in arrived), None) for ids in self.extra.values()
        ]
        filled = [each for each in slots if each is not None]
        if self.size is None or len(header) < self.size or len(filled) < len(slots):
            return None
        return header + filled


_decode = msgspec.json.Decoder(Control).decode


def decode(data: bytes | None) -> Control:
    """The record from its bytes; an absent one expects nothing yet."""
    return Control() if data is None else _decode(data)
