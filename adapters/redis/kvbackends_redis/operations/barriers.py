"""The chord's barrier: each step is one script over two hashes and a list, whatever its size."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

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
    Store,
    finish_in_steps,
)
from kvbackends_redis.connecting.connections import Connections, checked
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.operations import scripts
from kvbackends_redis.operations.plain import scanned
from kvbackends_redis.operations.ranked import DIGITS, SUCCEEDED, seen
from kvbackends_redis.operations.scripts import milliseconds

TAG = 36
"""Most letters at the end of a barrier's name that choose its slot: as many as a UUID has."""

CONTROL = ".control"
"""Ends the key of a barrier's control hash."""

PAGE = 2000
"""Elements of the list that are read at once: a thousand parts and their values."""


@functools.lru_cache(64)  # the parts of a chord come one after the other
def keys_of(barrier: str) -> tuple[str, str, str]:
    """The keys of a barrier: control, parts, extra.

    They begin with its name, so that an ACL's key pattern allows them, and share a hash tag, so
    that one script may use all three on a cluster.  A tag in the name is kept; otherwise the end of
    the name becomes the tag.
    """
    family = f"{barrier}-" if _has_tag(barrier) else _tagged(barrier)
    return f"{family}{CONTROL}", f"{family}.parts", f"{family}.extra"


def barrier_of(control: str) -> str:
    """The name of the barrier whose control key this is."""
    family = control.removesuffix(CONTROL)
    if family.endswith("-"):
        return family[:-1]
    name = "".join(family.removesuffix("}").rpartition("{")[::2])
    if name == "%":
        return ""
    return name.replace("%7B", "{").replace("%7D", "}").replace("%25", "%")


def _has_tag(name: str) -> bool:
    """True if a cluster hashes only what is between the first braces of `name`."""
    start = name.find("{")
    return start >= 0 and name.find("}", start) > start + 1


def _tagged(name: str) -> str:
    """`name` with a hash tag at its end.  Ends with a brace, so it is no other name and a dash."""
    name = name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D") or "%"
    split = max(len(name) - TAG, len(name) // 2)
    return f"{name[:split]}{{{name[split:]}}}"


class Barriers:
    """The barrier as an operation of the store."""

    _connections: Callable[[], Any]

    def barrier(self, name: str, ttl: float | None = None) -> Barrier:
        """Each operation of the barrier is one script."""
        return RedisBarrier(self._connections, name, ttl)

    def barriers(self, prefix: str) -> Iterator[str]:
        """The names of barriers.  Like `scan`, it reads the names of all keys."""
        return barriers_of(self._connections(), prefix)


def barriers_of(connections: Connections, prefix: str) -> Iterator[str]:
    """Yield one server's barriers with this prefix; it may be quoted in the key."""
    names = map(barrier_of, scanned(connections, f"*{CONTROL}", "hash"))
    return (name for name in names if name.startswith(prefix))


class RedisBarrier(Barrier):
    """Two hashes and a list; every operation but `parts` and `renew` is one script."""

    def __init__(self, connections: Callable[[], Any], name: str, ttl: float | None) -> None:
        self.name, self.ttl = name, ttl
        self._connections = connections

    def open(self, payload: bytes) -> None:
        """One script."""
        self._run(scripts.OPEN, milliseconds(self.ttl), payload)

    def expect(self, part: Part, size: int) -> Arrival:
        """One script."""
        return _arrival(self._run(scripts.EXPECT, *part, milliseconds(self.ttl), size))

    def expect_more(self, part: Part, slot: int, member: str) -> None:
        """One script."""
        more = part.place, part.member, slot, member
        self._run(scripts.EXPECT_MORE, *more, milliseconds(self.ttl))

    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        """One script."""
        script, brought = (scripts.CLAIM, ()) if value is None else (scripts.ARRIVE, (value,))
        sender = str(part.place), part.member, part.delivery
        evicted = [evict] if evict else []
        answer = self._run(script, *sender, milliseconds(self.ttl), *brought, *evicted)
        return _arrival(answer)

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """One script for the part and the result; a second one where only the client can rank."""
        connections, lives = self._connections(), milliseconds(self.ttl)
        key, value, rank, lifetime, _, _ = offer
        keys = (*keys_of(self.name), key)
        first = str(part.place), part.member, part.delivery, lives, value
        result = DIGITS[rank], milliseconds(lifetime), evict or ""
        more = () if result == (SUCCEEDED, lives, "") else result
        answer = connections.run(scripts.FINISH, keys, *first, *more)
        while type(answer) is bytes:
            answer = connections.run(scripts.FINISH, keys, *first, *result, *seen(answer, rank_of))
        return _arrival(answer)

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """Cost: one round trip for 1,000 parts."""
        return _parts(self._connections(), self.name)

    def renew(self, part: Part) -> bool:
        """One command."""
        control = keys_of(self.name)[0]
        holder, done = self._connections().call("HMGET", control, "o", "d")
        return not done and holder == part.delivery.encode()

    def state(self) -> BarrierState | None:
        """One round trip; the part's values are not read."""
        control, _, extra = keys_of(self.name)
        answers = checked(self._connections().send(("HGETALL", control), ("HGETALL", extra)))
        fields, more = ({k.decode(): v for k, v in _pairs(each)} for each in answers)
        return None if not fields or "d" in fields else _state(fields, more)

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """One script for the tombstone and the result; a thread of the server's frees the parts."""
        if offer is None:
            self._run(scripts.CLOSE, milliseconds(self.ttl))
            return
        connections, keys = self._connections(), (*keys_of(self.name), offer.key)
        lives = milliseconds(self.ttl), milliseconds(offer.ttl)
        arguments = lives[0], offer.value, DIGITS[offer.rank], lives[1]
        answer = connections.run(scripts.CLOSE, keys, *arguments)
        while type(answer) is bytes:
            answer = connections.run(scripts.CLOSE, keys, *arguments, *seen(answer, rank_of))

    def _run(self, script: scripts.Script, *arguments: Any) -> Any:
        return self._connections().run(script, keys_of(self.name), *arguments)


class ClusterBarrier(RedisBarrier):
    """A barrier in one slot of a cluster, whose results are in other slots."""

    def __init__(
        self, store: Store, connections: Callable[[], Any], name: str, ttl: float | None
    ) -> None:
        super().__init__(connections, name, ttl)
        self._store = store

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """Two scripts, one after the other: the part and the result are in different slots."""
        return finish_in_steps(self, self._store, part, offer, rank_of, evict)

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """One script for the tombstone and the removal, then one for the result.

        If the process dies in between, its message is redelivered: that delivery finds the barrier
        CLOSED, and offers the result itself.
        """
        super().close(part, None, rank_of)
        if offer is not None:
            self._store.offer(offer, rank_of)


def _arrival(answer: object) -> Arrival:
    """The arrival that a script's answer stands for."""
    match answer:
        case [0]:
            return WAITING
        case [1, bytes(payload), int(parts)]:
            return Arrival(Outcome.CLAIMED, parts=parts, payload=payload)
        case [2, bytes(holder)]:
            return Arrival(Outcome.HELD, holder=holder.decode())
        case [4]:
            return UNKNOWN
        case _:
            return CLOSED


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _state(control: dict[str, bytes], extra: dict[str, bytes]) -> BarrierState:
    """The state that the fields of the two hashes stand for."""
    arrived = frozenset(
        (int(place), name[2:])
        for name, places in control.items()
        if name.startswith("p:")
        for place in places.split(b",")
    )
    slots: dict[str, list[str]] = {}
    for name, packed in extra.items():
        for slot in msgspec.msgpack.decode(packed) if name.startswith("m:") else ():
            if slot:  # else it was added after the claim
                slots.setdefault(slot, []).append(name[2:])
    holder = None
    if "o" in control:
        place, _, member = control["op"].decode().partition(":")
        holder = Part(int(place), member, control["o"].decode())
    size = int(control["n"]) if "n" in control else None
    return BarrierState(size, arrived, slots, holder, control.get("a", b""))


def _is_wanted(pairs: list[bytes]) -> Callable[[bytes], bool]:
    """A test whether a part belongs to the header, or is the chosen one of its slot."""
    slots = dict(zip(pairs[::2], pairs[1::2], strict=True))
    others = {name[2:] for name in slots if name.startswith(b"m:")}
    chosen = {part for name, part in slots.items() if name.startswith(b"s:")}
    return lambda part: part in chosen or part.partition(b":")[2] not in others


def _parts(connections: Connections, barrier: str) -> Iterator[tuple[int, str, bytes]]:
    """Cost: one round trip for 1,000 parts; the first also reads the barrier's counts."""
    control, values, extra = keys_of(barrier)
    counts, slots, length, page = checked(
        connections.send(
            ("HMGET", control, "n", "u", "x"),
            ("HGETALL", extra),
            ("LLEN", values),
            ("LRANGE", values, 0, PAGE - 1),
        )
    )
    size, unfilled, others = counts
    count = length / 2 - int(others or 0)
    full = size is not None and int(unfilled or 0) <= 0 and count >= int(size)
    wanted = _is_wanted(slots) if full and slots else None
    seen: set[bytes] = set()  # control may have been evicted, and a part recorded twice
    for start in range(0, length, PAGE):
        if start:
            page = connections.call("LRANGE", values, start, start + PAGE - 1)
        if len(page) < min(PAGE, length - start):  # a failover, or the barrier was closed
            raise Unavailable("the parts were removed while they were read")
        parts = page[::2]
        fresh = set(parts)
        if wanted is None and len(fresh) == len(parts) and seen.isdisjoint(fresh):
            yield from _split(parts, page[1::2])
        else:
            first = dict(zip(reversed(parts), page[::-2], strict=True))  # the first value stays
            chosen = [each for each in first.keys() - seen if wanted is None or wanted(each)]
            yield from _split(chosen, [first[each] for each in chosen])
        seen |= fresh


def _split(parts: list[bytes], values: list[bytes]) -> Iterator[tuple[int, str, bytes]]:
    """Place, member and value of parts; split together, which takes half the time."""
    texts = b":".join(parts).decode().split(":")
    if len(texts) == 2 * len(parts):
        return zip(map(int, texts[::2]), texts[1::2], values, strict=True)
    pairs = (part.decode().partition(":") for part in parts)  # a member has colons
    named = zip(pairs, values, strict=True)
    return ((int(place), member, value) for (place, _, member), value in named)
