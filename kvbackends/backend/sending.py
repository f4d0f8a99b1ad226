"""The chords whose headers a thread is about to send."""

import threading
from collections import deque
from typing import Any


class Sending(threading.local):
    """The chords that this thread has begun, and whose size it has not told yet.

    There may be several: chords may be nested in headers.
    """

    def __init__(self) -> None:
        # Bounded: sending a header may fail before its size is known.
        self._begun: deque[tuple[str, Any]] = deque(maxlen=1000)

    def begin(self, group_id: str, body: Any) -> None:
        """Remember that a chord has been begun."""
        self._begun.append((group_id, body))

    def end(self, group_id: str) -> Any:
        """Forget the chord, and return its body; None if this thread has not begun it."""
        begun = next((each for each in self._begun if each[0] == group_id), None)
        if begun is None:
            return None
        self._begun.remove(begun)
        return begun[1]
