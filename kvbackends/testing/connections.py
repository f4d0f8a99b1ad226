"""The connections that the checks of one suite share."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from kvbackends import open_store
from kvbackends.contract import Store
from kvbackends.layers.only_five import OnlyFive
from kvbackends.layers.retry import at_most
from kvbackends.testing.check import Check
from kvbackends.testing.delayed import Delayed

PATIENCE = 8
"""Attempts, about three seconds, to reach a store that may just be starting."""


class Connections:
    """Connections to one store, shared until a check fails or another store is asked for.

    With some drivers connecting takes longer than most checks. A store that cannot be opened or
    reached is an error of the first check; the other checks are skipped without waiting again.
    """

    def __init__(self, settings: dict[str, object]) -> None:
        self._settings = settings
        self._url = ""
        self._kept: dict[tuple[str, bool], Store] = {}
        self._refused: set[str] = set()
        self._delayed: dict[tuple[str, int], Delayed] = {}

    def opened(self, url: str, derived: bool) -> Store:
        """A new connection, which the caller closes."""
        store = open_store(url, self._settings)
        return OnlyFive(store) if derived and store.native else store

    def first(self, url: str, derived: bool) -> Store:
        """The shared connection that checks use; its store has answered a ping."""
        if url in self._refused:
            pytest.skip("the store cannot be opened or reached: see the first error")
        return self._shared("first", url, derived, self._reached)

    def second(self, url: str, derived: bool) -> Store:
        """Another shared connection."""
        return self._shared("second", url, derived, self.opened)

    def delayed(self, url: str, store: Store, waiting: Callable[[], list[Check]]) -> Delayed:
        """The delayed checks on this connection.

        On the suite's first URL all of `waiting` have started; on others each starts on its own.
        """
        if (url, id(store)) not in self._delayed:
            is_first = all(url == known for known, _ in self._delayed)
            checks = waiting() if is_first else []
            applying = [each for each in checks if not each.is_lacking(store.features)]
            self._delayed[url, id(store)] = Delayed(store, applying)
        return self._delayed[url, id(store)]

    def close(self) -> None:
        """Close all shared connections; later calls open new ones."""
        kept, self._kept = list(self._kept.values()), {}
        for store in kept:
            with suppress(Exception):  # a broken store may raise anything
                store.close()

    def _shared(
        self, name: str, url: str, derived: bool, make: Callable[[str, bool], Store]
    ) -> Store:
        if url != self._url:
            self.close()
            self._url = url
        if (name, derived) not in self._kept:
            self._kept[name, derived] = make(url, derived)
        return self._kept[name, derived]

    def _reached(self, url: str, derived: bool) -> Store:
        try:
            store = self.opened(url, derived)
            with at_most(PATIENCE):
                store.ping()
        except Exception:
            self._refused.add(url)
            raise
        return store
