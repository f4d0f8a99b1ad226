"""Celery's hooks for the ends of tasks and for chords."""

from collections.abc import Iterable, Mapping
from typing import Any

from celery import group, states

from kvbackends.backend.compat import (
    FAILS_AFTER_CHORD,
    current_request,
    flatten_lazy_header,
    request_of_signature,
)
from kvbackends.backend.links import request_of_body
from kvbackends.backend.results import Results
from kvbackends.backend.signatures import (
    bodies_within,
    errbacks_of,
    tasks_of,
    without_errbacks_of_outer_chord,
)

TERMINATED = "terminated"
"""Celery's reason for revoking a task that was running."""


class Ends(Results):
    """Stores how tasks ended, returns their parts, and passes failures on."""

    def apply_chord(self, header_result_args: tuple[Any, ...], body: Any, **options: Any) -> None:
        """Open the chord's barrier; called before any header task is sent."""
        if self.books.opens:
            self.books.begin(header_result_args, body, options)
            return
        flatten_lazy_header()
        self.chords.open(header_result_args[0], body, header_result_args[1])

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Set the size of the header; called before its last task is sent."""
        if not self.books.expect(group_id, chord_size):
            self.chords.expect(group_id, chord_size)

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Expect the tasks of `result` too; called by a header task before it returns."""
        if self.books.has(current_request()):
            self.books.expect_more(chord_id, result)
        else:
            self.chords.expect_more(chord_id, result)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **_: Any) -> None:
        """Return a header task's part, unless storing its result did."""
        self.chords.part_returns(request, state, result)

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
            self.chords.end(request, store, task_id, result, request, store_result, state)

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:
        """Store that the task will not run or was ended; a header task's part returns failed."""
        if reason == TERMINATED and self.chords.succeeded_before_it_was_lost(request):
            return
        store = super().mark_as_revoked
        self.chords.end(request, store, task_id, reason, request, store_result, state)

    def mark_as_failure(
        self,
        task_id: str,
        exc: BaseException,
        traceback: str | None = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        """Store a failure.

        If a lost process had recorded its part with a success, that success is stored instead and
        no errback is called.
        """
        if self.chords.succeeded_before_it_was_lost(request):
            return

        def fail() -> None:
            if store_result:
                known = request_of_body(exc) if request is None else request
                self.store_result(task_id, exc, state, traceback=traceback, request=known)
            if request is not None:
                if request.chord:
                    self.on_chord_part_return(request, state, exc)
                chain = getattr(request, "chain", None)
                self._fail_chain(chain, exc, traceback, store_result=store_result, state=state)

        self.chords.end(request, fail)
        if request is not None and call_errbacks and request.errbacks:
            self._call_task_errbacks(request, exc, traceback)

    def _fail_chain(
        self,
        chain: Any,
        exc: BaseException,
        traceback: str | None = None,
        store_result: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        """Fail the tasks chained after a failed one, down to the members of groups and chords.

        A part returns for each of them, also if it had failed before: a redelivery must not leave
        its chord waiting.
        """
        if isinstance(chain, Iterable):
            for signature in chain:
                self._fail_signature(signature, exc, traceback, store_result, state)

    def _fail_signature(
        self,
        signature: Mapping[str, Any],
        exc: BaseException,
        traceback: str | None = None,
        store_result: bool = True,
        state: str = states.FAILURE,
        but: str | None = None,
    ) -> None:
        for task, in_header in tasks_of(signature):
            request = request_of_signature(task)
            if store_result and state in states.PROPAGATE_STATES and request.id not in (None, but):
                self.store_result(request.id, exc, state, traceback=traceback, request=request)
            if request.chord and not in_header:
                self.on_chord_part_return(request, state, exc)

    def _call_errbacks_within(self, callback: Any, exc: Any) -> None:
        """Call the errbacks of a chord that never starts: they are linked to its body."""
        called = errbacks_of(callback)
        for body in bodies_within(callback):
            request = request_of_signature(body)
            request.errbacks = [each for each in errbacks_of(body) if each not in called]
            called += request.errbacks
            if request.errbacks:
                self._call_task_errbacks(request, exc, None)

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Fail a chord's body; a body that is itself a part returns to its outer chord."""
        called = without_errbacks_of_outer_chord(callback)
        answer = super().chord_error_from_stack(called, exc)
        self._call_errbacks_within(called, exc)
        # Celery shows the members of a group the part's own error, not the chord's.
        own = isinstance(callback, group) and getattr(exc, "__cause__", None)
        self._fail_signature(callback, own or exc, but=callback.id)
        if not FAILS_AFTER_CHORD:
            self._fail_chain(callback.options.get("chain"), exc)
        return answer
