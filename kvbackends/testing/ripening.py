"""Checks that wait for something to expire: they begin together, so that they wait once."""

import inspect
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kvbackends.contract import Store
from kvbackends.testing.registry import Check
from kvbackends.testing.tools import TTL

Ripening = Iterator[float]
"""What such a check is: it yields a ttl, and goes on when a key with that ttl must be gone."""

SPARE = 0.02
"""Seconds: a sleep may end a little early."""


class _Begun(NamedTuple):
    rest: Ripening
    ripe: float
    error: Exception | None


def ripens(check: Check) -> bool:
    """Whether the check waits like that."""
    return inspect.isgeneratorfunction(check.function)


class Orchard:
    """The checks of one run that have begun and wait."""

    def __init__(self, store: Store, checks: Iterable[Check]) -> None:
        self._store = store
        self._begun = {each.name: self._begin(each) for each in checks}

    def finish(self, check: Check) -> None:
        """Run the rest of a check; it has begun already, unless it is run once more."""
        begun = self._begun.pop(check.name, None) or self._begin(check)
        while begun.error is None:
            time.sleep(max(begun.ripe - time.monotonic(), 0))
            ttl = next(begun.rest, None)
            if ttl is None:
                return
            begun = begun._replace(ripe=self._ripe(ttl))
        raise begun.error

    def _begin(self, check: Check) -> _Begun:
        names = inspect.signature(check.function).parameters
        given: dict[str, object] = {name: f"kvt-{name}-{uuid.uuid4().hex}" for name in names}
        given |= {"self": None, "store": self._store}
        if "barrier" in names:
            given["barrier"] = self._store.barrier(f"kvt-barrier-{uuid.uuid4().hex}", TTL)
        rest = check.function(**{name: given[name] for name in names})
        try:
            return _Begun(rest, self._ripe(next(rest)), None)
        except Exception as error:  # noqa: BLE001 - the check's own, raised when it is its turn
            return _Begun(rest, 0, error)

    def _ripe(self, ttl: float) -> float:
        return time.monotonic() + ttl + self._store.limits.ttl_step + SPARE
