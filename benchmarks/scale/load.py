"""Tasks, groups and chords that a client sends without pause, and what became of them."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from celery import chord, group
from celery.exceptions import TimeoutError as ResultTimeout

from kvbackends import KVBackendsError
from tests.e2e import diary
from tests.e2e.deployment import Deployment

GROUP, HEADER = 10, 6
PATIENCE = 180.0
"""Seconds until the last result must be there, counted from the end of the last fault."""


TURN = 5.0
"""Seconds that a client waits for one result while nodes die, before it looks again."""


def slow_queue(deployment: Deployment) -> str:
    """The queue of the large chord's parts, so that no other task waits behind them."""
    return f"{deployment.settings['task_default_queue']}-large"


class Sent(NamedTuple):
    """Something that was sent, and the value that it must have."""

    result: Any
    value: Any


class Outcome(NamedTuple):
    """What became of all that was sent."""

    sent: int
    chords: int
    lost: int
    """Results and groups that never came, or came wrong."""
    chords_lost: int
    wrong: int
    """Chords whose body was given other values than all of its parts'."""
    published_twice: int
    gone: int
    """Results that were read once and are not there in the end."""


class Load:
    """Senders, each with a thread of its own.

    Args:
        deployment: Whose workers do the tasks.
        large: Parts of the one large chord, which is sent first.
        pace: How much slower than usual.
    """

    def __init__(self, deployment: Deployment, large: int, pace: float = 1.0) -> None:
        self.deployment = deployment
        self.errors: list[str] = []
        self.read = 0
        """Results and groups that a client has got while nodes died."""
        self._ending = threading.Event()
        self._plain: list[Sent] = []
        self._chords: list[Sent] = [self._chord(0, large, slow_queue(deployment))]
        senders: list[tuple[Callable[[int], None], float]] = [
            (self._send_task, 0.1),
            (self._send_group, 1.0),
            (self._send_chord, 0.7),
        ]
        self._threads = [
            threading.Thread(target=self._repeat, args=(send, pace * pause))
            for send, pause in senders
        ]
        for thread in self._threads:
            thread.start()

    def read_next(self) -> None:
        """Get the oldest result that has not been got."""
        if self.read < len(self._plain):
            with contextlib.suppress(ResultTimeout, KVBackendsError):
                self._plain[self.read].result.get(timeout=TURN)
                self.read += 1

    def end(self) -> Outcome:
        """Send no more, wait for all, and compare with the diary of the workers."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        until = time.monotonic() + PATIENCE
        lost = [each for each in self._plain if not self._came(each, until)]
        chords_lost = [each for each in self._chords if not self._came(each, until)]
        given = Counter(each["id"] for each in self._wrong())
        published = Counter(each["id"] for each in diary.read(self.deployment.folder, "published"))
        return Outcome(
            len(self._plain),
            len(self._chords),
            len(lost),
            len(chords_lost),
            len(given),
            sum(published[each.result.id] > 1 for each in self._chords),
            sum(self._gone(each) for each in self._plain if each not in lost),
        )

    def _repeat(self, send: Callable[[int], None], pause: float) -> None:
        number = 0
        while not self._ending.wait(pause):
            try:
                send(number)
            except Exception as error:  # noqa: BLE001 - it is reported
                self.errors.append(repr(error)[:200])
            number += 1

    def _send_task(self, number: int) -> None:
        self._plain.append(Sent(self.deployment.sig("late", number).delay(), number))

    def _send_group(self, number: int) -> None:
        values = list(range(number, number + GROUP))
        result = group(self.deployment.sig("late", each) for each in values)()
        self._plain.append(Sent(result, values))

    def _send_chord(self, number: int) -> None:
        self._chords.append(self._chord(number, HEADER))

    def _chord(self, number: int, size: int, queue: str | None = None) -> Sent:
        values = list(range(number, number + size))
        header = [self.deployment.sig("late", each).set(queue=queue) for each in values]
        return Sent(chord(header)(self.deployment.sig("body")), values)

    def _came(self, sent: Sent, until: float) -> bool:
        try:
            return bool(sent.result.get(timeout=max(1.0, until - time.monotonic())) == sent.value)
        except Exception as error:  # noqa: BLE001 - it is reported
            self.errors.append(f"{sent.result.id}: {error!r}"[:200])
            return False

    def _gone(self, sent: Sent) -> bool:
        ids = [each.id for each in getattr(sent.result, "results", [sent.result])]
        return any(self.deployment.state(each) != "SUCCESS" for each in ids)

    def _wrong(self) -> list[dict[str, Any]]:
        expected = {each.result.id: each.value for each in self._chords}
        bodies = diary.read(self.deployment.folder, "body")
        return [each for each in bodies if each["values"] != expected.get(each["id"])]
