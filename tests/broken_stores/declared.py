"""Stores that declare what is not so, and stores that err where the core repeats their calls."""

import itertools
import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from typing import ClassVar

from kvbackends.contract import Entry, Feature, StoreURL
from tests.broken_stores.reference import ReferenceBarrier, ReferenceStore
from tests.broken_stores.registry import caught_by


@caught_by("features.follow_from_overrides")
class FeaturesByHand(ReferenceStore):
    """The features are a list of the adapter's own, in which INCREMENT was forgotten."""

    @property
    def features(self) -> Feature:
        return super().features & ~Feature.INCREMENT


@caught_by("features.masked")
class PromisesLater(ReferenceStore):
    """A connection learns with its first call that the server keeps all on a disk."""

    connected = False

    @property
    def promises(self) -> Feature:  # type: ignore[override]
        return Feature.DURABLE if self.connected else Feature.NONE

    def get(self, key: str) -> Entry | None:
        self.connected = True
        return super().get(key)


@caught_by("listing.nothing_is_found_where_it_is_lacking")
class FindsAllTheSame(ReferenceStore):
    """FACETS is switched off, and `find` answers that nothing has the facets."""

    @property
    def features(self) -> Feature:
        return super().features & ~Feature.FACETS

    def find(self, facets: Mapping[str, str]) -> list[str]:
        return []


@caught_by("listing.refused_where_it_is_lacking")
class ListsAPart(ReferenceStore):
    """Only this connection's keys can be listed; so LISTING is not claimed, and `scan` works."""

    @property
    def features(self) -> Feature:
        return super().features & ~Feature.LISTING

    def scan(self, prefix: str) -> Iterator[str]:
        return itertools.islice(super().scan(prefix), 10)


@caught_by("faults.other_errors_are_not")
class ShortAnswersAreTransient(ReferenceStore):
    """An index out of range while an answer is parsed counts as a lost connection."""

    transient_errors = (LookupError,)


@caught_by("faults.increment_is_not_repeated")
class AddsAtLeastOne(ReferenceStore):
    """``by or 1``: an addition of nothing adds one."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        return super().increment(key, by or 1, ttl)


@caught_by("faults.lost_race_after_a_lost_answer")
class TwoSlots(ReferenceStore):
    """A record has two slots, written in turn, and its version is the slot that is valid."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world() as world:
            stored = super().compare_and_set(key, value, version, ttl)
            if stored and version is not None:
                slot = str(version)
                other = slot[:-2] if slot.endswith("/2") else f"{slot}/2"
                world.rows[key] = world.rows[key]._replace(version=other)
            return stored


@caught_by("faults.sweep_is_retried")
class OneSweepAtATime(ReferenceStore):
    """A sweep fails while another one runs."""

    sweeping: ClassVar[threading.Lock] = threading.Lock()

    def sweep(self, limit: int = 1000) -> int:
        if not self.sweeping.acquire(blocking=False):
            raise RuntimeError("another sweep is running")
        try:
            time.sleep(0.2)
            return super().sweep(limit)
        finally:
            self.sweeping.release()


@caught_by("sizes.cost_is_flat")
class LosesToItself(ReferenceStore):
    """Every tenth conditional write of a record loses, though nobody else writes it."""

    written: ClassVar[dict[str, int]] = {}

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self.world():
            self.written[key] = self.written.get(key, 0) + 1
            if self.written[key] % 10 == 0:
                return False
            return super().compare_and_set(key, value, version, ttl)


@caught_by("sizes.many", slow=True)
class PartsEndAtFiveThousand(ReferenceStore):
    """The read of the parts ends with the first page of 5,000."""

    class barrier_type(ReferenceBarrier):  # noqa: N801 - the name that the store asks for
        def parts(self) -> Iterator[tuple[int, str, bytes]]:
            return itertools.islice(super().parts(), 5_000)


@caught_by("model.agrees_always", slow=True)
class LosesEveryHundredth(ReferenceStore):
    """A full buffer of a hundred writes is sent without the last of them."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        self.sent = 0

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.sent += 1
        if self.sent % 100:
            super().set(key, value, ttl)
