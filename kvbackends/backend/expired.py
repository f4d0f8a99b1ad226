"""Notices chords whose books, kept by Celery's own Redis backend, expired before the last part.

The late part begins the books anew, without the chord's size, and the body is never sent.  The
books of a chord whose header is still being sent look the same: its size comes last.  So they are
looked at again later.
"""

import logging
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

from celery import maybe_signature

from kvbackends.backend.signatures import tasks_of
from kvbackends.contract.derived import get_many
from kvbackends.contract.process import PerProcess

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds after a part's return until the chord's size is looked for, at most."""
MOST = 1000
"""Chords that a process remembers at a time."""


class _Noted(NamedTuple):
    member: str
    body: Any
    due: float


class Expired:
    """Logs a WARNING for each such chord, once in all processes.

    Args:
        backend: The backend whose store remembers that a chord was told of.
        where: The books' address, for messages.
    """

    def __init__(self, backend: Any, where: str) -> None:
        self._backend = backend
        self._where = where
        self._noted: PerProcess[dict[str, _Noted]] = PerProcess(dict)

    def note(self, celerys: Any, request: Any) -> None:
        """Remember the chord if it has no size; its part has just returned to `celerys`.

        Raises nothing of the server's: the part is there.
        """
        if not any(each.__name__ == "RedisBackend" for each in type(celerys).__mro__):
            return
        with suppress(*celerys.connection_errors):
            if not _has_size(celerys, request.group):
                self._remember(celerys, request)

    def _remember(self, celerys: Any, request: Any) -> None:
        noted = self._noted()
        if request.group in noted or len(noted) >= MOST:
            return
        patience = _patience(celerys)
        noted[request.group] = _Noted(request.id, request.chord, time.monotonic() + patience)
        if len(noted) == 1:
            self._look_later(celerys, patience)

    def look(self, celerys: Any) -> None:
        """Tell of the remembered chords that still have parts and no size."""
        noted = self._noted()
        for chord, each in list(noted.items()):
            if each.due > time.monotonic():
                break
            if not _has_size(celerys, chord):
                self._tell(chord, each)
            noted.pop(chord, None)
        if noted:
            soonest = next(iter(noted.values())).due
            self._look_later(celerys, max(soonest - time.monotonic(), 0.0))

    def _look_later(self, celerys: Any, seconds: float) -> None:
        timer = threading.Timer(seconds, self._try_to_look, [celerys])
        timer.daemon = True
        timer.start()

    def _try_to_look(self, celerys: Any) -> None:
        try:
            self.look(celerys)
        except Exception as error:  # noqa: BLE001 - the server is away: a hint is not worth more
            self._noted().clear()
            logger.debug("Chords without a size were not looked at: %r", error)

    def _tell(self, chord: str, noted: _Noted) -> None:
        backend = self._backend
        body = maybe_signature(noted.body, app=backend.app)
        ids = (task.get("options", {}).get("task_id") for task, _ in tasks_of(body))
        if any(get_many(backend.store, [backend.key_of(each) for each in ids if each])):
            return  # the part was delivered again, after the body had begun
        key, kept = f"{backend.get_key_for_chord(chord).decode()}.expired", backend.times.chord.ttl
        if backend.store.compare_and_set(key, noted.member.encode(), None, kept):
            logger.warning(
                "%s returned to the chord %s, whose other parts and size are not in Celery's books "
                "at %s: these have expired, or the client ended before it had sent the whole "
                "header. Its body will not be sent. Send it by hand with the results of the "
                "header, under the id %s; and set result_chord_expires to more seconds than may "
                "pass between two header tasks",
                *(noted.member, chord, self._where, body.id),
            )


def _patience(celerys: Any) -> float:
    """Before the parts in the new books expire, too."""
    kept = getattr(celerys, "chord_expires", None) or celerys.expires  # Celery 5.6 has only this
    return min(PATIENCE, kept / 2) if kept else PATIENCE


def _has_size(celerys: Any, chord: str) -> bool:
    """True also of a chord that has ended: nothing is left of it."""
    size, parts = (celerys.get_key_for_group(chord, suffix) for suffix in (".s", ".j"))
    return bool(celerys.client.exists(size) or not celerys.client.exists(parts))
