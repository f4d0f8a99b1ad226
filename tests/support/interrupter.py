"""Raises an exception where a signal's handler might, at one place after the other."""

import contextlib
import dis
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """The exception that is raised."""


class Interrupter:
    """Raises `Interrupted` at one place.

    Python runs handlers when a function of its own begins, and when one of C has returned.

    Args:
        at: The number of the place, from 1.
        files: Ends of the names of the files where it may strike; not while a thread is started,
            which Python itself does not bear.
    """

    def __init__(self, at: int, files: tuple[str, ...]) -> None:
        self.where = ""
        self._left = at
        self._files = files
        self._called: FrameType | None = None

    @contextlib.contextmanager
    def striking(self) -> Iterator[None]:
        """In this context, and this thread."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            yield
        except Interrupted:
            pass
        finally:
            sys.settrace(before)

    def __call__(self, frame: FrameType, event: str, _: Any) -> "Interrupter | None":
        """For `sys.settrace`."""
        called, self._called = self._called, None
        if self.where:
            return None
        if event == "call":
            if not frame.f_code.co_filename.endswith(self._files) or _starts_a_thread(frame):
                return None
            frame.f_trace_opcodes = True
            self._strike(frame)
        elif event == "opcode":
            if called is frame:
                self._strike(frame)
            if dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("CALL"):
                self._called = frame
        return self

    def _strike(self, frame: FrameType) -> None:
        self._left -= 1
        if not self._left:
            self.where = f"{frame.f_code.co_name}, line {frame.f_lineno}"
            raise Interrupted


def _starts_a_thread(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is threading.Thread.start.__code__:
            return True
        frame = frame.f_back
    return False
