"""The SQLite store: each operation is one statement or one transaction."""

import sqlite3
from collections.abc import Collection, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec

from kvbackends.contract.options import Options, option
from kvbackends.contract.process import PerProcess
from kvbackends.contract.records import Entry, Fact, Feature, Limits, Offer, RankOf
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL
from kvbackends.errors import ConfigurationError
from kvbackends.stores.sqlite import entries, inspecting
from kvbackends.stores.sqlite.barrier import SQLiteBarrier
from kvbackends.stores.sqlite.database import Database
from kvbackends.stores.sqlite.errors import Busy
from kvbackends.stores.sqlite.pool import Settings
from kvbackends.stores.sqlite.subscription import FileSubscription
from kvbackends.stores.sqlite.sweeping import Sweeper


class SQLiteOptions(Options, frozen=True, kw_only=True):
    """Options of a ``sqlite://`` URL."""

    synchronous: Annotated[
        Literal["NORMAL", "FULL", "normal", "full"],
        option(
            "FULL: a stored result survives a power failure. NORMAL: it survives the death of any "
            "process, but a power failure may lose the latest results."
        ),
    ] = "NORMAL"
    busy_timeout: Annotated[
        float,
        msgspec.Meta(gt=0),
        option("Seconds for which one attempt to write waits for other processes."),
    ] = 5.0
    wal_autocheckpoint: Annotated[
        int,
        msgspec.Meta(gt=0),
        option("Number of pages after which the write-ahead log is copied into the file."),
    ] = 1000


class SQLiteStore(Store):
    """Results in one file, for all processes of one host."""

    options_type = SQLiteOptions
    promises = Feature.DURABLE | Feature.SHARED
    limits = Limits(value_bytes=999_000_000)  # SQLite's page "Limits": 10^9 bytes in a row
    transient_errors = (Busy,)

    def __init__(self, path: str, options: SQLiteOptions) -> None:
        settings = Settings(
            options.synchronous.upper(), options.busy_timeout, options.wal_autocheckpoint
        )
        self._sweeper = Sweeper()
        self._database = PerProcess(
            lambda: Database(path, settings),
            close=Database.close,
            abandon=Database.abandon,
            before_fork=Database.before_fork,
            after_fork=Database.after_fork,
        )

    @classmethod
    def from_url(cls, url: StoreURL, options: SQLiteOptions) -> Self:
        """Return the store in the file of the URL's path; it is relative to the current directory.

        Raises `ConfigurationError` if the URL names no file.
        """
        if not url.path or url.hosts:
            raise ConfigurationError(
                "a SQLite URL names a file: sqlite:///results.db in the current directory, or "
                "sqlite:////var/lib/app/results.db with four slashes for an absolute path"
            )
        if url.path == ":memory:":
            raise ConfigurationError("a store in memory is memory://; sqlite:// names a file")
        # Absolute, because the application may change its directory before the file is opened.
        return cls(cls.located(url).path, options)

    @classmethod
    def located(cls, url: StoreURL) -> StoreURL:
        """Return the URL with an absolute path."""
        if url.path in {"", ":memory:"} or Path(url.path).is_absolute():
            return url
        return url.at_path(str(Path(url.path).absolute()))

    # -- plain and ranked keys ----------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """Cost: one query.  The version is the value itself."""
        value = entries.get(self._database(), key)
        return None if value is None else Entry(value, value)

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Cost: one query."""
        return entries.get_batch(self._database(), keys)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Cost: one statement."""
        self._database().write_one(entries.put, key, value, ttl)

    def delete(self, key: str) -> None:
        """Cost: one statement."""
        self._database().write_one(entries.delete, key)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Cost: one statement."""
        if version is None:
            return self._database().write_one(entries.create, key, value, ttl)
        return self._database().write_one(entries.replace, key, value, version, ttl)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """Cost: one statement, which compares with the rank in the row.

        If it does not store, a transaction asks `rank_of` in case the record was written by `set`.
        """
        database = self._database()
        return database.write_one(entries.offer, offer) or database.write(
            entries.offer_over_plain, offer, rank_of
        )

    def touch(self, key: str, ttl: float | None) -> bool:
        """Cost: one statement."""
        return self._database().write_one(entries.touch, key, ttl)

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Cost: one transaction."""
        return self._database().write(entries.increment, key, by, ttl)

    def scan(self, prefix: str) -> Iterator[str]:
        """Yield the keys in order, read in pages; keys written meanwhile may be missing."""
        return entries.scan(self._database(), prefix)

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Cost: one query."""
        return entries.lifetimes(self._database(), keys)

    def barriers(self, prefix: str) -> Iterator[str]:
        """Yield the names in order, read in pages."""
        return inspecting.barriers(self._database(), prefix)

    def sweep(self, limit: int = 1000) -> int:
        """Reads without the lock, deletes in short transactions, continues where it ended."""
        return self._sweeper.sweep(self._database(), limit)

    def barrier(self, name: str, ttl: float | None = None) -> SQLiteBarrier:
        """Each operation is one transaction."""
        return SQLiteBarrier(self._database, name, ttl)

    # -- the rest -----------------------------------------------------------------------------

    def subscribe(self) -> FileSubscription:
        """Return a subscription to the notifications in the lock file."""
        return FileSubscription(self._database().path)

    def about(self) -> Iterator[Fact]:
        """The library, and the file's absolute path and size."""
        path = Path(self._database().path).absolute()
        yield Fact("server", f"SQLite {sqlite3.sqlite_version}")
        yield Fact("file", f"{path}, {path.stat().st_size:,} bytes")

    def ping(self) -> None:
        """Open the file if it is closed, and read a key."""
        entries.get(self._database(), "kvbackends-ping")

    def close(self) -> None:
        """Close the files; a later operation opens them again."""
        self._database.close()
