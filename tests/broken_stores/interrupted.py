"""Stores that do not bear what interrupts a call: signals, forks, the end of a process."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kvbackends.contract import Entry, StoreURL
from kvbackends.contract.process import PerProcess
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.reference import AloneStore, FileStore, ReferenceStore
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


@caught_by("interruptions.raising")
class LockedByAnException(ReferenceStore):
    """An exception in the middle of a call leaves its lock held."""

    @contextmanager
    def world(self) -> Iterator[World]:
        lock = self.space.lock()
        if not lock.acquire(timeout=1):
            raise RuntimeError("the lock is held")
        yield self.space.world
        time.sleep(0.0002)
        lock.release()


@caught_by("interruptions.raising")
class AnswersOutOfStep(ReferenceStore):
    """What an interrupted call has not read any more is taken for the next call's answer."""

    unread: list[Entry | None]

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.own = threading.RLock()
        self.unread = []

    def get(self, key: str) -> Entry | None:
        with self.own:
            self.unread.append(super().get(key))
            time.sleep(0.0002)
            return self.unread.pop(0)


@caught_by("interruptions.raising")
class ExceptionsAreRetried(ReferenceStore):
    """Every exception during a call is taken for a lost connection: a time limit is swallowed."""

    def get(self, key: str) -> Entry | None:
        while True:
            with suppress(Exception):
                time.sleep(0.0002)
                return super().get(key)


@caught_by("interruptions.calling")
class HandlersHang(ReferenceStore):
    """A signal's handler that calls the store waits for the lock of the call that it interrupts."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        lock = vars(self.space).setdefault("plain", PerProcess(threading.Lock))
        self.space.lock = lock

    @contextmanager
    def world(self) -> Iterator[World]:
        lock: Any = self.space.lock()
        if not lock.acquire(timeout=1):
            raise RuntimeError("a deadlock")
        try:
            yield self.space.world
            time.sleep(0.0002)
        finally:
            lock.release()


class _PlainlyLocked(MemorySubscription):
    """A subscription that is told under a lock which its own thread cannot take again."""

    def __init__(self, space: Any) -> None:
        self.plain = threading.Lock()
        super().__init__(space)

    def tell(self, key: str) -> None:
        if not self.plain.acquire(timeout=1):
            raise RuntimeError("a deadlock")
        try:
            super().tell(key)
            time.sleep(0.0002)
        finally:
            self.plain.release()


@caught_by("interruptions.calling")
class HandlersHangNotifying(ReferenceStore):
    """A handler that offers a key waits for the lock of the notification that it interrupts."""

    subscription_type = _PlainlyLocked


@caught_by("processes.child_closes")
class ChildEndsTheSession(FileStore):
    """`close` in a child says good-bye on the connection that it has inherited."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.session: Path | None = None

    @contextmanager
    def world(self) -> Iterator[World]:
        with super().world() as world:
            if self.session is None:
                self.session = self.folders().path / f"session-{uuid.uuid4().hex}"
                self.session.touch()
            if not self.session.exists():
                raise RuntimeError("the server has closed the connection")
            yield world

    def close(self) -> None:
        if self.session is not None:
            self.session.unlink(missing_ok=True)
        self.session = None
        super().close()


@caught_by("lasting.killed_process")
class WritesAtTheEnd(AloneStore):
    """Writes are confirmed when they are in memory, and written when the store is closed."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.unwritten: dict[str, bytes] = {}

    def get(self, key: str) -> Entry | None:
        unwritten = self.unwritten.get(key)
        return super().get(key) if unwritten is None else Entry(unwritten, unwritten)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.unwritten[key] = value

    def close(self) -> None:
        while self.unwritten:
            super().set(*self.unwritten.popitem())
        super().close()
