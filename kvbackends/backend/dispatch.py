"""The dispatch of a complete chord: the body is published, or fails."""

import logging
from typing import Any

from celery import maybe_signature, states
from celery.exceptions import ChordError, SoftTimeLimitExceeded

from kvbackends.backend import payload
from kvbackends.backend.compat import publish
from kvbackends.backend.encoding import AT_ONCE
from kvbackends.backend.links import blaming
from kvbackends.errors import StoreError
from kvbackends.protocol.chord import Gathered

logger = logging.getLogger(__name__)


class Dispatcher:
    """Publishes bodies with the values of their header's parts."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def dispatch(self, gathered: Gathered, body: Any) -> None:
        """Publish the body, or run Celery's error path for the first part that failed."""
        app = self._backend.app
        known = payload.decode(app, gathered.payload)
        body = maybe_signature(body or known.body, app=app)
        if body is None:
            raise StoreError("the chord is complete, but its body has expired")
        try:
            values = self._values(gathered, known)
            try:
                publish(app, body.delay, values)
            except SoftTimeLimitExceeded:
                raise
            except Exception as error:
                raise ChordError(f"Callback error: {error!r}") from error
            self.count("dispatched")
        except ChordError as error:
            self.fail(body, error)

    def fail(self, body: Any, error: ChordError) -> None:
        """Run Celery's error path for the error that is being handled."""
        self.count("failed")
        logger.error("chord of %s failed", body.id, exc_info=error)
        self._backend.chord_error_from_stack(body, error)

    def count(self, event: str) -> None:
        """Count a chord that was opened, dispatched or has failed, if telemetry is on."""
        if self._backend.telemetry is not None:
            self._backend.telemetry.chord(event)

    def _values(self, gathered: Gathered, known: payload.Payload) -> list[Any]:
        """The body's argument.  Raises `ChordError` for the first failed part in header order."""
        if gathered.missing:
            raise ChordError(f"{gathered.missing} parts of the chord have expired")
        parts = sorted(gathered.parts)
        values: list[Any] = []
        for start in range(0, len(parts), AT_ONCE):
            some = parts[start : start + AT_ONCE]
            found = self._backend.successes([record for _, _, record in some])
            values += [self._value(*part) for part in some] if found is None else found
        return payload.arranged(known.header, parts, values)

    def _value(self, _: int, member: str, record: bytes) -> Any:
        meta = self._backend.decode_result(record)
        if meta["status"] in states.PROPAGATE_STATES:
            error = meta["result"]
            raise blaming(member, error) from error
        return meta["result"]
