"""Observers beside the load: how long operations take, what was confirmed, what is logged."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Self
from uuid import uuid4

from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeout

from kvbackends import KVBackendsError
from kvbackends.contract import Offer, Rank, Store

PAUSE = 0.05
"""Seconds between two operations of an observer."""
LIVES = 3600.0
BOUND = 1.0
"""Seconds of a wait for a result that never comes."""


def rank_of(value: bytes) -> Rank:
    """The rank of a probe's value."""
    return Rank(int(value[:1]))


class Observer(threading.Thread):
    """Does something again and again until it is told to end."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__(name="observer")
        self.error: BaseException | None = None
        self._ending = threading.Event()
        self._step = step

    def run(self) -> None:
        """Repeat the step."""
        try:
            while not self._ending.wait(PAUSE):
                self._step()
        except BaseException as error:  # noqa: BLE001 - it is raised by the thread that joins
            self.error = error

    def end(self) -> None:
        """Wait for its end; raise what ended it before."""
        self._ending.set()
        self.join()
        if self.error is not None:
            raise self.error


class Probe:
    """Stores results, and reads earlier ones: what was confirmed once has to be there."""

    def __init__(self, store: Store) -> None:
        self.took: list[tuple[float, float]] = []
        """Begin and seconds of each operation that was confirmed."""
        self.confirmed: dict[str, bytes] = {}
        self.failed: list[str] = []
        self.back = 0
        """How often something confirmed was not read, or had a lower rank."""
        self._store = store

    def step(self) -> None:
        """Store one and read one."""
        key = f"probe-{uuid4().hex}"
        value = b"%d%s" % (Rank.SUCCEEDED, uuid4().bytes)
        self._timed(key, lambda: self._offer(key, value))
        if self.confirmed:
            known = random.choice([*self.confirmed])
            self._timed(known, lambda: self._read(known))

    def lost(self) -> list[str]:
        """The confirmed keys that are not there."""
        return [key for key, value in self.confirmed.items() if self._value(key) != value]

    def _timed(self, key: str, call: Callable[[], None]) -> None:
        began = time.monotonic()
        try:
            call()
        except KVBackendsError as error:
            self.failed.append(f"{key}: {error}")
        else:
            self.took.append((began, time.monotonic() - began))

    def _offer(self, key: str, value: bytes) -> None:
        if self._store.offer(Offer(key, value, Rank.SUCCEEDED, LIVES), rank_of):
            self.confirmed[key] = value

    def _read(self, key: str) -> None:
        self.back += self._value(key) != self.confirmed[key]

    def _value(self, key: str) -> bytes | None:
        entry = self._store.get(key)
        return entry and entry.value


class Bound:
    """Waits for a result that never comes: the wait has to end in time whatever happens."""

    def __init__(self, app: Celery) -> None:
        self.over: list[float] = []
        """Seconds beyond the timeout."""
        self._app = app

    def step(self) -> None:
        """Wait once."""
        began = time.monotonic()
        try:
            self._app.AsyncResult(uuid4().hex).get(timeout=BOUND)
        except (ResultTimeout, KVBackendsError):
            self.over.append(time.monotonic() - began - BOUND)


class Lines(logging.Handler):
    """Counts what this process logs of outages."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.levels: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note the level."""
        self.levels.append(record.levelname)

    def __enter__(self) -> Self:
        logger = logging.getLogger("kvbackends")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("kvbackends").removeHandler(self)
