"""Failures reach everything that waits for a task that will now never run."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from celery import group, states

from kvbackends.backend.base import Base
from kvbackends.backend.compat import FAILS_AFTER_CHORD, current_task, request_of_signature


class Failures(Base):
    """A failure is stored, returned to its chord, and passed on to the rest of the chain."""

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

        A process that was lost after its part was recorded with a success has succeeded: what it
        recorded is stored instead, and no errback is called.
        """
        if self._succeeded_before_it_was_lost(request):
            return

        def fail() -> None:
            if store_result:
                self.store_result(task_id, exc, state, traceback=traceback, request=request)
            if request is not None:
                if request.chord:
                    self.on_chord_part_return(request, state, exc)
                chain = getattr(request, "chain", None)
                self._fail_chain(chain, exc, traceback, store_result=store_result, state=state)

        self._end(request, fail)
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
        """Fail what was chained after a failed task, down to the members of groups and chords.

        A part returns once for each task, also where it had failed before: a repeated delivery
        must not leave the chord waiting.
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

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Fail a chord's body; a body that is itself a part returns to its outer chord."""
        answer = super().chord_error_from_stack(without_errbacks_of_outer_chord(callback), exc)
        # Celery shows the members of a group the part's own error, not the chord's.
        own = isinstance(callback, group) and getattr(exc, "__cause__", None)
        self._fail_signature(callback, own or exc, but=callback.id)
        if not FAILS_AFTER_CHORD:
            self._fail_chain(callback.options.get("chain"), exc)
        return answer

    def _succeeded_before_it_was_lost(self, request: Any) -> bool:
        # Only the worker's main process reports a task that is not running here.
        if request is None or not (request.chord and request.group) or current_task() is not None:
            return False
        return bool(self._settle_recorded_success(request))


def without_errbacks_of_outer_chord(body: Any) -> Any:
    """A body without those errbacks that the outer chord's failure will call.

    `chord.link_error` gives the bodies of chords in its header the same errback; the outer chord
    fails with them, and calls it once for all.
    """
    outer = errbacks_of(body.options.get("chord"))
    if not outer:
        return body
    own = body.clone()
    own.options["link_error"] = [each for each in errbacks_of(body) if each not in outer]
    return own


def errbacks_of(signature: Any) -> list[Any]:
    """The errbacks linked to a signature, which may be None."""
    options = signature.get("options") or {} if signature else {}
    linked = options.get("link_error") or []
    return list(linked) if isinstance(linked, (list, tuple)) else [linked]


def tasks_of(
    signature: Mapping[str, Any], in_header: bool = False
) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The plain tasks of a signature, each with whether it is in the header of an inner chord.

    Header tasks of a chord that never starts have no chord to return to.
    """
    kind, kwargs = signature.get("subtask_type"), signature.get("kwargs") or {}
    if kind in ("group", "chain"):
        for task in kwargs.get("tasks") or ():
            yield from tasks_of(task, in_header)
    elif kind == "chord":
        header = kwargs.get("header") or ()
        for task in header["kwargs"]["tasks"] if isinstance(header, Mapping) else header:
            yield from tasks_of(task, True)
        if kwargs.get("body"):
            yield from tasks_of(kwargs["body"], in_header)
    else:
        yield signature, in_header
