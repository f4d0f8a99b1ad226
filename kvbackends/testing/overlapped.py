"""Checks of a slow store: they run side by side, so that they share the time on the network."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from queue import Empty, SimpleQueue

SLOW = 0.004
"""Seconds: with quicker calls each check runs alone."""
THREADS = 16
"""Checks at a time."""


class Overlapped:
    """Checks that have been started in threads.

    What fails beside others proves nothing and is run again alone; what passes has passed.
    """

    def __init__(self, checks: Mapping[str, Callable[[], object]]) -> None:
        self._ended: dict[str, Future[object]] = {name: Future() for name in checks}
        self._left: SimpleQueue[tuple[Future[object], Callable[[], object]]] = SimpleQueue()
        for name, check in checks.items():
            self._left.put((self._ended[name], check))
        for _ in range(min(THREADS, len(checks))):
            # Daemons: the process does not wait for a check that hangs.
            threading.Thread(target=self._work, daemon=True).start()

    def passed(self, name: str) -> bool:
        """Wait for the end of the check; False if it failed, was skipped or is not among these."""
        ended = self._ended.get(name)
        return ended is not None and ended.exception() is None

    def settle(self, seconds: float) -> None:
        """Wait for the end of all, at most so long; those that have not ended are forgotten."""
        wait(self._ended.values(), seconds)
        self._ended = {name: each for name, each in self._ended.items() if each.done()}

    def _work(self) -> None:
        while True:
            try:
                ended, check = self._left.get_nowait()
            except Empty:
                return
            try:
                ended.set_result(check())
            except BaseException as error:  # noqa: BLE001 - a skip is one, too
                ended.set_exception(error)
