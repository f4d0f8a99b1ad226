"""The chords of one backend, between Celery's hooks and the store's barriers."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from celery import states
from celery.exceptions import BackendStoreError, Reject, SoftTimeLimitExceeded

from kvbackends.backend import payload
from kvbackends.backend.compat import current_request, current_task
from kvbackends.backend.delays import HEADER, announce
from kvbackends.backend.deliveries import is_redelivered
from kvbackends.backend.dispatch import Dispatcher
from kvbackends.backend.recovery import Recovery
from kvbackends.backend.sending import Sending
from kvbackends.backend.signatures import is_carried_again
from kvbackends.backend.unopened import Unopened
from kvbackends.contract.barrier import Barrier
from kvbackends.contract.records import SIZE_PLACE, Arrival, Offer, Outcome, Part, Rank
from kvbackends.errors import StoreUnavailable
from kvbackends.protocol.chord import Chord

logger = logging.getLogger(__name__)

NO_INDEX = 2**31 - 1
"""The place of a part whose message has no index (old clients): after all others."""

WAITING = Outcome.WAITING
"""Cached: access to an enum's member costs as much as a call."""


class TaskEnd:
    """The end of one header task, between Celery's hooks for its result and for its part."""

    offer: Offer | None = None
    arrival: Arrival | None = None
    chord: Chord | None = None
    """Kept when a soft time limit interrupts the end: a finished publish is not repeated."""
    in_books = False

    def __init__(self, request: Any) -> None:
        self.request = request
        self.delivery = new_delivery()


_task_end: ContextVar[TaskEnd | None] = ContextVar("kvbackends_task_end", default=None)


class Chords:
    """Opens barriers, returns parts to them, and dispatches complete chords.

    Args:
        backend: The backend whose store, keys, times, ranks and records the chords use.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._dispatcher = Dispatcher(backend)
        self._sending = Sending()
        self._unopened = Unopened(backend, self._dispatcher)
        self._recovery = Recovery(backend.app, backend.times.chord.lease)

    # -- beginning ------------------------------------------------------------------------------

    def open(self, group_id: str, body: Any, results: Any) -> None:
        """Begin a run of the chord, before any header task is sent."""
        announce(self._backend.app, body, self._backend.times.chord.ttl)
        if not self._is_repeated(group_id):
            self._barrier(group_id, body).open(payload.encode(self._backend.app, body, results))
            self._dispatcher.count("opened")
        self._sending.begin(group_id, body)

    def _is_repeated(self, group_id: str) -> bool:
        """True if an earlier delivery of the running task's message has applied the same chord.

        Then its run goes on: the header tasks are sent again, under their ids, and count once.
        """
        if not is_carried_again(current_request(), group_id):
            return False
        return self.recover(group_id, may_wait=False) is not Outcome.UNKNOWN

    def expect(self, group_id: str, size: int) -> None:
        """Set the size of the header, before its last task is sent.  Never waits for a claim.

        Only the opener knows the size.  A group at the end of a chain in the header calls this too,
        when the chain reaches it, with its own size and another id (5.6: with the chord's id).
        """
        body = self._sending.end(group_id)
        if body is None:
            return
        part = Part(SIZE_PLACE, "size", new_delivery())
        arrival = self._barrier(group_id, body).expect(part, size)
        self._chord(group_id, part, None, may_wait=False).settle(arrival)

    def expect_more(self, group_id: str, result: Any) -> None:
        """Expect one part more for each task of `result`, before the running task's own returns.

        A second run of the same task names its additions anew; they fill the same slots.
        """
        request = current_request()
        barrier = self._barrier(group_id, request.chord)
        adder = part_of(request, new_delivery())
        slot = getattr(request, "kvbackends_added", 0)
        for leaf in payload.leaves(result):
            barrier.expect_more(adder, slot, leaf)
            slot += 1
        request.kvbackends_added = slot

    # -- the end of a header task -----------------------------------------------------------------

    def end(self, request: Any, call: Callable[..., None], *args: Any) -> None:
        """Run Celery's end of a task; a soft time limit in the middle repeats a header task's.

        The task itself has ended when the limit strikes here, and each step is idempotent.
        """
        if not (request and request.chord):
            call(*args)
            return
        token = _task_end.set(TaskEnd(request))  # a context manager costs a tenth of a part
        try:
            try:
                call(*args)
            except SoftTimeLimitExceeded:
                logger.warning("soft time limit while a finished task returned to its chord")
                call(*args)
        except (StoreUnavailable, BackendStoreError) as error:
            if is_redelivered():
                raise Reject(error, requeue=True) from error
            logger.exception("a chord's part could not be returned")
            raise
        finally:
            _task_end.reset(token)

    def finish(self, offer: Offer, request: Any) -> bool:
        """Store the offer and its part in one step; False if no header task is ending here."""
        end = _task_end.get()
        if end is None or end.request is not request or not request.group:
            return False
        part = part_of(request, end.delivery)
        barrier = self._barrier(request.group, request.chord)
        end.arrival = barrier.finish(part, offer, self._backend.ranks.rank_of)
        end.offer = offer
        return True

    def part_returns(self, request: Any, state: str, result: Any) -> None:
        """Record the part, unless `finish` did; then settle the chord."""
        if not request.group or not request.id:
            return
        end = _task_end.get()
        if end is not None and end.request is request:
            self._return_part(end, state, result)
            return
        end = TaskEnd(request)
        token = _task_end.set(end)
        try:
            self._return_part(end, state, result)
        finally:
            _task_end.reset(token)

    def _return_part(self, end: TaskEnd, state: str, result: Any) -> None:
        request, arrival = end.request, end.arrival
        if arrival is None:
            arrival = end.arrival = self._arrive(end, state, result)
        if end.chord is None:
            if arrival.outcome is WAITING:
                return  # as nearly every part; there is nothing to settle
            if arrival.outcome is Outcome.UNKNOWN and self._backend.books.has(request):
                self._return_to_books(end, state, result)
                return
            part = part_of(request, end.delivery)
            end.chord = self._chord(request.group, part, request.chord, offer=end.offer)
        left = end.chord.settle(arrival)
        if left.outcome is Outcome.HELD:
            self._recovery.send_later(request, left.holder)

    def _return_to_books(self, end: TaskEnd, state: str, result: Any) -> None:
        """Return a part of a chord that Celery's own backend has begun, after its result."""
        backend = self._backend
        if end.offer is not None:
            backend.store.offer(end.offer, backend.ranks.rank_of)
        if not end.in_books:
            backend.books.part_returns(end.request, state, result)
        end.in_books = True

    def _arrive(self, end: TaskEnd, state: str, result: Any) -> Arrival:
        part = part_of(end.request, end.delivery)
        barrier = self._barrier(end.request.group, end.request.chord)
        arrival: Arrival = self._backend.encoded_part(
            end.request, state, result, lambda value: barrier.arrive(part, value)
        )
        return arrival

    # -- lost processes ---------------------------------------------------------------------------

    def recover(self, group_id: str, *, may_wait: bool | None = None) -> Outcome:
        """Dispatch the chord if it is complete; its dispatcher may have been lost."""
        part = Part(SIZE_PLACE, "recovery", new_delivery())
        arrival = self._barrier(group_id).arrive(part, None)
        return self._chord(group_id, part, None, may_wait=may_wait).settle(arrival).outcome

    def succeeded_before_it_was_lost(self, request: Any) -> bool:
        """True if a lost process had recorded this task's success; then it is finished here.

        Reads the chord's parts: this is rare.  Celery reports a hard time limit twice; the second
        time the chord may be closed and its parts removed: then the stored result decides.
        """
        # Only the worker's main process reports a task that is not running here.
        if request is None or not (request.chord and request.group) or current_task() is not None:
            return False
        backend = self._backend
        part = part_of(request, new_delivery())
        barrier = self._barrier(request.group, request.chord)
        values = (value for *names, value in barrier.parts() if names == [part.place, part.member])
        recorded = next(values, None)
        if recorded is None:
            recorded = backend.get(backend.key_of(request.id))
            if recorded is None or backend.ranks.rank_of(recorded) is not Rank.SUCCEEDED:
                return False
            if backend.books.has(request):
                value = backend.decode_result(recorded)["result"]
                backend.books.part_returns(request, states.SUCCESS, value)
            return True
        if backend.ranks.rank_of(recorded) is not Rank.SUCCEEDED:
            return False
        key, kept = backend.key_of(request.id), backend.times.result
        offer = None if request.ignore_result else Offer(key, recorded, Rank.SUCCEEDED, kept)
        # The part arrives again, with its value: that takes over a claim of the lost delivery.
        arrival = barrier.arrive(part, recorded)
        if arrival.outcome is WAITING and offer is not None:
            backend.store.offer(offer, backend.ranks.rank_of)
        left = self._chord(request.group, part, request.chord, offer=offer).settle(arrival)
        if left.outcome is Outcome.HELD:
            self._recovery.send_later(request, left.holder)
        return True

    # -- barriers -----------------------------------------------------------------------------

    def _chord(
        self,
        group_id: str,
        part: Part,
        body: Any,
        *,
        offer: Offer | None = None,
        may_wait: bool | None = None,
    ) -> Chord:
        key = self._key(group_id)
        return Chord(
            self._backend.store,
            key,
            part,
            self._backend.times.chord,
            lambda gathered: self._dispatcher.dispatch(gathered, body),
            on_unknown=lambda: self._unopened.fail(key, part, body, announced(body)),
            rank_of=self._backend.ranks.rank_of,
            offer=offer,
            may_wait=current_task() is not None if may_wait is None else may_wait,
        )

    def _barrier(self, group_id: str, body: Any = None) -> Barrier:
        backend = self._backend
        ttl = announced(body) or backend.times.chord.ttl
        is_plain = type(group_id) is str and group_id
        key = backend.chord_prefix + group_id if is_plain else self._key(group_id)
        barrier: Barrier = backend.store.barrier(key, ttl)
        return barrier

    def _key(self, group_id: str) -> str:
        key = self._backend.get_key_for_chord(group_id)
        return key.decode() if isinstance(key, bytes) else str(key)


def announced(body: Mapping[str, Any] | None) -> float | None:
    """The lifetime that the body's header tells; None for a chord of another backend.

    Here and not beside `announce`: it is on the way of every part.
    """
    headers = ((body or {}).get("options") or {}).get("headers") or {}
    told: float | None = headers.get(HEADER)
    return told


def part_of(request: Any, delivery: str) -> Part:
    """The part of a header task's request."""
    index = getattr(request, "group_index", None)
    return Part(NO_INDEX if index is None else int(index), request.id, delivery)


def new_delivery() -> str:
    """A fresh id for one run of a message: its time, which operators are shown, and 80 bits."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
