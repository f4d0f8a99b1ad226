"""Forked children of the checks."""

import ctypes
import faulthandler
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")

USABLE = 5.0
"""Seconds within which a child shows that its interpreter runs."""
TRIES = 5
SETTLED = 0.05
"""Seconds before a fork, in which threads that wait for the interpreter's lock get it."""


def fork_in_c(*, hooks: bool = False) -> int:
    """Fork as uWSGI does, below Python, whose hooks do not run; returns as `os.fork` does.

    With `hooks` those of the child run, as uWSGI's option ``py-call-osafterfork`` makes them.

    If another thread waits for the interpreter's lock at this moment, CPython cannot use that lock
    in the child: glibc's condition variable still counts that thread, and waits for it as soon as
    two threads of the child want the lock.  Such a child is ended, and another one forked.
    """
    for _ in range(TRIES):
        read, write = os.pipe()
        time.sleep(SETTLED)
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            try:
                if hooks:
                    ctypes.pythonapi.PyOS_AfterFork_Child()
                _hand_the_lock_over()
                os.write(write, b"x")
            except BaseException:  # noqa: BLE001 - it must not go on as a second parent
                os._exit(1)
        os.close(write)
        usable = pid == 0 or _is_told(read)
        os.close(read)
        if usable:
            return int(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    raise AssertionError("no fork in C has a usable interpreter")


def _is_told(read: int) -> bool:
    """True if a byte comes in time; the end of the file is none."""
    poll = select.poll()  # `select.select` takes no descriptors above 1,023
    poll.register(read, select.POLLIN)
    return bool(poll.poll(USABLE * 1000) and os.read(read, 1))


def _hand_the_lock_over() -> None:
    """Let two threads take the interpreter's lock from each other."""
    done = threading.Event()

    def compute() -> None:
        until = time.monotonic() + 10 * sys.getswitchinterval()
        while time.monotonic() < until:
            pass

    def other() -> None:
        compute()
        done.set()

    threading.Thread(target=other).start()
    compute()
    done.wait()


def child(work: Callable[[], object], seconds: int = 20, fork: Callable[[], int] = os.fork) -> int:
    """Start `work` in a forked child, which exits with 0 if it returned; return its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point
        pid = fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=2, chain=True)  # says where it hangs
        signal.alarm(seconds)
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child ends here, whatever happened
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def ended(pid: int) -> int:
    """Wait for the child; return its exit status, and say which signal has ended it."""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        sys.stderr.write(f"a child of the check was ended by signal {-status}\n")
    return status


def in_child(work: Callable[[], object], seconds: int = 20) -> int:
    """Run `work` in a forked child; return 0 if it returned, else the child's exit status."""
    return ended(child(work, seconds))


def race_in_children(count: int, work: Callable[[int], T], seconds: int = 30) -> list[T]:
    """`race`, in forked children that begin at the same moment; the answers are pickled."""
    pipes, start = [os.pipe() for _ in range(count)], os.pipe()
    pids = [child(partial(_answer, work, n, pipes[n][1], start), seconds) for n in range(count)]
    for _, write in pipes:
        os.close(write)
    for read, _ in pipes:
        os.read(read, 1)  # the child is ready
    for end in start:
        os.close(end)
    answers = [_read(read) for read, _ in pipes]
    statuses = [ended(pid) for pid in pids]
    assert statuses == [0] * count, f"children ended with {statuses}"
    return [pickle.loads(answer) for answer in answers]  # noqa: S301 - from our own children


def _answer(work: Callable[[int], object], n: int, write: int, start: tuple[int, int]) -> None:
    os.close(start[1])
    os.write(write, b".")
    os.read(start[0], 1)  # returns when the parent closes the other end
    answer = pickle.dumps(work(n))
    with os.fdopen(write, "wb") as pipe:
        pipe.write(answer)


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()
