"""Checks that wait for something to expire: they start together, so that their waits overlap."""

import inspect
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kvbackends.contract import Store
from kvbackends.testing.check import Check
from kvbackends.testing.leftovers import new_key
from kvbackends.testing.overlapped import side_by_side
from kvbackends.testing.tools import TTL

Waits = Iterator[float]
"""The return type of such a check. It yields a ttl, and continues after that ttl has passed."""

SPARE = 0.02
"""Seconds added to each wait, because a sleep may end a little early."""


_OWN = ("self", "store", "key", "barrier")


class _Started(NamedTuple):
    rest: Waits
    resumes: float
    error: Exception | None


def may_start(check: Check, given: Iterable[str]) -> bool:
    """True if `arguments` has all that the check asks for, and it does not wait to expire."""
    names = inspect.signature(check.function).parameters.keys()
    return names <= {*_OWN, *given} and not is_delayed(check)


def arguments(check: Check, store: Store, given: Mapping[str, object]) -> dict[str, object]:
    """The check's arguments: those given, the store, and a key and a barrier of its own."""
    names = inspect.signature(check.function).parameters
    found = {"self": None, "store": store, "key": new_key(), **given}
    if "barrier" in names:
        found["barrier"] = store.barrier(new_key("barrier"), TTL)
    return {name: found[name] for name in names}


def is_delayed(check: Check) -> bool:
    """True if the check yields times to wait for."""
    return inspect.isgeneratorfunction(check.function)


class Delayed:
    """The delayed checks of one run: started at once, finished one by one."""

    def __init__(self, store: Store, checks: Iterable[Check]) -> None:
        self._store = store
        named = {each.name: each for each in checks}
        self._started = dict(zip(named, side_by_side(self._start, named.values()), strict=True))

    def finish(self, check: Check) -> None:
        """Run the rest of a check; a check that was not started yet is started first."""
        started = self._started.pop(check.name, None) or self._start(check)
        while started.error is None:
            time.sleep(max(started.resumes - time.monotonic(), 0))
            ttl = next(started.rest, None)
            if ttl is None:
                return
            started = started._replace(resumes=self._when_expired(ttl))
        raise started.error

    def _start(self, check: Check) -> _Started:
        rest = check.function(**arguments(check, self._store, {}))
        try:
            return _Started(rest, self._when_expired(next(rest)), None)
        except Exception as error:  # noqa: BLE001 - the check's failure, raised when it is finished
            return _Started(rest, 0, error)

    def _when_expired(self, ttl: float) -> float:
        return time.monotonic() + ttl + self._store.limits.ttl_step + SPARE
