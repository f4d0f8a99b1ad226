"""The connections that the checks of one suite share."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from kvbackends import open_store
from kvbackends.contract import Store
from kvbackends.layers.layer import innermost
from kvbackends.layers.only_five import OnlyFive
from kvbackends.layers.retry import at_most
from kvbackends.testing import leftovers
from kvbackends.testing.check import Check
from kvbackends.testing.delayed import Delayed
from kvbackends.testing.leftovers import noted
from kvbackends.testing.overlapped import SLOW, THREADS, Overlapped
from kvbackends.testing.tools import latency

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
        self._began = leftovers.now()
        self._delayed: dict[tuple[str, int], Delayed] = {}
        self._overlapped: dict[tuple[str, bool], Overlapped] = {}
        self._workers: dict[tuple[str, bool], Path] = {}
        self._running = ExitStack()
        self.latency = 0.0
        """Seconds that a call of the store takes."""

    def opened(self, url: str, derived: bool) -> Store:
        """A new connection, which the caller closes."""
        store = open_store(url, self._settings)
        noted(innermost(store))
        return noted(OnlyFive(store) if derived and store.native else store)

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

    def overlapped(
        self, url: str, derived: bool, runs: Callable[[], Mapping[str, Callable[[], object]]]
    ) -> Overlapped:
        """The checks that run side by side; on a quick store, and on a further URL, none."""
        if (url, derived) not in self._overlapped:
            is_first = all(url == known for known, _ in self._overlapped)
            is_slow = self.latency > SLOW
            self._overlapped[url, derived] = Overlapped(runs() if is_first and is_slow else {})
        return self._overlapped[url, derived]

    def settle(self, seconds: float) -> None:
        """Wait for the end of the checks that run side by side, in both modes, at most so long."""
        until = time.monotonic() + seconds
        for each in self._overlapped.values():
            each.settle(max(0.0, until - time.monotonic()))

    def worker(self, url: str, derived: bool, new_folder: Callable[[], Path]) -> Path:
        """The folder of a worker on the store, which runs until it is dismissed."""
        from kvbackends.testing.workers import working

        if (url, derived) not in self._workers:
            folder = self._workers[url, derived] = new_folder()
            self._running.enter_context(working(url, derived, self._settings, folder))
        return self._workers[url, derived]

    def dismiss(self) -> None:
        """End all workers; later checks get new ones."""
        self._workers.clear()
        self._running.close()

    def close(self) -> None:
        """Close all shared connections, and end the workers; later calls begin anew."""
        self.dismiss()
        kept, self._kept = list(self._kept.values()), {}
        for store in kept:
            with suppress(Exception):  # a broken store may raise anything
                store.close()

    def remove_all(self) -> list[str]:
        """Remove what the checks have written to the last store, if it was ever reached.

        Returns the names of what could not be removed.
        """
        if not self._url or self._url in self._refused:
            return []
        try:
            store = open_store(self._url, self._settings)
            with closing(store):
                threads = THREADS if self.latency > SLOW else 1
                return leftovers.remove(store, self._began, threads)
        except Exception as error:  # noqa: BLE001 - a broken store may raise anything
            return [f"all keys that begin with {' or '.join(leftovers.PREFIXES)}: {error!r}"]

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
            self.latency = max(self.latency, latency(store))
        except Exception:
            self._refused.add(url)
            raise
        return store
