"""The storage contract: five methods to implement, and the operations that follow from them."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import msgspec

from kvbackends.contract.barrier import Barrier
from kvbackends.contract.derived import LostRaces, concurrently, update
from kvbackends.contract.options import Options
from kvbackends.contract.paged import PagedBarrier, barriers_among
from kvbackends.contract.records import (
    Entry,
    Fact,
    Feature,
    Limits,
    Offer,
    RankOf,
    ServerAddress,
    Subscription,
)
from kvbackends.contract.url import StoreURL
from kvbackends.contract.waking import Polling
from kvbackends.errors import NotSupported

ACCELERABLE = (
    "get_batch",
    "delete_batch",
    "offer",
    "barrier",
    "add_member",
    "touch",
    "increment",
    "sweep",
    "scan",
    "find",
    "barriers",
    "lifetimes",
    "subscribe",
)
"""The operations that a store may override: for speed, never for meaning."""

_SHOWN_BY = {
    "get_batch": Feature.NATIVE_JOIN,
    "offer": Feature.NATIVE_RANK,
    "barrier": Feature.NATIVE_CHORD,
    "subscribe": Feature.PUSH,
    "increment": Feature.INCREMENT,
    "scan": Feature.LISTING,
    "find": Feature.FACETS,
}

_members = msgspec.json.Decoder(list[str]).decode


class Store(ABC):
    """A key-value store.  Keys are `str`, values `bytes`, a ttl is seconds > 0 or None (for ever).

    An expired key is absent from every read, whether or not the store has removed it yet.  Every
    method is safe from any thread; a client made before a fork is never used after it
    (`kvbackends.contract.PerProcess`).  Three families of keys never mix: ranked (`offer` and
    `Barrier.finish`), plain (`set`, `compare_and_set`, `increment`, `touch`) and barriers.

    Attributes:
        options_type: The class that declares the adapter's options.
        promises: Declared flags (AUTOEXPIRE, DURABLE, SHARED); an instance may know better than
            its class.
        limits: What the core keeps for the adapter.
        transient_errors: Exceptions after which the outcome is unknown and the same call may
            succeed. Where a driver has one class for "try again" and "never", the adapter
            raises one of its own. The driver must not repeat a write by itself unless the
            server applies it exactly once: the repeated write would lose a race against its own
            first attempt.
        server: A server that the store reaches by TCP; `from_url` sets it. Where the first
            connections fail it is asked whether it speaks TLS, because the URL may have the
            wrong scheme.
    """

    options_type: ClassVar[type[Options]] = Options
    promises: Feature = Feature.NONE
    limits: Limits = Limits()
    transient_errors: tuple[type[BaseException], ...] = ()

    server: ServerAddress | None = None

    # -- the five -----------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        """Build without any I/O; `options` is a filled `cls.options_type`."""

    @classmethod
    def located(cls, url: StoreURL) -> StoreURL:
        """Return `url` with an absolute path; overridden by stores whose path is a local file's."""
        return url

    @abstractmethod
    def get(self, key: str) -> Entry | None:
        """The value and its version, or None if the key is absent or expired."""

    @abstractmethod
    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store unconditionally."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove; an absent key is fine."""

    @abstractmethod
    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """Store if the stored version is `version` (None: if the key is absent), atomically.

        A lost race is False, never an exception.  A key that has expired is absent here too; the
        expiry, or what else the server's condition cannot test, may be a part of the version.

        After a transient error, False means that `value` is not stored now; it may have been stored
        and replaced since.  A loop over this must recognise its own write when it reads it.
        """

    # -- derived: override for speed, never for meaning ---------------------------------------

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """The values of those keys that exist; at most ``limits.batch_keys`` different keys."""
        entries = zip(keys, concurrently(self.get, keys), strict=True)
        return {key: entry.value for key, entry in entries if entry is not None}

    def delete_batch(self, keys: Collection[str]) -> None:
        """Remove at most ``limits.batch_keys`` keys; absent ones are fine."""
        concurrently(self.delete, keys)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """The ranked write: store a record unless a better one is there; wake its waiters.

        True if it is stored, False if the stored record does not yield (`Rank.yields_to`).  A
        stored record that equals the offer is the offer, stored by an earlier attempt.
        """
        if self.compare_and_set(offer.key, offer.value, None, offer.ttl):
            return True  # one call for most results: nothing was there
        races = LostRaces()
        while True:
            value, version = self.get(offer.key) or (None, None)
            if value == offer.value:
                return True
            if value is not None and not rank_of(value).yields_to(offer.rank):
                return False
            if self.compare_and_set(offer.key, offer.value, version, offer.ttl):
                return True
            races.count(version)

    def barrier(self, name: str, ttl: float | None = None) -> Barrier:
        """The barrier of one chord; what its operations write is kept for `ttl` seconds.

        Override it with a `Barrier` where the server runs several steps at once, else with a
        `kvbackends.contract.StepwiseBarrier`.  No I/O.
        """
        return PagedBarrier(self, name, ttl)

    def add_member(self, key: str, member: str, ttl: float | None) -> frozenset[str]:
        """Put `member` into the small set at `key`, once; all members that it has now.

        `get` and `get_batch` read the set as a JSON list of texts, `delete` removes it, and nothing
        else is done with its key.  A set that has expired begins anew.
        """

        def with_member(old: bytes | None) -> bytes:
            members = [] if old is None else _members(old)
            return msgspec.json.encode(members if member in members else [*members, member])

        return frozenset(_members(update(self, key, with_member, ttl) or b"[]"))

    def touch(self, key: str, ttl: float | None) -> bool:
        """Give the key a new time to live; False if it is absent."""
        return update(self, key, lambda old: old, ttl) is not None

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """Add `by` to the decimal number at `key` (absent: 0); the sum."""
        total = update(self, key, lambda old: b"%d" % (int(old or b"0") + by), ttl)
        return int(total or b"0")

    def sweep(self, limit: int = 1000) -> int:
        """Remove at most `limit` expired keys; how many were removed."""
        return 0

    def scan(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in no order.  Raises `NotSupported` if it cannot."""
        raise NotSupported(f"{_kind(self)} cannot list its keys")

    def find(self, facets: Mapping[str, str]) -> Iterable[str] | None:
        """Keys that were offered with these facets; None: not supported, use `scan` and decode."""
        return None

    def barriers(self, prefix: str) -> Iterator[str]:
        """The names of open barriers that begin with `prefix`, in no order.

        Closed ones may be among them, which `Barrier.state` tells.  Raises `NotSupported` where
        keys cannot be listed, or the store has a barrier of its own and does not override this.
        """
        if "barrier" in self.native:
            raise NotSupported(f"{_kind(self)} cannot list its chords")
        return barriers_among(self.scan(prefix))

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Seconds that those keys that exist have left; None: for ever.

        At most ``limits.batch_keys`` keys.  Raises `NotSupported` if the store cannot tell.
        """
        raise NotSupported(f"{_kind(self)} cannot tell how long its keys live")

    def subscribe(self) -> Subscription:
        """A new subscription, which names keys that have changed."""
        return Polling()

    def about(self) -> Iterable[Fact]:
        """What an operator should know: the server's version, its persistence, its clock.

        Reads only, and shows no secret.  What the user may not ask for is left out.
        """
        return ()

    def ping(self) -> None:
        """Raise if the store cannot be reached."""
        self.get("kvbackends-ping")

    def close(self) -> None:
        """Free connections and threads; a later call opens them again."""

    # -- what it advertises -------------------------------------------------------------------

    @property
    def native(self) -> frozenset[str]:
        """Names of the derived operations that this class overrides."""
        return frozenset(
            name for name in ACCELERABLE if getattr(type(self), name) is not getattr(Store, name)
        )

    @property
    def features(self) -> Feature:
        """The features of this store: those it promises, and those that follow from `native`."""
        flags = self.promises
        for name in self.native & _SHOWN_BY.keys():
            flags |= _SHOWN_BY[name]
        return flags


def _kind(store: Store) -> str:
    """The name of the store's class, without the layers around it."""
    while isinstance(inner := getattr(store, "inner", None), Store):
        store = inner
    return type(store).__name__
