"""The control record of a barrier: what is expected, who holds the claim."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from kvbackends import Part

Key = tuple[int, str, bytes]
"""Place, member and stamp: the key of one recorded value of a part."""


class Owner(NamedTuple):
    """Who holds the claim: one delivery of one part."""

    place: int
    member: str
    delivery: str

    def is_part(self, part: Part) -> bool:
        """True for any delivery of `part`."""
        return (self.place, self.member) == (part.place, part.member)


@dataclass(frozen=True, slots=True)
class Control:
    """One value of the record.  It changes by lightweight transactions only."""

    run: str = ""
    """Names this run of the barrier; its parts are found under it."""
    size: int | None = None
    slots: dict[str, list[str]] = field(default_factory=dict)
    """Parts added while the chord runs: slot -> the ids, any one of which fills it."""
    owner: Owner | None = None
    done: bool = False

    def encode(self) -> bytes:
        """The stored bytes."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    def added(self, slot: str, member: str) -> "Control":
        """With one part more; itself if that is known, or nothing is expected any more."""
        ids = self.slots.get(slot, [])
        if self.done or self.owner is not None or member in ids:
            return self
        return replace(self, slots={**self.slots, slot: [*ids, member]})

    def may_be_full(self, recorded: int) -> bool:
        """False if parts are certainly missing.  `chosen` decides."""
        return self.size is not None and recorded >= self.size + len(self.slots)

    def chosen(self, listed: Iterable[Key]) -> list[bytes] | None:
        """The stamps of the parts that make the barrier complete; None if it is not."""
        first = earliest(listed)
        added = {member for ids in self.slots.values() for member in ids}
        header = [stamp for (_, member), stamp in first.items() if member not in added]
        arrived = {member: stamp for (_, member), stamp in first.items()}
        slots = [next(filter(None, map(arrived.get, ids)), None) for ids in self.slots.values()]
        filled = [stamp for stamp in slots if stamp is not None]
        if self.size is None or len(header) < self.size or len(filled) < len(slots):
            return None
        return header + filled


def decode(data: bytes | None) -> Control:
    """The record from its bytes; an absent one expects nothing yet."""
    if data is None:
        return Control()
    fields = json.loads(data)
    owner = fields.pop("owner")
    return Control(**fields, owner=owner and Owner(*owner))


def earliest(listed: Iterable[Key]) -> dict[tuple[int, str], bytes]:
    """The first stamp of each part: its first value stays."""
    first: dict[tuple[int, str], bytes] = {}
    for place, member, stamp in listed:
        first[place, member] = min(stamp, first.get((place, member), stamp))
    return first
