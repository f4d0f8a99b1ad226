"""Chords whose dispatcher was lost: what the worker's main process can do about them."""

import random
from typing import Any

from celery import states

from kvbackends.backend.base import Base, part_of
from kvbackends.backend.compat import current_request
from kvbackends.backend.results import new_delivery
from kvbackends.contract.records import SIZE_PLACE, Offer, Outcome, Part, Rank

HEADER = "kvbackends_chord"
"""The message header that names the chord to recover."""
CARRIER = "celery.backend_cleanup"
"""A task that every worker knows, and that calls `cleanup`."""
REMEMBERED = 1000


class Recovery(Base):
    """The main process never waits for a claim: it sends one message that looks again later."""

    def _recover_later(self, request: Any, holder: str) -> None:
        """Send the message, once for each claim, to the header task's own queue."""
        asked = self._recoveries_asked
        if (request.group, holder) in asked:
            return
        asked[request.group, holder] = None
        if len(asked) > REMEMBERED:
            del asked[next(iter(asked))]
        lease = self.times.chord.lease
        delivery = request.delivery_info or {}
        route = {name: delivery[name] for name in ("exchange", "routing_key") if delivery.get(name)}
        self.app.tasks[CARRIER].apply_async(
            ignore_result=True,
            countdown=lease + random.uniform(1, 1 + lease / 4),
            headers={HEADER: request.group},
            **route,
        )

    def _recover_if_asked(self) -> bool:
        """Dispatch the chord that the running message names, if it names one."""
        request = current_request()
        group_id = request and getattr(request, HEADER, None)
        if not group_id:
            return False
        part = Part(SIZE_PLACE, "recovery", new_delivery())
        arrival = self._barrier(group_id).arrive(part, None)
        self._chord(group_id, part, None).settle(arrival)
        return True

    def _settle_recorded_success(self, request: Any) -> bool:
        """Finish for a lost process that had recorded its part with a success.

        It reads the chord's parts: this happens only when a process was lost or a task revoked.
        Celery reports a hard time limit twice, the second time when the chord may be closed and
        its parts are gone: then the stored result tells.
        """
        part, barrier = part_of(request, new_delivery()), self._barrier(request.group)
        recorded = next(
            (
                value
                for place, member, value in barrier.parts()
                if (place, member) == (part.place, part.member)
            ),
            None,
        )
        if recorded is None:
            recorded = self.get(self.key_of(request.id))
            return recorded is not None and self.ranks.rank_of(recorded) is Rank.SUCCEEDED
        if self.ranks.rank_of(recorded) is not Rank.SUCCEEDED:
            return False
        offer = None if request.ignore_result else self._recorded_offer(request, recorded)
        # The part arrives again, with what it brought: that breaks a claim of the lost delivery.
        arrival = barrier.arrive(part, recorded)
        if arrival.outcome is Outcome.WAITING and offer is not None:
            self.store.offer(offer, self.ranks.rank_of)
        left = self._chord(request.group, part, request.chord, offer=offer).settle(arrival)
        if left.outcome is Outcome.HELD:
            self._recover_later(request, left.holder)
        return True

    def _recorded_offer(self, request: Any, value: bytes) -> Offer:
        key = self.key_of(request.id)
        return Offer(key, value, Rank.SUCCEEDED, self.times.of_state(states.SUCCESS))
