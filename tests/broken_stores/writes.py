"""Writes over a wire that breaks, and answers that do not say what happened."""

from collections.abc import Hashable
from contextlib import suppress
from functools import partial

from tests.broken_stores.reference import ConnectionLost, ReferenceStore, WireStore
from tests.broken_stores.registry import caught_by


@caught_by("methods.set_then_get")
class ErrorSwallowed(WireStore):
    """A write that never arrived is logged and reported as a success."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with suppress(ConnectionLost):
            super().set(key, value, ttl)


@caught_by("ranks.any_rank_after_delete")
class DeleteSwallowed(WireStore):
    """A delete that never arrived is taken for one of an absent key."""

    def delete(self, key: str) -> None:
        with suppress(ConnectionLost):
            super().delete(key)


@caught_by("methods.set_replaces")
class SuccessAsError(WireStore):
    """A write that was stored is reported as failed for good: the error is not a transient one."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        try:
            super().set(key, value, ttl)
        except ConnectionLost as error:
            raise RuntimeError("the write failed") from error


@caught_by("versions.only_if_absent")
class ClaimLostToItsRetry(WireStore):
    """The driver repeats a conditional write whose answer was lost, and it loses against itself."""

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        while True:
            with suppress(ConnectionLost):
                return super().compare_and_set(key, value, version, ttl)


@caught_by("counters.counts_from_nothing")
class IncrementedTwice(WireStore):
    """The driver repeats an increment whose answer was lost, and it counts twice."""

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        add = partial(super().increment, key, by, ttl)
        while True:
            with suppress(ConnectionLost):
                return self.send("increment", add)


@caught_by("faults.declares_exceptions")
class EverythingIsTransient(ReferenceStore):
    """Every exception counts as transient, and a programming error is repeated for a minute."""

    transient_errors = (Exception,)
