"""Times to live of all kinds of writes."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product

import pytest

from kvbackends.contract import Rank, Store
from kvbackends.testing.check import Area
from kvbackends.testing.delayed import Waits
from kvbackends.testing.overlapped import side_by_side
from kvbackends.testing.tools import (
    SHORT,
    TTL,
    begin,
    complete,
    offer,
    part,
    rank_of,
)

Write = Callable[[Store, str, float | None], object]

FRACTIONS = (1.4, 3.4, 7.4)
"""Seconds: times to live, each tried if the store was too slow for the one before."""
SPARE = 0.1
"""Seconds before the end of its ttl, at which a key is read."""
SWAPS = 3
"""Attempts to replace a value, which may expire before."""


def _swap(store: Store, key: str, ttl: float | None) -> None:
    """Store with a version that was read; again where the key has expired in between."""
    for _ in range(SWAPS):
        entry = store.get(key)
        if store.compare_and_set(key, b"1", entry and entry.version, ttl):
            return
    raise AssertionError(f"compare_and_set lost {SWAPS} races, and no other client writes the key")


def _finish(store: Store, key: str, ttl: float | None) -> None:
    barrier = store.barrier(f"{key}-{ttl}-finished", TTL)
    begin(barrier, 2)
    barrier.finish(part(0), offer(key, Rank.FAILED, str(ttl), ttl), rank_of)


def _close(store: Store, key: str, ttl: float | None) -> None:
    barrier = store.barrier(f"{key}-{ttl}-closed", TTL)
    barrier.close(complete(barrier, 1), offer(key, Rank.FAILED, str(ttl), ttl), rank_of)


WRITES: dict[str, Write] = {
    "set": lambda store, key, ttl: store.set(key, b"1", ttl),
    "compare_and_set": _swap,
    "offer": lambda store, key, ttl: store.offer(offer(key, Rank.FAILED, str(ttl), ttl), rank_of),
    "increment": lambda store, key, ttl: store.increment(key, 1, ttl),
    "add_member": lambda store, key, ttl: store.add_member(key, "a", ttl),
    "finish": _finish,
    "close": _close,
}
CASES: dict[str, tuple[float, float | None]] = {
    "shorter": (TTL, SHORT),
    "longer": (SHORT, TTL),
    "for ever": (SHORT, None),
}
"""The ttl of a first write, and that of a second one."""


class Expiring(Area):
    """Each write gives its own ttl, to a fraction of a second."""

    area = "expiring"
    rule = "time-to-live"

    def every_write_gives_its_own(self, store: Store, key: str) -> Waits:
        """Whatever writes a key gives its own ttl, or none, in place of the one that was there."""

        def write_twice(each: tuple[str, str]) -> None:
            write, case = each
            for ttl in CASES[case]:
                WRITES[write](store, f"{key}-{write}-{case}", ttl)

        both = list(product(WRITES, CASES))
        side_by_side(write_twice, both)
        yield SHORT
        keys = {f"{key}-{write}-{case}": case for write, case in both}
        left = {each for each, case in keys.items() if case != "shorter"}
        assert set(store.get_batch(list(keys))) == left

    def fractions_count(self, store: Store, key: str) -> Waits:
        """A key with a ttl of 1.4 s is there after 1.3 s, whichever operation wrote it."""
        with ThreadPoolExecutor(1) as pool:
            for ttl in FRACTIONS:
                reading = pool.submit(_read_before, store, f"{key}-{ttl}", ttl)
                yield ttl
                left = reading.result()
                if left is not None:
                    assert left == {f"{key}-{ttl}-{write}" for write in WRITES}
                    return
        pytest.skip("the store is too slow: a ttl has passed before its key could be read")


def _read_before(store: Store, key: str, ttl: float) -> set[str] | None:
    """The keys that are there before their ttl has passed; None if the read came too late."""
    began = time.monotonic()
    keys = {f"{key}-{name}": write for name, write in WRITES.items()}
    side_by_side(lambda each: keys[each](store, each, ttl), keys)
    time.sleep(max(began + ttl - SPARE - time.monotonic(), 0))
    found = set(side_by_side(partial(_if_there, store), keys)) - {""}
    return found if time.monotonic() - began < ttl else None


def _if_there(store: Store, key: str) -> str:
    return "" if store.get(key) is None else key
