"""Fails the chords whose barrier is not in the store: it was never opened here, or has expired.

A header task's message carries the body, so the part that finds no barrier can fail the chord.
"""

import logging
from typing import Any

from celery import maybe_signature
from celery.exceptions import ChordError

from kvbackends.backend.dispatch import Dispatcher
from kvbackends.backend.signatures import tasks_of
from kvbackends.contract.derived import get_many
from kvbackends.contract.records import Part, Rank

logger = logging.getLogger(__name__)

WARNED_ONCE = 60.0
"""Seconds within which the warning of one chord is not repeated, however short chords are kept."""


class Unopened:
    """Fails each such chord once, unless it has ended before.

    Args:
        backend: The backend whose store, keys, times and ranks the chords use.
        dispatcher: Fails the body and calls its errbacks.
    """

    def __init__(self, backend: Any, dispatcher: Dispatcher) -> None:
        self._backend = backend
        self._dispatcher = dispatcher

    def fail(self, barrier: str, part: Part, body: Any, ttl: float | None) -> None:
        """Fail the chord; does nothing without a body, which only a header task's message has.

        `ttl` is for how many seconds its opener keeps it; None: another backend has opened it.
        Such a chord is left alone: its client may have scheduled its end.
        """
        body, times = maybe_signature(body, app=self._backend.app), self._backend.times.chord
        lasting = max(times.ttl, WARNED_ONCE) if ttl is None else times.tombstone
        if body is None or self._has_ended(part, body):
            return
        if not self._is_first(barrier, part, lasting):
            return
        if ttl is None:
            logger.warning(
                "%s returned to the chord of %s, which a client with another result backend has "
                "begun. Its part could not be passed on, because %s. The chord ends only if "
                "celery.chord_unlock was scheduled for it: run the header tasks of such chords on "
                "workers with the client's backend",
                *(part.member, body.id, self._backend.books.lacking),
            )
            return
        try:
            self._raise(part, body, ttl)
        except ChordError as error:
            self._dispatcher.fail(body, error)

    def _raise(self, part: Part, body: Any, ttl: float) -> None:
        raise ChordError(
            f"{part.member} returned to the chord of {body.id}, whose parts are not in "
            f"{self._backend.as_uri()}: they expire {ttl:g} s after the last of them arrived. "
            "Set `result_chord_expires` to more seconds than a header task may wait and run"
        )

    def _has_ended(self, part: Part, body: Any) -> bool:
        """True if a redelivered part returned to a chord whose tombstone has expired.

        Then its own success is stored, which happens after it has arrived, or the body has begun.
        """
        backend = self._backend
        own = backend.key_of(part.member)
        ids = (task.get("options", {}).get("task_id") for task, _ in tasks_of(body))
        keys = [own, *(backend.key_of(each) for each in ids if each)]
        ended = [
            key
            for key, value in get_many(backend.store, keys)
            if key != own or backend.ranks.rank_of(value) is Rank.SUCCEEDED
        ]
        if ended:
            logger.info("%s returned to a chord that has ended before", part.member)
        return bool(ended)

    def _is_first(self, barrier: str, part: Part, ttl: float) -> bool:
        """True for one part of the chord, and for its redeliveries."""
        store, mine = self._backend.store, f"{part.place}:{part.member}".encode()
        key = f"{barrier}.unopened"
        if store.compare_and_set(key, mine, None, ttl):
            return True
        entry = store.get(key)
        return entry is None or entry.value == mine
