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
from kvbackends.contract import Adapter, Entry, Feature, Options, Store, StoreURL, hookimpl, option

HEADER = Struct(">d16s")
"""When the value expires (seconds since 1970, inf: never), and its version."""


class DirectoryOptions(Options, frozen=True, kw_only=True):
    """What ``dir://`` accepts after the question mark."""

    fsync: Annotated[
        bool, option("Wait for the disk: a result outlives a power failure, and costs more.")
    ] = False


class DirectoryStore(Store):
    """A file is a header and the value; it is replaced whole, so readers need no lock.

    Writers of one key take turns by flock(2).  A lock file serves many keys: there are 256.
    """

    options_type = DirectoryOptions
    promises = Feature.DURABLE | Feature.SHARED

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self._folder = folder
        self._fsync = fsync

    @classmethod
    def from_url(cls, url: StoreURL, options: DirectoryOptions) -> Self:
        """The directory is absolute: ``dir:///var/lib/results``."""
        if url.hosts or not url.path:
            raise ConfigurationError(
                "a directory's URL has three slashes and the whole path, as in "
                f"dir:///var/lib/results; what was given is {url}"
            )
        return cls(Path("/", url.path), fsync=options.fsync)

    def get(self, key: str) -> Entry | None:
        """The value, unless it has expired."""
        try:
            data = self._file(key).read_bytes()
        except FileNotFoundError:
            return None
        expires, version = HEADER.unpack_from(data)
        return Entry(data[HEADER.size :], version) if expires > time.time() else None

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Replaces the file."""
        with self._writing(key) as file:
            self._replace(file, value, ttl)

    def delete(self, key: str) -> None:
        """Removes the file."""
        with self._writing(key) as file:
            file.unlink(missing_ok=True)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Replaces the file if its version is `version`; no other writer comes between."""
        with self._writing(key) as file:
            entry = self.get(key)
            if version != (entry and entry.version):
                return False
            self._replace(file, value, ttl)
            return True

    def _file(self, key: str) -> Path:
        # A key is any text; a file's name is not.
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
                # Closing is not enough: a child forked meanwhile has the file open, and the lock.
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _replace(self, file: Path, value: bytes, ttl: float | None) -> None:
        expires = float("inf") if ttl is None else time.time() + ttl
        draft = file.with_suffix(".draft")  # of this writer alone, who holds the lock
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
    """What the entry point in pyproject.toml leads to."""
    yield Adapter(
        schemes=("dir",),
        store=DirectoryStore,
        summary="a directory of files",
        example="dir:///var/lib/results",
    )
