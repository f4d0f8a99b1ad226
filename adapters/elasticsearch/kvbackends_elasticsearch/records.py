"""Where the documents of a barrier are, and its control record as it is read and replaced."""

import time
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from kvbackends import PerProcess
from kvbackends_elasticsearch.client import CREATE, Action, Client, Item, writing
from kvbackends_elasticsearch.control import Control
from kvbackends_elasticsearch.documents import Document, Version, expiry, id_of
from kvbackends_elasticsearch.recent import Recent

LONGER = 4 / 3
"""Control records live so many times the ttl: not each part has to renew them, and none ends before
the ttl of a part that has just arrived."""


def routing_of(barrier: str) -> str:
    """All documents of a barrier are on one shard."""
    return f"{zlib.crc32(barrier.encode()):x}"


class Run(NamedTuple):
    """The ids of the documents of one run of a barrier."""

    barrier: str
    run: str

    @property
    def counter(self) -> str:
        """What every arrival writes again."""
        return id_of(f"{self.barrier}.{self.run}.n")

    @property
    def about(self) -> str:
        """What the publisher kept."""
        return id_of(f"{self.barrier}.{self.run}.a")

    def value(self, place: int, member: str) -> str:
        """The value of a part."""
        return id_of(f"{self.barrier}.{self.run}.v{place}:{member}")


class Look(NamedTuple):
    """A control record as it was read."""

    control: Control | None
    """None: there is none, or it has expired."""
    version: Version
    """On condition of which it is replaced."""
    expires: float | None = None
    """Milliseconds since the epoch."""

    def ends_within(self, ttl: float | None) -> bool:
        """True if it will expire, and before the end of this ttl."""
        if self.expires is None:
            return False
        return ttl is None or self.expires < (time.time() + ttl) * 1000


class Replaced(NamedTuple):
    """A control record as it was written, and what was read right after it."""

    look: Look
    after: Sequence[Item]


class Records:
    """The control records of one index."""

    def __init__(self, client: PerProcess[Client]) -> None:
        self._client = client
        self._seen: Recent[Look] = Recent()

    def seen(self, barrier: str) -> Look | None:
        """What was read or written last, if it may still be so: it tells the run."""
        return self._seen.get(barrier)

    def read(self, barrier: str) -> Look:
        """The record of now."""
        return self.found(barrier, self._client().get(id_of_record(barrier), routing_of(barrier)))

    def found(self, barrier: str, document: Document | None) -> Look:
        """The record in a document."""
        if document is None:
            look = Look(None, CREATE)
        else:
            source, version = document
            control = msgspec.convert(source.control, Control) if source.is_alive() else None
            look = Look(control, version, source.expires)
        return self._noted(barrier, look)

    def replace(
        self,
        barrier: str,
        look: Look,
        control: Control,
        ttl: float | None,
        *,
        before: Sequence[Action] = (),
        after: Sequence[Action] = (),
    ) -> Replaced | None:
        """Write `control` unless the record has changed since `look`; None if it has."""
        expires = expiry(ttl if control.done else ttl and ttl * LONGER)
        body = msgspec.json.encode({"control": control, "run": control.run, "expires": expires})
        write = writing(id_of_record(barrier), body, look.version)
        items = self._client().bulk([*before, write, *after], routing_of(barrier))
        written = items[len(before)]
        if not written.done:
            self._seen.pop(barrier)
            return None
        fresh = self._noted(barrier, Look(control, written.version, expires))
        return Replaced(fresh, items[len(before) + 1 :])

    def _noted(self, barrier: str, look: Look) -> Look:
        if look.control is None or look.control.done:
            self._seen.pop(barrier)
        else:
            self._seen.put(barrier, look)
        return look


def id_of_record(barrier: str) -> str:
    """The id of a control record."""
    return id_of(f"{barrier}.c")
