"""The data of a reference store, and the meaning of a barrier in the plainest code."""

import time
import uuid
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kvbackends.contract import Arrival, BarrierState, Outcome, Part

Identity = tuple[int, str]
"""The place and the member of a part."""


class Row(NamedTuple):
    value: bytes
    version: str
    expires: float
    facets: Mapping[str, str] = {}


@dataclass
class State:
    expires: float
    payload: bytes = b""
    size: int | None = None
    parts: dict[Identity, bytes] = field(default_factory=dict)
    """The parts in the order of their arrival: the first member of a slot stays chosen."""
    slots: dict[str, list[str]] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    holder: Part | None = None
    done: bool = False

    def record(self, part: Part, value: bytes) -> None:
        self.parts.setdefault(self.identity(part), value)

    def identity(self, part: Part) -> Identity:
        return part.place, part.member

    def add(self, part: Part, slot: int, member: str) -> None:
        if self.holder is not None:
            self.strays.append(member)
            return
        members = self.slots.setdefault(f"{part.place}:{part.member}:{slot}", [])
        if member not in members:
            members.append(member)

    def arrived(self) -> int:
        """At most this many parts are in."""
        return len(self.parts)

    def chosen(self) -> list[Identity] | None:
        """The parts that make the barrier complete, one for each slot; None if it is not."""
        if self.size is None or self.arrived() < self.size + len(self.slots):
            return None
        added = {member for ids in self.slots.values() for member in ids}.union(self.strays)
        header = [each for each in self.parts if each[1] not in added]
        filled = [self.first(members) for members in self.slots.values()]
        if len(header) < self.size or None in filled:
            return None
        return header + [each for each in filled if each is not None]

    def first(self, members: list[str]) -> Identity | None:
        return next((each for each in self.parts if each[1] in members), None)

    def claim(self, part: Part, evict: str | None, *, arrives: bool) -> Arrival:
        chosen = self.chosen()
        if chosen is None:
            return Arrival(Outcome.WAITING)
        if self.holder is not None and not self.breaks(self.holder, part, evict, arrives=arrives):
            return Arrival(Outcome.HELD, holder=self.holder.delivery)
        self.holder = part
        return Arrival(Outcome.CLAIMED, parts=len(chosen), payload=self.payload)

    def breaks(self, holder: Part, part: Part, evict: str | None, *, arrives: bool) -> bool:
        own_part = (holder.place, holder.member) == (part.place, part.member)
        return holder.delivery in {part.delivery, evict} or (arrives and own_part)

    def listed(self) -> list[tuple[Identity, bytes]]:
        chosen = self.chosen()
        return [(each, self.parts[each]) for each in (self.parts if chosen is None else chosen)]

    def held_by(self, part: Part) -> bool:
        return self.holder is not None and self.holder.delivery == part.delivery

    def may_be_closed_by(self, part: Part) -> bool:
        """True if the run is claimed or closed: an unclaimed one began after the dispatched run."""
        return self.done or self.holder is not None

    def shown(self) -> BarrierState:
        slots = {name: list(members) for name, members in self.slots.items()}
        return BarrierState(self.size, frozenset(self.parts), slots, self.holder, self.payload)

    def tombstone(self, expires: float) -> "State":
        return type(self)(expires, done=True)


@dataclass
class World:
    rows: MutableMapping[str, Row] = field(default_factory=dict)
    barriers: MutableMapping[str, State] = field(default_factory=dict)

    def row(self, key: str) -> Row | None:
        row = self.rows.get(key)
        return row if row is not None and row.expires > time.monotonic() else None

    def put(
        self, key: str, value: bytes, expires: float, facets: Mapping[str, str] | None = None
    ) -> None:
        self.rows[key] = Row(value, uuid.uuid4().hex, expires, facets or {})

    def prolong(self, key: str, expires: float) -> None:
        self.rows[key] = self.rows[key]._replace(expires=expires)

    def barrier(self, name: str) -> State | None:
        barrier = self.barriers.get(name)
        return barrier if barrier is not None and barrier.expires > time.monotonic() else None

    def live(self) -> Iterator[tuple[str, Row]]:
        return ((key, row) for key, row in self.rows.items() if row.expires > time.monotonic())

    def sweep(self, limit: int) -> int:
        now, removed = time.monotonic(), 0
        families: tuple[MutableMapping[str, Any], ...] = (self.rows, self.barriers)
        for kept in families:
            for key in [key for key, each in kept.items() if each.expires <= now]:
                if removed == limit:
                    return removed
                del kept[key]
                removed += 1
        return removed
