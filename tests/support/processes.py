"""Work in forked children."""

import ctypes
import os
import select
import signal
import time

from kvbackends.testing.tools import in_child

__all__ = ["fork_in_c", "in_child"]

USABLE = 5.0
"""Seconds within which a child shows that its interpreter runs."""


def fork_in_c(*, hooks: bool = False) -> int:
    """Fork as uWSGI does, below Python, whose hooks do not run; returns as `os.fork` does.

    With `hooks` those of the child run, as uWSGI's option ``py-call-osafterfork`` makes them.

    If another thread waits for the interpreter's lock at this moment, CPython cannot use that lock
    in the child, which hangs in the interpreter.  Such a child is ended, and another one forked.
    """
    for _ in range(10):
        read, write = os.pipe()
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            if hooks:
                ctypes.pythonapi.PyOS_AfterFork_Child()
            for _ in range(50):
                time.sleep(0)  # gives the lock up, and takes it again
            os.write(write, b"x")
        os.close(write)
        usable = pid == 0 or select.select([read], [], [], USABLE)[0]
        os.close(read)
        if usable:
            return int(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    raise AssertionError("no fork in C has a usable interpreter")
