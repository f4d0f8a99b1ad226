"""Correct stores: every operation native, each in a few lines, to be broken one line at a time."""

import fcntl
import hashlib
import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from shelve import Shelf
from typing import Any, ClassVar, Self, TypeVar

import msgspec

from kvbackends.contract import (
    Arrival,
    Barrier,
    BarrierState,
    Entry,
    Feature,
    Limits,
    Offer,
    Outcome,
    Part,
    Rank,
    RankOf,
    Store,
    StoreURL,
    Subscription,
)
from kvbackends.contract.process import PerProcess
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.world import Row, State, World

T = TypeVar("T")


def expiry(ttl: float | None) -> float:
    return float("inf") if ttl is None else time.monotonic() + ttl


class Space:
    """The data that all stores of one name in this process share."""

    def __init__(self, world: World) -> None:
        self.lock = PerProcess(threading.RLock)
        self.world = world
        self.listeners: frozenset[MemorySubscription] = frozenset()


class ReferenceBarrier(Barrier):
    """A barrier in the world of its store."""

    def __init__(self, store: "ReferenceStore", name: str, ttl: float | None) -> None:
        self.name, self.ttl = name, ttl
        self.store = store

    def open(self, payload: bytes) -> None:
        with self.store.world() as world:
            expires = self.store.expires(self.ttl)
            world.barriers[self.name] = self.store.state_type(expires, payload)

    def expect(self, part: Part, size: int) -> Arrival:
        with self.store.world() as world:
            state = self.store.opened(world, self.name, self.ttl)
            if state is None or state.done:
                return Arrival(Outcome.UNKNOWN if state is None else Outcome.CLOSED)
            state.size = size
            return state.claim(part, None, arrives=True)

    def expect_more(self, part: Part, slot: int, member: str) -> None:
        with self.store.world() as world:
            state = self.store.opened(world, self.name, self.ttl)
            if state is not None and not state.done:
                state.add(part, slot, member)

    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        with self.store.world() as world:
            return self.store.arrived(world, self, part, value, evict)

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        with self.store.world() as world:
            arrival = self.store.arrived(world, self, part, offer.value, evict)
            if offer.rank is not Rank.SUCCEEDED or arrival.outcome is Outcome.WAITING:
                self.store.ranked(world, offer, rank_of)
            return arrival

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        with self.store.world() as world:
            state = world.barrier(self.name)
            listed = state.listed() if state else []
        return iter([(*each, value) for each, value in listed])

    def renew(self, part: Part) -> bool:
        with self.store.world() as world:
            state = world.barrier(self.name)
            return state is not None and state.held_by(part)

    def state(self) -> BarrierState | None:
        with self.store.world() as world:
            state = world.barrier(self.name)
            return None if state is None or state.done else state.shown()

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        with self.store.world() as world:
            state = world.barrier(self.name) or self.store.state_type(0, done=True)
            if state.may_be_closed_by(part):
                world.barriers[self.name] = state.tombstone(self.store.expires(self.ttl))
            if offer is not None:
                self.store.ranked(world, offer, rank_of)


class ReferenceStore(Store):
    """Correct, in this process's memory: each operation happens under one lock."""

    barrier_type: ClassVar[type[ReferenceBarrier]] = ReferenceBarrier
    state_type: ClassVar[type[State]] = State
    world_type: ClassVar[type[World]] = World
    subscription_type: ClassVar[type[MemorySubscription]] = MemorySubscription
    _spaces: ClassVar[dict[tuple[type, str], Space]] = {}

    def __init__(self, url: StoreURL) -> None:
        self.url = url
        name = "/".join([*map(str, url.hosts), url.path])
        self.space = self._spaces.setdefault((type(self), name), Space(self.world_type()))

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        return cls(url)

    @contextmanager
    def world(self) -> Iterator[World]:
        """Yield all data under the lock, to read and change them."""
        with self.space.lock():
            yield self.space.world

    def expires(self, ttl: float | None) -> float:
        return expiry(ttl)

    # -- plain keys -----------------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        with self.world() as world:
            row = world.row(key)
            return None if row is None else Entry(row.value, row.version)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.world() as world:
            world.put(key, value, self.expires(ttl))

    def delete(self, key: str) -> None:
        with self.world() as world:
            world.rows.pop(key, None)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world() as world:
            row = world.row(key)
            if (row and row.version) != version:
                return False
            world.put(key, value, self.expires(ttl))
            return True

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        with self.world() as world:
            rows = [(key, world.row(key)) for key in keys]
            return {key: row.value for key, row in rows if row is not None}

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        with self.world() as world:
            row = world.row(key)
            members = [] if row is None else msgspec.json.decode(row.value, type=list[str])
            if member not in members:
                members.append(member)
            world.put(key, msgspec.json.encode(members), self.expires(ttl))
            return frozenset(members)

    def touch(self, key: str, ttl: float | None) -> bool:
        with self.world() as world:
            if world.row(key) is None:
                return False
            world.prolong(key, self.expires(ttl))
            return True

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        with self.world() as world:
            row = world.row(key)
            total = int(row.value if row else b"0") + by
            world.put(key, b"%d" % total, self.expires(ttl))
            return total

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            return world.sweep(limit)

    def scan(self, prefix: str) -> Iterator[str]:
        with self.world() as world:
            return iter([key for key, _ in world.live() if key.startswith(prefix)])

    def find(self, facets: Mapping[str, str]) -> Iterable[str] | None:
        with self.world() as world:
            return [key for key, row in world.live() if facets.items() <= row.facets.items()]

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        now = time.monotonic()
        with self.world() as world:
            rows = {key: row for key in keys if (row := world.row(key)) is not None}
        return {
            key: None if row.expires == float("inf") else row.expires - now
            for key, row in rows.items()
        }

    def barriers(self, prefix: str) -> Iterator[str]:
        with self.world() as world:
            names = [name for name in world.barriers if name.startswith(prefix)]
            return iter([name for name in names if world.barrier(name) is not None])

    # -- ranked keys ----------------------------------------------------------------------------

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        with self.world() as world:
            return self.ranked(world, offer, rank_of)

    def ranked(self, world: World, offer: Offer, rank_of: RankOf) -> bool:
        row = world.row(offer.key)
        if row and row.value != offer.value and not rank_of(row.value).yields_to(offer.rank):
            return False
        world.put(offer.key, offer.value, self.expires(offer.ttl), offer.facets)
        self.tell(offer.key)
        return True

    def tell(self, key: str) -> None:
        for listener in self.space.listeners:
            listener.tell(key)

    def subscribe(self) -> Subscription:
        return self.subscription_type(self.space)  # type: ignore[arg-type]

    # -- barriers -------------------------------------------------------------------------------

    def barrier(self, name: str, ttl: float | None = None) -> Barrier:
        return self.barrier_type(self, name, ttl)

    def opened(self, world: World, name: str, ttl: float | None) -> State | None:
        """The barrier's state, which lives on; None if it was never opened, or has expired."""
        state = world.barrier(name)
        if state is not None:
            state.expires = max(state.expires, self.expires(ttl))
        return state

    def arrived(
        self,
        world: World,
        barrier: Barrier,
        part: Part,
        value: bytes | None,
        evict: str | None,
    ) -> Arrival:
        state = self.opened(world, barrier.name, barrier.ttl)
        if state is None or state.done:
            return Arrival(Outcome.UNKNOWN if state is None else Outcome.CLOSED)
        if value is not None:
            state.record(part, value)
        return state.claim(part, evict, arrives=value is not None)


class Folder(MutableMapping[bytes, bytes]):
    """One file for each key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def file(self, key: bytes) -> Path:
        return self.path / hashlib.sha256(key).hexdigest()

    def __getitem__(self, key: bytes) -> bytes:
        try:
            return self.read(self.file(key))[1]
        except FileNotFoundError:
            raise KeyError(key) from None

    def read(self, file: Path) -> tuple[bytes, bytes]:
        key, value = pickle.loads(file.read_bytes())
        return key, value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        # Whole or not at all: a process may be killed in the middle of it.
        draft = self.path.with_suffix(".draft")
        draft.write_bytes(pickle.dumps((key, value)))
        draft.replace(self.file(key))

    def __delitem__(self, key: bytes) -> None:
        self.file(key).unlink()

    def __iter__(self) -> Iterator[bytes]:
        return iter([self.read(file)[0] for file in self.path.iterdir()])

    def __len__(self) -> int:
        return len(list(self.path.iterdir()))


class Folders:
    """An open lock over folders of keys; its holder is the open file, which a fork shares."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)

    def close(self) -> None:
        os.close(self.lock)

    @contextmanager
    def world(self) -> Iterator[World]:
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            rows: Shelf[Row] = Shelf(Folder(self.path / "rows"), writeback=True)
            barriers: Shelf[State] = Shelf(Folder(self.path / "barriers"), writeback=True)
            with closing(rows), closing(barriers):
                yield World(rows, barriers)
        finally:
            fcntl.flock(self.lock, fcntl.LOCK_UN)


class FileStore(ReferenceStore):
    """Correct, in a folder of files behind one lock: for all processes of a host."""

    promises = Feature.SHARED | Feature.DURABLE
    subscribe = Store.subscribe

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.folders = self.open(Path("/", url.path))

    def open(self, path: Path) -> Any:
        """Each process opens the lock for itself."""
        return PerProcess(lambda: Folders(path), close=Folders.close, abandon=Folders.close)

    @contextmanager
    def world(self) -> Iterator[World]:
        with self.space.lock(), self.folders().world() as world:
            yield world

    def close(self) -> None:
        with self.space.lock():
            self.folders.close()


class AloneStore(FileStore):
    """Correct, and for one process at a time as far as it promises."""

    promises = Feature.DURABLE


class LimitedStore(ReferenceStore):
    """Correct, and refuses values of more than a thousand bytes."""

    limits = Limits(value_bytes=1000)


class ConnectionLost(Exception):
    """The driver's error of a broken connection."""


class WireStore(ReferenceStore):
    """Correct, behind a wire that breaks.

    On each connection the first writing call of a kind never arrives, and the second one's answer
    is lost; the core's retries make both good.  (All but a `compare_and_set` whose bytes another
    writer has replaced by then: it answers False, as the contract says.)
    """

    transient_errors = (ConnectionLost,)

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.sent: Counter[str] = Counter()

    def send(self, name: str, call: Callable[[], T]) -> T:
        self.sent[name] += 1
        turn = self.sent[name]
        if turn == 1:
            raise ConnectionLost("before it arrived")
        answer = call()
        if turn == 2:
            raise ConnectionLost("before the answer came")
        return answer

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.send("set", partial(super().set, key, value, ttl))

    def delete(self, key: str) -> None:
        self.send("delete", partial(super().delete, key))

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        return self.send(
            "compare_and_set", partial(super().compare_and_set, key, value, version, ttl)
        )

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        return self.send("offer", partial(super().offer, offer, rank_of))

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        store: "WireStore"

        def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
            return self.store.send("arrive", partial(super().arrive, part, value, evict))
