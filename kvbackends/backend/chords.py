"""Chords: Celery's hooks, translated to a barrier of the store."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery import maybe_signature, states

from kvbackends.backend import payload
from kvbackends.backend.base import Base, part_of, text
from kvbackends.backend.compat import (
    BackendStoreError,
    ChordError,
    Reject,
    SoftTimeLimitExceeded,
    current_request,
    current_task,
    publish,
)
from kvbackends.backend.results import AT_ONCE, new_delivery
from kvbackends.contract.barrier import Barrier
from kvbackends.contract.records import SIZE_PLACE, Arrival, Offer, Outcome, Part
from kvbackends.errors import StoreError, StoreUnavailable
from kvbackends.protocol.chord import Chord, Gathered

logger = logging.getLogger(__name__)

WAITING = Outcome.WAITING
"""Looked up once, which costs as much as a call."""

TERMINATED = "terminated"
"""Celery's reason for revoking a task that was running."""


class Finishing:
    """One task's end, between Celery's two hooks: the result is stored, the part returns."""

    offer: Offer | None = None
    arrival: Arrival | None = None
    chord: Chord | None = None
    """Kept through a soft time limit: what was published is not published again."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.delivery = new_delivery()


_finishing: ContextVar[Finishing | None] = ContextVar("kvbackends_finishing", default=None)


class _Opened(threading.local):
    """The chords whose headers this thread is about to send; chords may be nested in headers."""

    def __init__(self) -> None:
        # Bounded: sending a header may fail before its size is told.
        self.groups: deque[str] = deque(maxlen=1000)


_opened = _Opened()


class Chords(Base):
    """`apply_chord`, `set_chord_size`, `add_to_chord`, and what a header task does at its end."""

    # -- beginning ------------------------------------------------------------------------------

    def apply_chord(self, header_result_args: tuple[Any, ...], body: Any, **_: Any) -> None:
        """A new run; called before any header task is sent."""
        group_id, results = header_result_args
        self._barrier(group_id).open(payload.encode(self.app, body, results))
        _opened.groups.append(group_id)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """How many parts the header has; called before its last task is sent.

        A client never waits for a claim: whoever holds it dispatches.

        Only who opened the chord knows its size.  A group at the end of a chain in the header tells
        one too, when that chain reaches it: its own, under another id or (5.6) that of the chord.
        """
        if group_id not in _opened.groups:
            return
        _opened.groups.remove(group_id)
        part = Part(SIZE_PLACE, "size", new_delivery())
        arrival = self._barrier(group_id).expect(part, chord_size)
        self._chord(group_id, part, None, may_wait=False).settle(arrival)

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """One part more for each task of `result`, before the adding task returns its own.

        A second run of the same task names its additions anew; they fill the same slots.
        """
        request = current_request()
        barrier, adder = self._barrier(chord_id), part_of(request, new_delivery())
        slot = getattr(request, "kvbackends_added", 0)
        for leaf in payload.leaves(result):
            barrier.expect_more(adder, slot, leaf)
            slot += 1
        request.kvbackends_added = slot

    # -- a part returns -------------------------------------------------------------------------

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """Store a success; for a header task the same step records its part."""
        store = super().mark_as_done
        if not (request and request.chord):
            store(task_id, result, request, store_result, state)
        else:
            self._end(request, store, task_id, result, request, store_result, state)

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:
        """Store that the task will not run, or was ended; a header task's part returns failed."""
        if reason == TERMINATED and self._succeeded_before_it_was_lost(request):
            return
        with_part = super().mark_as_revoked
        self._end(request, with_part, task_id, reason, request, store_result, state)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **_: Any) -> None:
        """The part is recorded, unless storing the result did it; then the chord is settled."""
        if not request.group or not request.id:
            return
        ending = _finishing.get()
        if ending is None or ending.request is not request:
            with _end_of(request) as ending:
                self._return_part(ending, state, result)
        else:
            self._return_part(ending, state, result)

    def _return_part(self, ending: Finishing, state: str, result: Any) -> None:
        arrival = ending.arrival
        if arrival is None:
            arrival = ending.arrival = self._arrive(ending, state, result)
        if ending.chord is None:
            if arrival.outcome is WAITING:
                return  # as nearly every part; there is nothing to settle
            request = ending.request
            part = part_of(request, ending.delivery)
            ending.chord = self._chord(request.group, part, request.chord, offer=ending.offer)
        left = ending.chord.settle(arrival)
        if left.outcome is Outcome.HELD:
            self._recover_later(ending.request, left.holder)

    def _arrive(self, ending: Finishing, state: str, result: Any) -> Arrival:
        request = ending.request
        meta = self._meta(request.id, self.encode_result(result, state), state, None, request)
        part, barrier = part_of(request, ending.delivery), self._barrier(request.group)
        arrival: Arrival = self._fitting(
            meta, lambda fitting: barrier.arrive(part, self._payload(fitting))
        )
        return arrival

    def _finish_part(self, offer: Offer, request: Any) -> bool:
        """Store the offer and record the part in one step, if this is a header task's end."""
        ending = _finishing.get()
        if ending is None or ending.request is not request or not request.group:
            return False
        part, barrier = part_of(request, ending.delivery), self._barrier(request.group)
        ending.arrival = barrier.finish(part, offer, self.ranks.rank_of)
        ending.offer = offer
        return True

    def _end(self, request: Any, call: Callable[..., None], *args: Any) -> None:
        """Run Celery's end of a task; a header task's survives a soft time limit in the middle.

        The task itself has ended when the limit strikes here, and each step may be repeated.
        """
        if not (request and request.chord):
            call(*args)
            return
        token = _finishing.set(Finishing(request))  # a context manager costs a tenth of a part
        try:
            try:
                call(*args)
            except SoftTimeLimitExceeded:
                logger.warning("soft time limit while a finished task returned to its chord")
                call(*args)
        except (StoreUnavailable, BackendStoreError) as error:
            if _comes_again():
                raise Reject(error, requeue=True) from error
            logger.exception("a chord's part could not be returned")
            raise
        finally:
            _finishing.reset(token)

    # -- dispatch -------------------------------------------------------------------------------

    def _chord(
        self,
        group_id: str,
        part: Part,
        body: Any,
        *,
        offer: Offer | None = None,
        may_wait: bool | None = None,
    ) -> Chord:
        return Chord(
            self.store,
            self._barrier_key(group_id),
            part,
            self.times.chord,
            lambda gathered: self._dispatch(gathered, body),
            rank_of=self.ranks.rank_of,
            offer=offer,
            may_wait=current_task() is not None if may_wait is None else may_wait,
        )

    def _dispatch(self, gathered: Gathered, body: Any) -> None:
        """Publish the body with the values of the parts, or run the error path."""
        known = payload.decode(self.app, gathered.payload)
        body = maybe_signature(body or known.body, app=self.app)
        if body is None:
            raise StoreError("the chord is complete, but its body has expired")
        try:
            values = self._values(gathered, known)
            try:
                publish(self.app, body.delay, values)
            except SoftTimeLimitExceeded:
                raise
            except Exception as error:
                raise ChordError(f"Callback error: {error!r}") from error
        except ChordError as error:
            logger.exception("chord of %s failed", body.id)
            self.chord_error_from_stack(body, error)

    def _values(self, gathered: Gathered, known: payload.Payload) -> list[Any]:
        """The body's argument.  `ChordError` for the first part that failed, in header order."""
        if gathered.missing:
            raise ChordError(f"{gathered.missing} parts of the chord have expired")
        parts = sorted(gathered.parts)
        values: list[Any] = []
        for start in range(0, len(parts), AT_ONCE):
            some = parts[start : start + AT_ONCE]
            found = self.successes([record for _, _, record in some])
            values += [self._value(*part) for part in some] if found is None else found
        return payload.arranged(known.header, parts, values)

    def _value(self, _: int, member: str, record: bytes) -> Any:
        meta = self.decode_result(record)
        if meta["status"] in states.PROPAGATE_STATES:
            error = meta["result"]
            raise ChordError(f"Dependency {member} raised {error!r}") from error
        return meta["result"]

    # -- names ----------------------------------------------------------------------------------

    def _barrier(self, group_id: str) -> Barrier:
        return self.store.barrier(self._barrier_key(group_id), self.times.chord.ttl)

    def _barrier_key(self, group_id: str) -> str:
        if type(group_id) is str and group_id:
            return self.chord_prefix + group_id
        return text(self.get_key_for_chord(group_id))


def _comes_again() -> bool:
    """True with late acknowledgement: a part that was rejected is delivered once more."""
    task = current_task()
    return task is not None and bool(task.acks_late)


@contextmanager
def _end_of(request: Any) -> Iterator[Finishing]:
    ending = Finishing(request)
    token = _finishing.set(ending)
    try:
        yield ending
    finally:
        _finishing.reset(token)
