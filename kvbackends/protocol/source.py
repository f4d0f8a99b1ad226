"""What waits read: the store, and whether it answers."""

import math
import time
from collections.abc import Callable, Collection, Iterable

from kvbackends.contract.derived import get_many
from kvbackends.contract.records import Feature
from kvbackends.contract.store import Store
from kvbackends.errors import StoreError, StoreUnavailable

Errors = tuple[type[BaseException], ...]
Found = tuple[str, bytes]
"""A key that is final, and its value."""
SLOW = 0.5
"""Seconds after which a read counts as not answered."""


class Source:
    """The store whose keys are waited for; `Waiters` describes the arguments."""

    def __init__(
        self, store: Store, is_final: Callable[[bytes], bool], is_settled: Callable[[bytes], bool]
    ) -> None:
        self.store = store
        self.pushes = Feature.PUSH in store.features
        self.away: Errors = (StoreUnavailable, *store.transient_errors)
        self.outages: Errors = (StoreError, OSError, *self.away)  # OSError: no descriptor is left
        self._is_final = is_final
        self._is_settled = is_settled
        self.outage: BaseException | None = None
        """The error of the latest read, if it failed."""
        self._asked = math.inf

    def final(
        self, keys: Collection[str], change: Callable[[str, bytes], None] | None
    ) -> Iterable[Found]:
        """Those of the keys that are final: read, unless `keys` brings a settled value.

        `change` is called with the other values.
        """
        brought = keys if isinstance(keys, dict) else {}
        settled = [(key, each) for key, each in brought.items() if each and self._is_settled(each)]
        if len(settled) == len(keys):
            return settled
        known = dict(settled)
        read = self._read([key for key in keys if key not in known])
        if change is not None:
            for key, value in read:
                if not self._is_final(value):
                    change(key, value)
        return settled + [(key, value) for key, value in read if self._is_final(value)]

    def trouble(self) -> str:
        """Say why nothing can be read at present; empty if the store answers."""
        if self.outage is not None:
            return str(self.outage) or type(self.outage).__name__
        seconds = time.monotonic() - self._asked
        return f"the store did not answer for {seconds:.1f} s" if seconds > SLOW else ""

    def _read(self, keys: list[str]) -> list[Found]:
        self._asked = time.monotonic()
        try:
            read = list(get_many(self.store, keys))
            self.outage = None
        except self.away as error:
            self.outage = error
            raise
        finally:
            self._asked = math.inf
        return read
