"""Connections that are shared, closed for good, or out of date; secrets that show."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from kvbackends.contract import Entry, Offer, Options, RankOf, StoreURL
from kvbackends.contract.process import PerProcess
from tests.broken_stores.reference import FileStore, Folders, ReferenceStore, Space
from tests.broken_stores.registry import caught_by
from tests.broken_stores.world import World


class _MadeOnce:
    """A connection that is made once and used in every process, unlike `PerProcess`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folders: Folders | None = Folders(path)

    def __call__(self) -> Folders:
        self.folders = self.folders or Folders(self.path)
        return self.folders

    def close(self) -> None:
        if self.folders is not None:
            self.folders.close()
        self.folders = None


@caught_by("processes.processes_share")
class SharedOverFork(FileStore):
    """A connection that was made before a fork is used by parent and children: one lock for all."""

    def open(self, path: Path) -> Any:
        return _MadeOnce(path)

    @contextmanager
    def world(self) -> Iterator[World]:
        with super().world() as world:
            yield world
            time.sleep(0.001)


@caught_by("processes.processes_share")
class NotShared(FileStore):
    """SHARED is promised of what each process keeps for itself."""

    def open(self, path: Path) -> Any:
        return PerProcess(lambda: Folders(path / str(os.getpid())), close=Folders.close)


@caught_by("methods.reopens_after_close")
class ClosedForGood(ReferenceStore):
    """A call after `close` fails: the pool is closed, and no other one is made."""

    is_closed = False

    def get(self, key: str) -> Entry | None:
        if self.is_closed:
            raise RuntimeError("the pool is closed")
        return super().get(key)

    def close(self) -> None:
        self.is_closed = True


@caught_by("methods.reopens_after_close")
class ClosedTwice(ReferenceStore):
    """Closing what is closed raises."""

    is_closed = False

    def close(self) -> None:
        if self.is_closed:
            raise RuntimeError("already closed")
        self.is_closed = True


@caught_by("methods.second_connection_sees_it")
class StaleCache(ReferenceStore):
    """A connection reads what it has read before, and not what another has written since."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.read: dict[str, Entry | None] = {}

    def get(self, key: str) -> Entry | None:
        if self.read.get(key) is None:
            self.read[key] = super().get(key)
        return self.read[key]

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.read.pop(key, None)
        super().set(key, value, ttl)

    def delete(self, key: str) -> None:
        self.read.pop(key, None)
        super().delete(key)


@caught_by("methods.second_connection_sees_it")
class ClosingClearsAll(ReferenceStore):
    """Closing one connection throws away what all of them have stored."""

    def close(self) -> None:
        with self.world() as world:
            world.rows.clear()


@caught_by("secrets.repr_shows_none")
class PasswordInRepr(ReferenceStore):
    """The store shows the password that it was opened with, in every log and traceback."""

    def __repr__(self) -> str:
        password = self.url.password
        return f"<{type(self).__name__} password={password.reveal() if password else None}>"


@caught_by("threads.closing_disturbs_nobody")
class OnePoolForAll(ReferenceStore):
    """Connections of one process share a pool, and closing one of them closes it for all."""

    closed_by: ClassVar[object] = None

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        if type(self).closed_by not in {None, self}:
            raise RuntimeError("the pool is closed")
        type(self).closed_by = None
        super().set(key, value, ttl)

    def close(self) -> None:
        type(self).closed_by = self
        super().close()


class _LeftWhenIdle(_MadeOnce):
    """A child makes its own connection only if the inherited one was not in use."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.pid = os.getpid()
        self.calls: list[None] = []

    def __call__(self) -> Folders:
        if os.getpid() != self.pid and not self.calls:
            self.pid, self.folders = os.getpid(), None
        return super().__call__()


@caught_by("processes.fork_in_mid_call")
class SharedInMidCall(FileStore):
    """A fork in the middle of another thread's call leaves the child with its parent's lock."""

    def open(self, path: Path) -> Any:
        return _LeftWhenIdle(path)

    @contextmanager
    def world(self) -> Iterator[World]:
        self.folders.calls.append(None)
        try:
            with super().world() as world:
                yield world
                time.sleep(0.002)
        finally:
            self.folders.calls.pop()


@caught_by("pickling.backend")
class EachOpeningItsOwn(ReferenceStore):
    """Each connection opens a store of its own, under the same URL (a private cache)."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.space = Space(self.world_type())


@caught_by("pickling.other_process")
class OffersStayHere(FileStore):
    """Results are kept in the memory of the process that has them, to be written some day."""

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        with self.space.lock():
            return self.ranked(self.space.world, offer, rank_of)

    def get(self, key: str) -> Entry | None:
        with self.space.lock():
            row = self.space.world.row(key)
        return super().get(key) if row is None else Entry(row.value, row.version)


class _Unpicklable(Options, frozen=True, kw_only=True):
    def __reduce__(self) -> str:
        raise TypeError("cannot pickle a lock")


@caught_by("pickling.options")
class OptionsDoNotPickle(ReferenceStore):
    """The options hold something that cannot be sent to another process."""

    options_type = _Unpicklable
