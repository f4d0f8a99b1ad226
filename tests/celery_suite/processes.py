"""Runs a command in a session of its own, and sees to it that nothing of it stays."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def run(command: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, int]:
    """Run `command` to its end; its exit status, and how many processes of it had to be killed."""
    child = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
    try:
        status = child.wait()
    finally:
        killed = _end_session(child.pid)
        child.wait()
    return status, killed


def _end_session(session: int, patience: float = 3.0) -> int:
    """Wait a little for the session to empty itself, then kill what is left of it."""
    deadline = time.monotonic() + patience
    while (members := _members(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in members:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return len(members)


def _members(session: int) -> list[int]:
    """The living processes of a session (Linux only: read from /proc)."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _lives_in(path, session)]


def _lives_in(path: Path, session: int) -> bool:
    try:
        state, _parent, _group, of, *_ = (path / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(of) == session and state != "Z"
