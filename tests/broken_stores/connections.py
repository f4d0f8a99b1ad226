"""Connections that are shared, closed for good, or out of date; secrets that show."""

from typing import Any

from kvbackends import Entry, Feature, StoreURL
from tests.broken_stores.reference import File, FileStore, ReferenceStore
from tests.broken_stores.registry import caught_by


class _Everybodys:
    """Made once and used in every process, as `PerProcess` would not."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = File(path)

    def __call__(self) -> File:
        return self.file

    def close(self) -> None:
        self.file.close()
        self.file = File(self.path)


@caught_by("processes.processes_share")
class SharedOverFork(FileStore):
    """A connection that was made before a fork is used by parent and children: one lock for all."""

    def open(self) -> Any:
        return _Everybodys(f"/{self.url.path}")


@caught_by("processes.processes_share")
class NotShared(ReferenceStore):
    """SHARED is promised of what each process keeps for itself."""

    promises = Feature.SHARED


@caught_by("methods.reopens_after_close")
class ClosedForGood(ReferenceStore):
    """A call after `close` fails: the pool is closed and nobody makes another."""

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


@caught_by("methods.other_connections_writes_are_read")
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


@caught_by("secrets.repr")
class PasswordInRepr(ReferenceStore):
    """The store shows its URL, with the password in it, in every log and traceback."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url.raw.reveal()}>"


@caught_by("secrets.errors")
class PasswordInErrors(ReferenceStore):
    """An error of the driver names the whole URL."""

    def ping(self) -> None:
        raise ConnectionRefusedError(f"cannot reach {self.url.raw.reveal()}")
