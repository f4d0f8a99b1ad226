"""Correct stores, each with one feature alone or with one limit or freedom at its extreme."""

import math
import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from kvbackends.contract import Adapter, Entry, Feature, Limits, Store, hookimpl
from kvbackends.contract.store import ACCELERABLE
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.reference import FileStore, ReferenceStore, WireStore
from tests.broken_stores.world import World

FIVE = {name: getattr(Store, name) for name in ACCELERABLE}
"""The derived operations, to take the overrides of a store away."""


class Correct(NamedTuple):
    store: type[ReferenceStore]
    asked: frozenset[str]
    """Checks and areas that a suite without care for its freedom would let it fail."""


STORES: dict[str, Correct] = {}


def add(name: str, base: type[ReferenceStore], asked: str, **attributes: Any) -> None:
    """Put a correct store on the list."""
    STORES[f"correct-{name}"] = Correct(type(name, (base,), attributes), frozenset(asked.split()))


def only(*kept: str) -> dict[str, Any]:
    """The attributes of a store that overrides nothing but the operations in `kept`."""
    return {name: form for name, form in FIVE.items() if name not in kept}


ALONE = "features listing finishing waiting.unwatched waiting.no_lost_wake_up"
BARRIER = {"offer", "barrier"}
NEEDS = {"find": {"offer", "scan"}, "subscribe": BARRIER, "barrier": BARRIER}
for operation in ACCELERABLE:
    kept = {operation, *NEEDS.get(operation, ())}
    add(f"only-{operation.replace('_', '-')}", ReferenceStore, ALONE, **only(*kept))
    rest = {each for each in ACCELERABLE if operation not in {each, *NEEDS.get(each, ())}}
    add(f"without-{operation.replace('_', '-')}", ReferenceStore, "features", **only(*rest))
ASKED = "features freeing lasting sweeping"


class Freeing(ReferenceStore):
    """Each call removes some of what has expired."""

    promises = Feature.AUTOEXPIRE

    @contextmanager
    def world(self) -> Iterator[World]:
        with super().world() as world:
            world.sweep(5)
            yield world


add("only-autoexpire", Freeing, ASKED, **only())
add("only-durable", FileStore, ASKED, **only(), promises=Feature.DURABLE)
add("only-shared", FileStore, "features pickling", **only(), promises=Feature.SHARED)

KEYS = "methods listing inspecting limits waiting.odd_keys parts.odd_barrier"
VALUES = (
    "methods.large_value parts.odd_members_and_values limits sizes.whole threads.claimer_sees_all"
)
BATCHES = "methods.batch methods.delete_batch limits sizes.whole"
LIMITS = {
    "shortest-keys": (Limits(key_bytes=36), KEYS),
    "keys-of-64": (Limits(key_bytes=64), KEYS),
    "longest-keys": (Limits(key_bytes=10**9), KEYS),
    "plain-keys": (Limits(key_pattern="[a-z0-9-]+"), KEYS),
    "smallest-values": (Limits(value_bytes=4096), VALUES),
    "largest-values": (Limits(value_bytes=2**62), VALUES),
    "largest-batches": (Limits(batch_keys=10**9), BATCHES),
}
for name, (limits, asked) in LIMITS.items():
    add(name, ReferenceStore, asked, limits=limits)
    add(f"{name}-of-five", ReferenceStore, asked, **only(), limits=limits)


class RefusesLarger(ReferenceStore):
    """Refuses a batch with more keys than it declares."""

    limits = Limits(batch_keys=1)

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        self.refuse(keys)
        return super().get_batch(keys)

    def delete_batch(self, keys: Collection[str]) -> None:
        self.refuse(keys)
        super().delete_batch(keys)

    def refuse(self, keys: Collection[str]) -> None:
        if len(keys) > self.limits.batch_keys:
            raise ValueError(f"{len(keys)} keys at once")


class WholeSeconds(ReferenceStore):
    """Counts whole seconds, rounded up."""

    limits = Limits(ttl_step=1.0)

    def expires(self, ttl: float | None) -> float:
        return super().expires(ttl and math.ceil(ttl))


class Eager(MemorySubscription):
    """Names every watched key each time: a notification too many is allowed."""

    def wait(self, timeout: float) -> Collection[str] | None:
        super().wait(min(timeout, 0.01))
        return set(self._watched)


class Early(MemorySubscription):
    """Its waits often end early, with nothing."""

    def wait(self, timeout: float) -> Collection[str] | None:
        return super().wait(min(timeout, 0.01))


class VersionIsTheValue(WireStore):
    """The version of a value is the value, behind a wire that breaks."""

    def get(self, key: str) -> Entry | None:
        entry = super().get(key)
        return entry and Entry(entry.value, entry.value)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world() as world:
            row = world.row(key)
            fits = (row and row.value) == version
            return super().compare_and_set(key, value, row and row.version if fits else "no", ttl)


class WritersSweep(ReferenceStore):
    """Each write removes what has expired, so that sweeping finds little."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, value, ttl)
        self.sweep()


class ExpiresItself(ReferenceStore):
    """Expired keys go with each call, and a sweep has nothing to do."""

    promises = Feature.AUTOEXPIRE

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            world.sweep(10**6)
        return 0


class CountsStrictly(FileStore):
    """A driver that takes numbers only, and no bool for one."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        if type(by) is not int:
            raise TypeError(f"{by!r} is no int")
        return super().increment(key, by, ttl)


class Slow(ReferenceStore):
    """A network away: the writes of a check take longer than short times to live."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        time.sleep(0.015)
        super().set(key, value, ttl)
        time.sleep(0.015)

    def get(self, key: str) -> Entry | None:
        time.sleep(0.03)
        return super().get(key)


class Stalls(WritersSweep):
    """On a machine that stalls: a short time to live may pass between any two calls."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        super().set(key, value, ttl)
        time.sleep(0.02)

    def get(self, key: str) -> Entry | None:
        entry = super().get(key)
        time.sleep(0.1 if entry else 0)
        return entry


add("smallest-batches", RefusesLarger, f"{BATCHES} keys expiring ttl faults connections adding")
add("smallest-batches-of-five", RefusesLarger, BATCHES, **only())
add("whole-seconds", WholeSeconds, "ttl.touch ttl.months ttl.gone_from_every_read sweeping")
add("whole-seconds-of-five", WholeSeconds, "ttl.touch members", **only())
for word, waits in {"eager": Eager, "early": Early}.items():
    asked = "waiting lasting.wakes_soon"
    add(f"{word}-waits", ReferenceStore, asked, subscription_type=waits)
RACES = "versions threads.no_update_is_lost threads.one_creates threads.members_are_not_lost"
add("version-is-the-value", VersionIsTheValue, RACES)
add("version-is-the-value-of-five", VersionIsTheValue, RACES, **only())
add("writers-sweep", WritersSweep, "sweeping")
add("expires-itself", ExpiresItself, "sweeping")
add("counts-strictly", CountsStrictly, "counters processes.processes_share")
add("stalls", Stalls, "sweeping.frees expiring.every_write_gives_its_own")
add("slow", Slow, "sweeping ttl.touch")


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    for scheme, each in STORES.items():
        yield Adapter(
            schemes=(scheme,), store=each.store, summary="correct", example=f"{scheme}:///tmp/x"
        )
