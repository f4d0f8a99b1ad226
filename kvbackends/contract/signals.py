"""Keeps the handlers of signals out of drivers that do not survive an exception inside them."""

import functools
import os
import signal
import threading

# Those of `signal` convert handlers to enums, which takes 20 times as long.
from _signal import getsignal  # type: ignore[import-not-found]
from _signal import signal as set_handler
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_NUMBERS = sorted(set(range(1, 32)) & set(map(int, signal.valid_signals())) - {9, 19})
"""The standard signals that may have a handler."""
_SIGINT = int(signal.SIGINT)
_SIGINT_AT = _NUMBERS.index(_SIGINT)


def uninterrupted(call: Callable[P, T]) -> Callable[P, T]:
    """`call`, during which no Python function that handles a signal runs: it runs afterwards.

    For a driver in which an exception, such as that of a task's soft time limit, would leave a lock
    held for ever, or would be taken for a lost connection, and in which a call by the handler
    itself would wait for such a lock.  The driver's timeouts bound the delay.

    Handlers run in the main thread only.  There this costs some microseconds, in others a
    comparison.  The first call puts a stand-in before each handler; it stays, and calls the handler
    at once unless a call is in progress.  That of SIGINT is removed after each call, because
    `asyncio` recognises its handler.
    """

    @functools.wraps(call)
    def shielded(*args: P.args, **kwargs: P.kwargs) -> T:
        if _main.busy or threading.get_ident() != _main.ident:
            return call(*args, **kwargs)
        _main.busy = True
        try:  # handlers may raise exceptions in `begin` and `end`, not in between
            _main.begin()
            return call(*args, **kwargs)
        finally:
            _main.end()

    return shielded


class _StandIn:
    """Stands before a handler, and notes signals that come during a call."""

    def __init__(self, handler: Callable[[int, Any], Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: Any) -> None:
        if _main.busy:
            _main.late.append(number)
        else:
            self.handler(number, frame)


class _MainThread:
    """The signals of the main thread."""

    def __init__(self) -> None:
        self.ident = threading.main_thread().ident
        self.busy = False
        """True during a call."""
        self.late: list[int] = []
        """The signals that have come during the call."""
        self._handlers: list[Any] = []
        """The handlers found at `_NUMBERS`, with the stand-ins."""
        self._interrupt: Any = None
        """The handler of SIGINT during a call, if it has one."""

    def begin(self) -> None:
        """Let signals wait for `end`."""
        found = list(map(getsignal, _NUMBERS))
        try:
            if found != self._handlers:
                self._handlers = list(map(_with_stand_in, _NUMBERS, found))
            if callable(interrupt := found[_SIGINT_AT]):
                self._interrupt = interrupt
                set_handler(_SIGINT, _StandIn(interrupt))
        except ValueError:  # an embedded interpreter, none of whose threads runs handlers
            self.ident = self._interrupt = None

    def end(self) -> None:
        """Raise the signals that have come, once more."""
        try:
            if self._interrupt is not None:
                set_handler(_SIGINT, self._interrupt)
        finally:
            late, self.late = self.late, []
            self._interrupt = None
            self.busy = False
            if late:
                _raise_all(late)

    def forked(self) -> None:
        """In a forked child: its only thread is the main thread, whichever it was before."""
        self.ident = threading.get_ident()
        self.busy = False


def _with_stand_in(number: int, handler: Any) -> Any:
    if number == _SIGINT or isinstance(handler, _StandIn) or not callable(handler):
        return handler
    stand_in = _StandIn(handler)
    set_handler(number, stand_in)
    return stand_in


def _raise_all(numbers: list[int]) -> None:
    try:
        while numbers:
            signal.raise_signal(numbers.pop(0))
    finally:
        if numbers:  # a handler has raised an exception
            _raise_all(numbers)


_main = _MainThread()
os.register_at_fork(after_in_child=_main.forked)
