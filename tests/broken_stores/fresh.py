"""Stores that break a sentence of the contract which is easily overlooked."""

import time
from collections.abc import Collection, Iterator, Mapping

from kvbackends.contract import BarrierState, StoreURL
from kvbackends.stores.memory import MemorySubscription
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by


@caught_by("listings.while_keys_are_rewritten")
class ListsByAge(ReferenceStore):
    """Pages go by when a key was written: one that is written meanwhile comes again."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.written: dict[str, int] = {}

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self.world():
            self.written[key] = max(self.written.values(), default=0) + 1
            super().set(key, value, ttl)

    def scan(self, prefix: str) -> Iterator[str]:
        seen = -1
        while ages := sorted((self.written.get(k, 0), k) for k in super().scan(prefix)):
            page = [each for each in ages if each[0] > seen][:100]
            if not page:
                return
            seen = page[-1][0]
            yield from (key for _, key in page)


@caught_by("inspecting.looking_changes_nothing")
class LookingProlongs(ReferenceStore):
    """Looking at a barrier renews it, so that a forgotten one stays as long as it is looked at."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def state(self) -> BarrierState | None:
            with self.store.world() as world:
                self.store.opened(world, self.name, None)
            return super().state()


@caught_by("waiting.watched_again")
class DeafAfterUnwatching(ReferenceStore):
    """A key that was unwatched once is told of no more, though it is watched again."""

    class subscription_type(MemorySubscription):  # noqa: N801
        gone: frozenset[str] = frozenset()

        def watch(self, keys: Collection[str]) -> None:
            super().watch(set(keys) - self.gone)

        def unwatch(self, keys: Collection[str]) -> None:
            super().unwatch(keys)
            self.gone |= set(keys)


@caught_by("keys.large_everywhere")
class PayloadTruncated(ReferenceStore):
    """The payload of a barrier is cut at 65,535 bytes."""

    class barrier_type(ReferenceBarrier):  # noqa: N801
        def open(self, payload: bytes) -> None:
            super().open(payload[:65_535])


@caught_by("inspecting.expired_keys_have_no_lifetime")
class ExpiredHaveLifetimes(ReferenceStore):
    """Expired keys have lifetimes, below zero."""

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        with self.world() as world:
            rows = {key: world.rows[key] for key in keys if key in world.rows}
        now = time.monotonic()
        return {k: None if r.expires == float("inf") else r.expires - now for k, r in rows.items()}
