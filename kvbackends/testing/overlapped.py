"""Checks and calls of a slow store: several at a time, which share the time on the network."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import Empty, SimpleQueue
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

SLOW = 0.004
"""Seconds: with quicker calls each check runs alone."""
THREADS = 24
"""Checks at a time."""
CALLS = 8
"""Calls of one check at a time."""


def side_by_side(work: Callable[[A], T], arguments: Iterable[A]) -> list[T]:
    """Return ``work(each)`` for each argument, in order.

    As soon as a call turns out to be slow the others run several at a time: threads cost more time
    than they save where calls are quick.
    """
    rest, answers, began = iter(arguments), list[T](), time.monotonic()
    for each in rest:
        answers.append(work(each))
        if time.monotonic() - began > SLOW * len(answers):
            break
    with ThreadPoolExecutor(CALLS) as pool:
        return [*answers, *pool.map(work, rest)]


class Overlapped:
    """Checks that have been started in threads.

    What fails beside others proves nothing and is run again alone; what passes has passed.
    """

    def __init__(self, checks: Mapping[str, Callable[[], object]], threads: int = THREADS) -> None:
        self._ended: dict[str, Future[object]] = {name: Future() for name in checks}
        self._left: SimpleQueue[tuple[Future[object], Callable[[], object]]] = SimpleQueue()
        for name, check in checks.items():
            self._left.put((self._ended[name], check))
        for _ in range(min(threads, len(checks))):
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
