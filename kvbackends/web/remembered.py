"""Keeps answers that took the store long to give."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

SHARE = 10
"""An answer holds for so many times as long as it took to find."""
MOST = 32


class Remembered:
    """Answers of questions, for all who ask the same: pages, live updates and metrics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: dict[Hashable, threading.Lock] = {}
        self._answers: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def ask(self, question: Hashable, find: Callable[[], T]) -> T:
        """The answer that `find` gives, or gave lately; one caller at a time finds it."""
        with self._lock:
            asking = self._asking.setdefault(question, threading.Lock())
        with asking:
            until, answer = self._answers.get(question, (0.0, None))
            if time.monotonic() < until:
                return answer  # type: ignore[no-any-return]
            began = time.monotonic()
            found = find()
            self._keep(question, began, found)
            return found

    def _keep(self, question: Hashable, began: float, found: Any) -> None:
        ended = time.monotonic()
        with self._lock:
            self._answers[question] = (ended + SHARE * (ended - began), found)
            self._answers.move_to_end(question)
            while len(self._answers) > MOST:
                self._asking.pop(self._answers.popitem(last=False)[0], None)

    def forget(self) -> None:
        """Find every answer again: something was changed."""
        with self._lock:
            self._answers.clear()
