"""Notices chords whose header tasks have ended on workers with Celery's own backend.

Such a worker stores the task's result, but it does not know the chord's barrier: its part is
missed, and the body is never sent.  Only a client that waits for the body can see that.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from celery import states

from kvbackends.backend.pending import Meta, is_set, leaf_results, parents
from kvbackends.contract.process import Recent
from kvbackends.errors import NotSupported

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for which all header tasks have ended before the barrier is looked at."""
_told: Recent[bool] = Recent(1000)


class Missed:
    """Looks at the chord of one wait, whose body has no result yet.

    Args:
        backend: The backend that keeps its barrier.
        result: The awaited result: the body's, or of a task chained after it.
    """

    def __init__(self, backend: Any, result: Any) -> None:
        self._backend = backend
        self._result = result
        self._header = next((node for node in parents(result) if is_set(node)), None)
        self._due: float | None = None

    def look(self, known: Mapping[str, Meta]) -> None:
        """Log a WARNING, once for each chord; `known` are records that have just been read."""
        if self._header is None or (self._due is not None and time.monotonic() < self._due):
            return
        leaves = leaf_results(self._header)
        metas = (leaf._cache or known.get(leaf.id) for leaf in leaves)
        if not all(meta and meta["status"] in states.READY_STATES for meta in metas):
            return
        if self._due is None:
            self._due = time.monotonic() + PATIENCE
            return
        with suppress(NotSupported):
            self._tell(self._header.id, [leaf.id for leaf in leaves])
        self._header = None

    def _tell(self, chord: str, tasks: list[str]) -> None:
        state = self._backend.store.barrier(self._backend.get_key_for_chord(chord).decode()).state()
        if state is None or state.holder is not None or _told.get(chord):
            return
        arrived = {member for _, member in state.arrived}
        if missed := [each for each in tasks if each not in arrived]:
            _told.put(chord, True)
            logger.warning(
                "the chord %s waits for the parts of %s, which have ended: workers without "
                "kvbackends have run them. Its body will not be sent. Send it by hand with the "
                "results of the header, under the id of the awaited %s; and begin chords with the "
                "option chords=celery until no such worker is left",
                *(chord, ", ".join(missed), self._result.id),
            )
