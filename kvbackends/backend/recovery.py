"""Messages that recover a chord whose dispatcher may be lost.

The worker's main process reports lost children.  It never waits for a claim: it sends one message,
after which a pool process looks at the chord again.
"""

import random
from typing import Any

from kvbackends.backend.compat import current_request
from kvbackends.contract.process import Recent

HEADER = "kvbackends_chord"
"""The message header that names the chord to recover."""
CARRIER = "celery.backend_cleanup"
"""A task that every worker knows, and that calls `cleanup`."""


class Recovery:
    """Sends at most one message for each claim."""

    def __init__(self, app: Any, lease: float) -> None:
        self._app = app
        self._lease = lease
        self._sent: Recent[bool] = Recent(1000)

    def send_later(self, request: Any, holder: str) -> None:
        """Send the message to the header task's own queue, to arrive after a lease with jitter."""
        claim = f"{request.group} {holder}"
        if self._sent.get(claim):
            return
        self._sent.put(claim, True)
        delivery = request.delivery_info or {}
        route = {name: delivery[name] for name in ("exchange", "routing_key") if delivery.get(name)}
        self._app.tasks[CARRIER].apply_async(
            ignore_result=True,
            countdown=self._lease + random.uniform(1, 1 + self._lease / 4),
            headers={HEADER: request.group},
            **route,
        )


def chord_to_recover() -> str | None:
    """The chord that the running message names, if it is a recovery message."""
    request = current_request()
    return getattr(request, HEADER, None) if request else None
