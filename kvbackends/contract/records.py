"""The records that cross the storage contract.  Nothing here knows Celery."""

import enum
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import NamedTuple, Protocol


class Feature(enum.Flag):
    """Features of a store.  The first three are declared; the others follow from overrides.

    Attributes:
        NONE: No feature.
        AUTOEXPIRE: Frees expired keys by itself; else `sweep` is called (Celery:
            ``supports_autoexpire``).
        DURABLE: Confirmed writes survive a restart of the store (Celery: ``persistent``).
        SHARED: Every process that opens the same URL sees the same keys.
        NATIVE_JOIN: Reads many keys in one request: `get_batch`.
        NATIVE_RANK: Decides by itself whether a result is replaced: `offer`.
        NATIVE_CHORD: Keeps chords in a form of its own: `barrier`.
        PUSH: Wakes waiters: `subscribe`.
        INCREMENT: Counts in one atomic step: `increment`.
        LISTING: Lists its keys: `scan`.
        FACETS: Finds results by state, task, worker or time: `find`.
    """

    NONE = 0
    AUTOEXPIRE = enum.auto()
    DURABLE = enum.auto()
    SHARED = enum.auto()
    NATIVE_JOIN = enum.auto()
    NATIVE_RANK = enum.auto()
    NATIVE_CHORD = enum.auto()
    PUSH = enum.auto()
    INCREMENT = enum.auto()
    LISTING = enum.auto()
    FACETS = enum.auto()


class Limits(NamedTuple):
    """Numbers the core keeps for the adapter, so that no adapter has to check them.

    Attributes:
        key_bytes: Longest key, in bytes of UTF-8; a longer one is hashed.
        value_bytes: Largest value; a larger one is refused before anything is sent.
        batch_keys: Most keys that one `get_batch` is given.
        key_pattern: A key that does not fully match is hashed (memcached: no blanks, no control
            characters).
        ttl_step: Seconds. A key may outlive its ttl by this much, and never dies earlier.
    """

    key_bytes: int | None = None
    value_bytes: int | None = None
    batch_keys: int = 1000
    key_pattern: str | None = None
    ttl_step: float = 0.0


class ServerAddress(NamedTuple):
    """A server as an adapter connects to it.

    Attributes:
        host: Name or address.
        port: The TCP port.
        tls: Whether the connection is encrypted.
    """

    host: str
    port: int
    tls: bool


class Entry(NamedTuple):
    """A stored value.  `version` is opaque; equal versions mean that equal bytes are stored.

    Attributes:
        value: The stored bytes.
        version: Opaque; equal versions mean that equal bytes are stored.
    """

    value: bytes
    version: Hashable


class Rank(enum.IntEnum):
    """How final a record is.

    Attributes:
        UNREADY: The task has not ended.
        FAILED: It has failed, or was revoked.
        SUCCEEDED: It has succeeded; never replaced.
    """

    UNREADY = 1
    FAILED = 2
    SUCCEEDED = 3

    def yields_to(self, other: "Rank") -> bool:
        """True if a stored record of this rank is replaced by one of rank `other`."""
        return self <= other and self is not Rank.SUCCEEDED


RankOf = Callable[[bytes], Rank]
"""Tells the rank of stored bytes; comes from the backend, so that old records are ranked too."""


class Offer(NamedTuple):
    """A ranked write.

    Attributes:
        key: The key.
        value: The bytes to store.
        rank: The rank of `value`.
        ttl: Seconds from now; None keeps it for ever.
        facets: Searchable properties (state, task, worker, time), for stores that can find by
            them.
        advisory: The caller needs no answer: a store may send the write, and answer True at
            once. The answers come before those of later commands, and must not be read as
            theirs. A write that the store refuses is logged, and one whose connection is lost
            is lost, without an error.
    """

    key: str
    value: bytes
    rank: Rank
    ttl: float | None = None
    facets: Mapping[str, str] = {}
    advisory: bool = False


class Part(NamedTuple):
    """One part of a barrier.  `(place, member)` is its identity: `add_to_chord` repeats a place.

    Attributes:
        place: Position in the header; `SIZE_PLACE` for arrivals that bring no value.
        member: The task's id.
        delivery: A fresh random id for each run of the message that brings the part; a claim
            names it.
    """

    place: int
    member: str
    delivery: str


SIZE_PLACE = -1
"""The place of arrivals that are no part of the header: the size, and a recovery."""


class Outcome(enum.Enum):
    """The state in which an arriving part finds its barrier.

    Attributes:
        WAITING: Parts are missing: nothing to do.
        CLAIMED: Every expected part is in, and this delivery holds the claim: dispatch.
        HELD: Every expected part is in, and another part's delivery holds the claim: arrive again.
        CLOSED: Dispatched before; nothing is left of what was recorded.
        UNKNOWN: The barrier was never opened in this store, or has expired; nothing was recorded.
    """

    WAITING = enum.auto()
    CLAIMED = enum.auto()
    HELD = enum.auto()
    CLOSED = enum.auto()
    UNKNOWN = enum.auto()


class Arrival(NamedTuple):
    """The answer to an arrival.

    Attributes:
        outcome: How the part finds the barrier.
        holder: HELD: the delivery that holds the claim. Unchanged for a lease, it may be
            evicted.
        parts: CLAIMED: how many parts `Barrier.parts` must yield; fewer means that some have
            expired.
        payload: CLAIMED: what `Barrier.open` kept; empty if it has expired.
    """

    outcome: Outcome
    holder: str = ""
    parts: int = 0
    payload: bytes = b""


class Fact(NamedTuple):
    """What an operator should know of a server, in words.

    Attributes:
        name: What it is about.
        said: The fact, in words.
        warning: True: results may be lost, or not expire.
    """

    name: str
    said: str
    warning: bool = False


class BarrierState(NamedTuple):
    """An open barrier at one moment, for operators: nothing in a chord depends on it.

    Attributes:
        size: The number of parts of the header; None until `Barrier.expect`.
        arrived: Place and member of each recorded part.
        slots: What `Barrier.expect_more` added: by slot, the members any one of which fills it.
        holder: The part and the delivery that hold the claim.
        payload: What `Barrier.open` kept; empty if it has expired.
    """

    size: int | None
    arrived: frozenset[tuple[int, str]]
    slots: Mapping[str, Sequence[str]]
    holder: Part | None
    payload: bytes

    @property
    def total(self) -> int | None:
        """How many parts complete the barrier; None if that is not known yet."""
        return None if self.size is None else self.size + len(self.slots)

    @property
    def done(self) -> int:
        """How many of these have arrived."""
        members = {member for _, member in self.arrived}
        added = {member for names in self.slots.values() for member in names}
        header = sum(member not in added for _, member in self.arrived)
        filled = sum(not members.isdisjoint(names) for names in self.slots.values())
        known = header + filled
        return known if self.total is None else min(known, self.total)


class Subscription(Protocol):
    """Names the keys that have changed.

    Every method but `wake` is called by one thread at a time, not always the same.  After `watch`
    has returned, each later change of its keys ends some `wait`, or `wait` raises a transient error
    and the leader opens a new subscription and reads everything again.
    """

    def watch(self, keys: Collection[str]) -> None:
        """Report later changes of these keys too."""

    def unwatch(self, keys: Collection[str]) -> None:
        """Forget these keys."""

    def wait(self, timeout: float) -> Collection[str] | None:
        """Keys that may have changed; None = cannot tell, read all; empty = none, or woken.

        `timeout` is in seconds.  A `dict` may give the keys' values, too (None: not given): what
        the store has held, byte for byte, since the latest `watch` of the key was called.  A final
        success that is given is not read any more.
        """

    def wake(self) -> None:
        """End a `wait` from any thread."""

    def close(self) -> None:
        """Free what the subscription holds; it is not used again."""
