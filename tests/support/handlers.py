"""Calls what a signal's handler might call, at one line after the other."""

import sys
import threading
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

PATIENCE = 30.0
"""Seconds after which a call waits for ever."""


def bears_a_handler(call: Callable[[], object], *functions: FunctionType) -> bool:
    """Whether `call` ends although each line of these functions calls it again, as a handler may.

    In a thread of its own, which stays behind if it waits for a lock that it holds itself.
    """
    codes = {each.__code__ for each in functions}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code not in codes:
            return None
        if event == "line":
            call()  # Python traces nothing meanwhile
        return trace

    def traced() -> None:
        sys.settrace(trace)
        call()

    thread = threading.Thread(target=traced, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not thread.is_alive()
