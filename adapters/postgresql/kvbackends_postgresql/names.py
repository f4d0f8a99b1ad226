"""The names of the tables, functions and channels of one store."""

import hashlib
import zlib
from dataclasses import dataclass
from functools import cached_property

BUCKETS = 64
"""Keys are listened to by buckets, because a session holds one lock for each."""


@dataclass(frozen=True)
class Names:
    """Names of what a store has in its database.

    Args:
        table: What all names begin with.
        schema: The schema; empty for the first one of the search path.
        unlogged: Whether the tables are made without a log.
    """

    table: str
    schema: str = ""
    unlogged: bool = False

    @property
    def prefix(self) -> str:
        """The common part of all names, for people."""
        return f"{self.schema}.{self.table}" if self.schema else self.table

    def of(self, part: str) -> str:
        """The quoted name of a table, view or function."""
        name = self.index(part)
        return f"{_quoted(self.schema)}.{name}" if self.schema else name

    def index(self, part: str) -> str:
        """The quoted name of an index where it is made: it is in the schema of its table."""
        return _quoted(f"{self.table}_{part}")

    def filled(self, text: str) -> str:
        """`text` with ``{entry}`` and the like replaced by names."""
        for part in PARTS:
            text = text.replace(f"{{{part}}}", self.of(part))
        return text.replace("{class}", str(self.lock_class))

    @cached_property
    def lock_class(self) -> int:
        """The first number of the store's advisory locks."""
        return zlib.crc32(f"kvbackends {self.prefix}".encode()) - (1 << 31)

    def digest(self, key: bytes) -> str:
        """What a notification says instead of the key, which may be long and of any characters."""
        return hashlib.blake2b(key, digest_size=8, key=self._salt).hexdigest()

    @cached_property
    def _salt(self) -> bytes:
        return self.prefix.encode()[:64]


TABLES = ("entry", "barrier", "about", "part", "slot", "trash")
PARTS = (*TABLES, "results", "json", "time", "visit", "add")


def bucket(digest: str) -> int:
    """The bucket of a key's digest."""
    return int(digest[:2], 16) % BUCKETS


def channel(number: int) -> str:
    """The channel of a bucket."""
    return f"kvbackends_{number}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("\0", "") + '"'
