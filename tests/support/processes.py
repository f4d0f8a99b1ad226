"""Work in forked children."""

import os
import signal
import traceback
import warnings
from collections.abc import Callable


def fork() -> int:
    """`os.fork`, also beside threads: that is what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(work: Callable[[], object], seconds: int = 20) -> int:
    """Run `work` in a forked child; 0 if it returned, else how the child ended."""
    child = fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
