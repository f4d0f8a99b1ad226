"""Celery results in a directory: one file per key, for all processes that see the directory."""

import fcntl
import os
import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Annotated, Self

from kvbackends import ConfigurationError
from kvbackends.contract import (
    Adapter,
    Entry,
    Feature,
    Options,
    Store,
    StoreURL,
    hookimpl,
    option,
    uninterrupted,
)

HEADER = Struct(">d16s")
"""The time of expiry (seconds since the epoch, or infinity), and the version."""


class DirectoryOptions(Options, frozen=True, kw_only=True):
    """Options of a ``dir://`` URL."""

    fsync: Annotated[
        bool, option("Wait for the disk: results survive a power failure, and cost more.")
    ] = False


class DirectoryStore(Store):
    """One file per key, with a header and the value.

    A file is replaced as a whole, so readers need no lock.  Writers of one key
    take turns by flock(2), on one of 256 lock files.  A signal's handler runs after a write: if it
    called the store it would wait for the lock that the interrupted call holds.
    """

    options_type = DirectoryOptions
    promises = Feature.DURABLE | Feature.SHARED

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self._folder = folder
        self._fsync = fsync

    @classmethod
    def from_url(cls, url: StoreURL, options: DirectoryOptions) -> Self:
        """Return the store in the URL's directory, an absolute path: ``dir:///var/lib/results``."""
        if url.hosts or not url.path:
            raise ConfigurationError(
                "a directory's URL has three slashes and the whole path, as in "
                f"dir:///var/lib/results; this one is {url}"
            )
        return cls(Path("/", url.path), fsync=options.fsync)

    def get(self, key: str) -> Entry | None:
        """Return the value and its version, or None if the key is absent or expired."""
        try:
            data = self._file(key).read_bytes()
        except FileNotFoundError:
            return None
        expires, version = HEADER.unpack_from(data)
        return Entry(data[HEADER.size :], version) if expires > time.time() else None

    @uninterrupted
    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Replace the file."""
        with self._writing(key) as file:
            self._replace(file, value, ttl)

    @uninterrupted
    def delete(self, key: str) -> None:
        """Remove the file if it exists."""
        with self._writing(key) as file:
            file.unlink(missing_ok=True)

    @uninterrupted
    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Compare and replace the file under the lock."""
        with self._writing(key) as file:
            entry = self.get(key)
            if version != (entry and entry.version):
                return False
            self._replace(file, value, ttl)
            return True

    def _file(self, key: str) -> Path:
        # A key may have characters that a file name must not have.
        return self._folder / sha256(key.encode()).hexdigest()

    @contextmanager
    def _writing(self, key: str) -> Iterator[Path]:
        file = self._file(key)
        self._folder.mkdir(parents=True, exist_ok=True)
        with file.with_name(f"{file.name[:2]}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield file
            finally:
                # Closing is not enough: a child forked meanwhile has the locked file open, too.
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _replace(self, file: Path, value: bytes, ttl: float | None) -> None:
        expires = float("inf") if ttl is None else time.time() + ttl
        draft = file.with_suffix(".draft")  # only the holder of the lock writes it
        with draft.open("wb") as written:
            written.write(HEADER.pack(expires, os.urandom(16)) + value)
            self._to_disk(written.fileno())
        draft.replace(file)
        if self._fsync:
            self._sync_folder()

    def _to_disk(self, descriptor: int) -> None:
        if self._fsync:
            os.fsync(descriptor)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """Return the adapter; kvbackends finds this hook by the entry point in pyproject.toml."""
    yield Adapter(
        schemes=("dir",),
        store=DirectoryStore,
        summary="a directory of files",
        example="dir:///var/lib/results",
    )
