"""The connections that the checks of one suite share."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from kvbackends import open_store
from kvbackends.contract import Store
from kvbackends.layers.only_five import OnlyFive
from kvbackends.layers.retry import at_most
from kvbackends.testing.registry import Check
from kvbackends.testing.ripening import Orchard

PATIENCE = 8
"""Attempts, some three seconds, to reach a store that may just be starting."""


class Connections:
    """Connections to one store, kept until a check fails or another store is asked for.

    Connecting takes some drivers longer than most checks do.  A store that cannot be opened, or
    not be reached, is an error of the first check; the others do not wait for it again.
    """

    def __init__(self, settings: dict[str, object]) -> None:
        self._settings = settings
        self._url = ""
        self._kept: dict[tuple[str, bool], Store] = {}
        self._refused: set[str] = set()
        self._orchards: dict[tuple[str, int], Orchard] = {}

    def opened(self, url: str, derived: bool) -> Store:
        """A new one; whoever asks for it closes it."""
        store = open_store(url, self._settings)
        return OnlyFive(store) if derived and store.native else store

    def first(self, url: str, derived: bool) -> Store:
        """The one that checks use, which is known to reach its store."""
        if url in self._refused:
            pytest.skip("the store cannot be opened or reached: see the first error")
        return self._keep("first", url, derived, self._reached)

    def second(self, url: str, derived: bool) -> Store:
        """Another one."""
        return self._keep("second", url, derived, self.opened)

    def orchard(self, url: str, store: Store, waiting: Callable[[], list[Check]]) -> Orchard:
        """The checks that wait have begun, on the first URL; on others each begins alone."""
        if (url, id(store)) not in self._orchards:
            others = any(url != known for known, _ in self._orchards)
            checks = (
                []
                if others
                else [each for each in waiting() if not each.is_lacking(store.features)]
            )
            self._orchards[url, id(store)] = Orchard(store, checks)
        return self._orchards[url, id(store)]

    def close(self) -> None:
        """Close all; the next that is asked for is a new one."""
        kept, self._kept = list(self._kept.values()), {}
        for store in kept:
            with suppress(Exception):  # whatever a broken store says to it
                store.close()

    def _keep(
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
