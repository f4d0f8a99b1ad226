"""Helpers of the checks: parts, ranked values, sleeping, threads."""

import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from kvbackends.contract import (
    SIZE_PLACE,
    Arrival,
    Barrier,
    Offer,
    Outcome,
    Part,
    Rank,
    Store,
    Subscription,
)
from kvbackends.layers.guard import key_mapping
from kvbackends.testing.leftovers import note

T = TypeVar("T")
Opener = Callable[[], Store]

SHORT = 0.08
"""Seconds: a time to live that a check can wait for."""
TTL = 1800.0
"""Seconds: a time to live that no run of the suite outlasts, however slow the store is."""
SOON = 5.0
"""Seconds; every event that a check waits for comes earlier."""
WAITING, CLAIMED, HELD, CLOSED, UNKNOWN = Outcome

_deliveries = itertools.count(1)
_process = uuid.uuid4().hex[:8]


# -- reading --------------------------------------------------------------------------------


def value_at(store: Store, key: str) -> bytes:
    """Return the value at `key`; fails if the key is absent."""
    entry = store.get(key)
    assert entry is not None, "the key is absent"
    return entry.value


def version_at(store: Store, key: str) -> Hashable:
    """Return the version of the value at `key`; fails if the key is absent."""
    entry = store.get(key)
    assert entry is not None, "the key is absent"
    return entry.version


def listed(store: Store, keys: Iterable[str], prefix: str = "") -> list[str]:
    """Return the sorted names under which the store lists those of the keys with the prefix.

    A key that the store's limits do not allow is listed under its hash.
    """
    names = map(key_mapping(store.limits), keys)
    return sorted(name for name in names if name.startswith(prefix))


def latency(store: Store) -> float:
    """Return the seconds that the quickest of a few calls takes."""
    store.get("kvt-latency")  # connects
    return min(_seconds(lambda: store.get("kvt-latency")) for _ in range(3))


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def within(store: Store, observe: Callable[[float], T], calls: int = 5) -> tuple[T, float]:
    """Return the result of `observe(ttl)`, obtained before that ttl passed, and the ttl.

    `calls` is about the number of calls that `observe` makes.  It is repeated with a longer ttl if
    it took longer than the ttl, because its result, or its failure, proves nothing then.
    """
    ttl = max(0.15, 4 * calls * latency(store))
    while True:
        began = time.monotonic()
        try:
            found = observe(ttl)
        except AssertionError:
            if time.monotonic() - began < ttl:
                raise
        else:
            if time.monotonic() - began < ttl:
                return found, ttl
        ttl *= 3


def outlive(store: Store, ttl: float = SHORT) -> None:
    """Sleep until a key with this ttl must be gone."""
    time.sleep(ttl + store.limits.ttl_step + 0.02)


# -- parts, publishers and ranked values ----------------------------------------------------


def delivery() -> str:
    """Return a new delivery id."""
    return f"d{_process}-{os.getpid()}-{next(_deliveries)}"


def part(place: int, member: str = "", run: str = "") -> Part:
    """Return the part at `place`, with a new delivery id unless `run` is one."""
    return Part(place, member or f"task-{place}", run or delivery())


def publisher(run: str = "") -> Part:
    """Return the publisher's part, which brings the size."""
    return part(SIZE_PLACE, "size", run)


def rank_of(value: bytes) -> Rank:
    """Return the rank of a value: in the checks its first byte is the digit of its rank."""
    return Rank(int(value[:1]))


def offer(key: str, rank: Rank, text: str = "", ttl: float | None = None) -> Offer:
    """Return a ranked write whose bytes `rank_of` understands."""
    note(key)
    return Offer(key, b"%d%s" % (rank, text.encode()), rank, ttl)


def value_of(each: Part) -> bytes:
    """Return the value that the part brings."""
    return f"{each.place}:{each.member}".encode()


def arrive(barrier: Barrier, each: Part, evict: str | None = None) -> Arrival:
    """Let the part arrive with its value."""
    return barrier.arrive(each, value_of(each), evict)


def gathered(barrier: Barrier) -> dict[tuple[int, str], bytes]:
    """Return the values of the barrier's parts by place and member; fails if one is repeated."""
    listed = [((place, member), value) for place, member, value in barrier.parts()]
    assert len(dict(listed)) == len(listed), "a part is yielded twice"
    return dict(listed)


def begin(barrier: Barrier, size: int) -> None:
    """Open a barrier and set its size."""
    barrier.open(b"payload")
    assert barrier.expect(publisher(), size).outcome is WAITING


def complete(barrier: Barrier, size: int = 2) -> Part:
    """Open a barrier and bring every part; return the part that holds the claim."""
    begin(barrier, size)
    for place in range(size - 1):
        assert arrive(barrier, part(place)).outcome is WAITING
    last = part(size - 1)
    assert arrive(barrier, last).outcome is CLAIMED
    return last


def close(barrier: Barrier, each: Part) -> None:
    """Close the barrier after the dispatch, without a result."""
    barrier.close(each, None, rank_of)


# -- waiting, threads ------------------------------------------------------------------------


def hinted(subscription: Subscription, key: str, timeout: float = SOON) -> bool:
    """Return True as soon as a `wait` reports that the key may have changed; fails after a time."""
    hints(subscription, key, timeout)
    return True


def hints(subscription: Subscription, key: str, timeout: float = SOON) -> Collection[str] | None:
    """Return the first answer of `wait` that names the key, or that cannot tell (None)."""
    until, others = time.monotonic() + timeout, set[str]()
    while (left := until - time.monotonic()) > 0:
        keys = subscription.wait(min(left, 0.02))
        if keys is None or key in keys:
            return keys
        others.update(keys)
    told = f"; told of were {sorted(others)}" if others else ""
    raise AssertionError(f"no wait named {key[:100]!r} within {timeout:g} s of its offer{told}")


def told(hints: Collection[str] | None, key: str) -> bytes | None:
    """Return the value that the hints bring for the key, or None."""
    return hints.get(key) if isinstance(hints, dict) else None


def together(works: Iterable[Callable[[], T]]) -> list[T]:
    """Run each in its own thread, started at the same moment; return their answers in order."""
    all_works = list(works)
    start = threading.Barrier(len(all_works))

    def begin_one(work: Callable[[], T]) -> T:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(all_works)) as pool:
        return list(pool.map(begin_one, all_works))


def race(count: int, work: Callable[[int], T]) -> list[T]:
    """Run `work` with each number below `count`, like `together`."""
    return together(partial(work, n) for n in range(count))
