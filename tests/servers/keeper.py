"""The process between a test run and one server, so that no server outlives the run.

    python keeper.py STARTER FOLDER COMMAND...

It starts COMMAND in FOLDER, prints its process id, and waits until the command ends, until it is
told to stop (SIGTERM), or until the process STARTER is gone, for whatever reason. Then it kills
everything that descends from the command, daemons included, and ends. It imports only the standard
library, and nothing of the project: it has to start fast and work from any folder.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import sys
from pathlib import Path

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

WAKING = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
LOOK_EVERY = 0.1  # seconds between two looks whether the starter is still there
NOT_STARTED = 127  # the exit status of a shell that cannot find a command


def prctl(option: int, value: int) -> None:
    """Set one attribute of this process; section 2 of the manual explains them."""
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def start(folder: str, command: list[str]) -> int:
    """Start the command and return its process id."""
    pid = os.fork()
    if pid == 0:
        become(folder, command)
    return pid


def become(folder: str, command: list[str]) -> None:
    """Turn this process, a fork, into the command."""
    try:
        # Should the keeper itself be killed: unlike the starter it has one thread only, so the
        # signal cannot come too early (it is sent when the *thread* ends that forked).
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAKING)
        os.chdir(folder)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(NOT_STARTED)


def watch(starter: int, server: int) -> None:
    """Return when the server has ended, when told to stop, or when the starter is gone."""
    while os.getppid() == starter:
        event = signal.sigtimedwait(WAKING, LOOK_EVERY)
        if event and event.si_signo != signal.SIGCHLD:
            return
        if server in reap():
            return


def reap() -> set[int]:
    """Collect the children that have ended; orphans of the server are children too."""
    ended: set[int] = set()
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            ended.add(pid)
    return ended


def children() -> list[int]:
    """The process ids of this process's children."""
    me = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]


def kill_all() -> None:
    """Kill what descends from the server: orphans become our children, for the next turn."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def main(starter: int, folder: str, command: list[str]) -> None:
    """Keep one server."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
    server = start(folder, command)
    print(server, flush=True)
    watch(starter, server)
    kill_all()
    if os.getppid() != starter:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
