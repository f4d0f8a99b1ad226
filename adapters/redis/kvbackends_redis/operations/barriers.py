"""The chord's barrier: each step is one script over two hashes and a list, whatever its size."""

import functools
from collections.abc import Callable, Iterator

from kvbackends.contract import Arrival, Offer, Part, RankOf
from kvbackends_redis.connecting.connections import Connections, checked
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.operations import scripts
from kvbackends_redis.operations.ranked import DIGITS, SUCCEEDED, seen
from kvbackends_redis.operations.scripts import milliseconds

TAG = 36
"""Most letters at the end of a barrier's name that choose its slot: as many as a UUID has."""

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
    return f"{family}.control", f"{family}.parts", f"{family}.extra"


def _has_tag(name: str) -> bool:
    """True if a cluster hashes only what is between the first braces of `name`."""
    start = name.find("{")
    return start >= 0 and name.find("}", start) > start + 1


def _tagged(name: str) -> str:
    """`name` with a hash tag at its end.  Ends with a brace, so it is no other name and a dash."""
    name = name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D") or "%"
    split = max(len(name) - TAG, len(name) // 2)
    return f"{name[:split]}{{{name[split:]}}}"


def open_barrier(connections: Connections, barrier: str, about: bytes, ttl: float | None) -> None:
    """Forget what is there, and begin."""
    connections.run(scripts.OPEN, keys_of(barrier), milliseconds(ttl), about)


def expect(connections: Connections, part: Part, size: int, ttl: float | None) -> Arrival:
    """Write the size, then look like any arrival."""
    name, *who = part
    answer = connections.run(scripts.EXPECT, keys_of(name), *who, milliseconds(ttl), size)
    return scripts.arrival(answer)


def expect_more(
    connections: Connections, part: Part, slot: int, member: str, ttl: float | None
) -> None:
    """One part more, unless the barrier is claimed."""
    more = part.place, part.member, slot, member
    connections.run(scripts.EXPECT_MORE, keys_of(part.barrier), *more, milliseconds(ttl))


def arrive(
    connections: Connections, part: Part, value: bytes | None, ttl: float | None, evict: str | None
) -> Arrival:
    """Record the part once, and claim the barrier if it is complete."""
    name, place, *who = part
    script, brought = (scripts.LOOK, ()) if value is None else (scripts.ARRIVE, (value,))
    rest = str(place), *who, milliseconds(ttl), *brought, *([evict] if evict else [])
    return scripts.arrival(connections.run(script, keys_of(name), *rest))


def finish(
    connections: Connections,
    offer: Offer,
    part: Part,
    rank_of: RankOf,
    ttl: float | None,
    evict: str | None,
) -> Arrival:
    """The part and its result."""
    name, place, member, delivery = part
    key, value, rank, lifetime, _, _ = offer
    keys, lives = (*keys_of(name), key), milliseconds(ttl)
    first = str(place), member, delivery, lives, value
    result = DIGITS[rank], milliseconds(lifetime), evict or ""
    more = () if result == (SUCCEEDED, lives, "") else result
    answer = connections.run(scripts.FINISH, keys, *first, *more)
    while type(answer) is bytes:
        answer = connections.run(scripts.FINISH, keys, *first, *result, *seen(answer, rank_of))
    return scripts.arrival(answer)


def close_barrier(
    connections: Connections, part: Part, ttl: float | None, offer: Offer | None, rank_of: RankOf
) -> None:
    """The tombstone and the result; the parts are freed by a thread of the server's."""
    keys, lives = keys_of(part.barrier), milliseconds(ttl)
    if offer is None:
        connections.run(scripts.CLOSE, keys, lives)
        return
    four = *keys, offer.key
    arguments = lives, offer.value, DIGITS[offer.rank], milliseconds(offer.ttl)
    answer = connections.run(scripts.CLOSE, four, *arguments)
    while type(answer) is bytes:
        answer = connections.run(scripts.CLOSE, four, *arguments, *seen(answer, rank_of))


def renew(connections: Connections, part: Part) -> bool:
    """True if this delivery still holds the claim."""
    holder, done = connections.call("HMGET", keys_of(part.barrier)[0], "o", "d")
    return not done and holder == part.delivery.encode()


def _is_wanted(pairs: list[bytes]) -> Callable[[bytes], bool]:
    """Tells whether a part is of the header, or the one of its slot."""
    slots = dict(zip(pairs[::2], pairs[1::2], strict=True))
    others = {name[2:] for name in slots if name.startswith(b"m:")}
    chosen = {part for name, part in slots.items() if name.startswith(b"s:")}
    return lambda part: part in chosen or part.partition(b":")[2] not in others


def parts(connections: Connections, barrier: str) -> Iterator[tuple[int, str, bytes]]:
    """A thousand in each round trip, the first with what is to be known of the barrier.

    All that has arrived while parts are missing; else the header, and one part for each slot.
    """
    control, values, extra = keys_of(barrier)
    about, slots, length, page = checked(
        connections.send(
            ("HMGET", control, "n", "u", "x"),
            ("HGETALL", extra),
            ("LLEN", values),
            ("LRANGE", values, 0, PAGE - 1),
        )
    )
    size, unfilled, others = about
    count = length / 2 - int(others or 0)
    full = size is not None and int(unfilled or 0) <= 0 and count >= int(size)
    wanted = _is_wanted(slots) if full and slots else None
    seen: set[bytes] = set()  # what counted them may have been evicted, and have let one in twice
    for start in range(0, length, PAGE):
        if start:
            page = connections.call("LRANGE", values, start, start + PAGE - 1)
        if len(page) < min(PAGE, length - start):  # a failover, or the barrier was closed
            raise Unavailable("the parts were removed while they were read")
        for part, value in zip(page[::2], page[1::2], strict=True):
            if part not in seen and (wanted is None or wanted(part)):
                seen.add(part)
                place, _, member = part.partition(b":")
                yield int(place), member.decode(), value
