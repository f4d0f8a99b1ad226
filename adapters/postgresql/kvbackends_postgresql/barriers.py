"""The barrier: each operation is one statement."""

from collections.abc import Callable, Iterator

from kvbackends.contract import (
    CLOSED,
    UNKNOWN,
    WAITING,
    Arrival,
    Barrier,
    BarrierState,
    Offer,
    Outcome,
    Part,
    RankOf,
)
from kvbackends_postgresql.entries import Entries, seconds
from kvbackends_postgresql.link import Row, Value

_PLAIN = (UNKNOWN, CLOSED, WAITING)
_CLAIMED, _HELD = 3, 4


class PostgreSQLBarrier(Barrier):
    """Rows of several tables; a part and its result are stored together."""

    def __init__(self, entries: Callable[[], Entries], name: str, ttl: float | None) -> None:
        self.name, self.ttl = name, ttl
        self._open = entries

    def open(self, payload: bytes) -> None:
        """One request."""
        self._ask("open", self._name, payload, seconds(self.ttl))

    def expect(self, part: Part, size: int) -> Arrival:
        """One request."""
        return self._visit(part, None, size, None)

    def expect_more(self, part: Part, slot: int, member: str) -> None:
        """One request."""
        name = f"{part.place}:{part.member}:{slot}".encode()
        self._ask("expect_more", self._name, name, member.encode(), seconds(self.ttl))

    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        """One request."""
        return self._visit(part, value, None, evict)

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """One request for the part and the result.

        Another one over a record that `set` has stored, or to notify waiters.
        """
        entries, key = self._open(), offer.key.encode()
        ((*answer, stored, listened),) = self._ask(
            "finish",
            *(self._name, *_identity(part), offer.value, _encoded(evict), seconds(self.ttl)),
            *(key, *entries.offered(offer)),
        )
        if stored == b"\1":
            entries.notify(key, listened)
        elif stored is not None:
            entries.offer(offer, rank_of)
        entries.sweeper.wrote()
        return _arrival(answer)

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """One request for each 1,000 parts."""
        member, place = b"", -(1 << 31)
        while rows := self._ask("parts", self._name, member, place):
            for number, name, value in rows:
                yield _number(number), name.decode(), value
            if len(rows) < 1000:
                return
            place, member = _number(rows[-1][0]), rows[-1][1]

    def renew(self, part: Part) -> bool:
        """One request."""
        rows = self._ask("holds", self._name, part.delivery.encode())
        return bool(rows) and rows[0][0] == b"\1"

    def state(self) -> BarrierState | None:
        """One request; the parts' values are not read."""
        rows = self._ask("state", self._name)
        return _state(rows) if rows else None

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """One request for the tombstone and the result, and one that removes the parts."""
        if offer is not None:
            rows = self._closed_with(offer, rank_of)
        else:
            rows = self._ask("close", self._name, seconds(self.ttl))
        if rows and rows[0][0] is not None:
            self._ask("discard", rows[0][0])

    def _closed_with(self, offer: Offer, rank_of: RankOf) -> list[Row]:
        entries, key = self._open(), offer.key.encode()
        ours = (self._name, seconds(self.ttl), key, offer.value, *entries.offered(offer))
        rows = self._ask("close_with", *ours)
        if rows[0][1] is None:
            entries.offer(offer, rank_of)
        else:
            entries.notify(key, rows[0][1])
        return rows

    def _visit(
        self, part: Part, value: bytes | None, size: int | None, evict: str | None
    ) -> Arrival:
        ours: tuple[Value, ...] = (self._name, *_identity(part), value, size, _encoded(evict))
        return _arrival(self._ask("visit", *ours, seconds(self.ttl))[0])

    def _ask(self, statement: str, *values: Value) -> list[Row]:
        entries = self._open()  # that of this process
        return entries.ask(getattr(entries.statements, statement), *values)

    @property
    def _name(self) -> bytes:
        return self.name.encode()


def _identity(part: Part) -> tuple[Value, ...]:
    return part.place, part.member.encode(), part.delivery.encode()


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _state(rows: list[Row]) -> BarrierState:
    """The state that the rows of the barrier, of its parts and of its slots stand for."""
    (_, size, place, member, delivery, payload), *others = rows
    arrived, slots = set(), dict[str, list[str]]()
    for kind, _, at, name, _, slot in others:
        if _number(kind) == 1:
            arrived.add((_number(at), name.decode()))
        else:
            slots.setdefault(slot.decode(), []).append(name.decode())
    return BarrierState(
        size=None if size is None else _number(size),
        arrived=frozenset(arrived),
        slots=slots,
        holder=delivery and Part(_number(place), member.decode(), delivery.decode()),
        payload=payload or b"",
    )


def _number(value: bytes | None) -> int:
    """An `int` of the binary format."""
    return int.from_bytes(value or b"", "big", signed=True)


def _arrival(row: Row | list[bytes | None]) -> Arrival:
    outcome, holder, parts, payload = row
    number = _number(outcome)
    if number == _CLAIMED:
        return Arrival(Outcome.CLAIMED, parts=_number(parts), payload=payload or b"")
    if number == _HELD:
        return Arrival(Outcome.HELD, holder=(holder or b"").decode())
    return _PLAIN[number]
