"""Runs the suite in a process of its own, for `kvbackends.testing.run` and the command."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

URLS = "KVBACKENDS_STORE_URLS"
"""The environment variable with the URLs, as JSON: arguments would show their passwords."""
INI = """[pytest]
addopts = --import-mode=importlib -p no:cacheprovider
python_classes = Test*
python_files = test_*.py
xfail_strict = true
"""
GRACE = 15.0
"""Seconds that a check has after its time limit to report the failure itself."""
PARTING = 5.0
"""Seconds that the process has to end after each signal."""
SHOWN = 4000
"""Characters of the process's output that are shown when it could not run."""


class Finished(NamedTuple):
    """The end of the process."""

    status: int
    """0: all passed; 1: some failed; other: it could not run."""
    problem: str
    """The reason why it could not run, or did not end."""
    amid: dict[str, Any] | None = None
    """The check that was running when it ended."""


class _Late(Exception):
    """A time limit has passed."""


class Process:
    """Runs the suite on `urls`, with more `words` for pytest, for at most `longest` seconds."""

    def __init__(self, urls: Sequence[str], words: Sequence[str], longest: float) -> None:
        self._urls = urls
        self._words = words
        self._longest = longest
        self._amid: dict[str, Any] | None = None
        self._status: int | None = None
        self._until = 0.0

    def run(self, on_event: Callable[[dict[str, Any]], object]) -> Finished:
        """Run the process; calls `on_event` with each of its events."""
        with tempfile.TemporaryDirectory(prefix="kvbackends-") as folder:
            read, write = os.pipe()
            with open(f"{folder}/output", "w+b") as output:  # noqa: PTH123 - not a path
                process = self._begin(folder, write, output.fileno())
                os.close(write)
                late = self._listen(process, read, on_event)
                output.seek(0)
                return self._finished(process, late, output.read().decode(errors="replace"))

    def _begin(self, folder: str, write: int, output: int) -> "subprocess.Popen[bytes]":
        with open(f"{folder}/pytest.ini", "w") as ini:  # noqa: PTH123 - not a path
            ini.write(INI)
        options = ["-c", f"{folder}/pytest.ini", "--rootdir", folder, f"--store-report={write}"]
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            [
                *(sys.executable, "-m", "pytest", "-q", *options),
                *(
                    "-p",
                    "kvbackends.testing.plugin",
                    "--pyargs",
                    "kvbackends.testing",
                    *self._words,
                ),
            ],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            pass_fds=[write],
            env=os.environ | {URLS: json.dumps(list(self._urls))},
            process_group=0,
        )

    def _listen(
        self,
        process: "subprocess.Popen[bytes]",
        read: int,
        on_event: Callable[[dict[str, Any]], object],
    ) -> str:
        """Listen until the process has finished; the reason if it was ended, else empty."""
        self._until = time.monotonic() + self._longest
        try:
            for line in self._lines(read):
                self._take(json.loads(line), on_event)
                if self._status is not None:
                    break
        except _Late as late:
            return str(late)
        else:
            _wait(process)
            return ""
        finally:
            os.close(read)
            _end(process)

    def _take(self, event: dict[str, Any], on_event: Callable[[dict[str, Any]], object]) -> None:
        match event["event"]:
            case "began":
                self._amid = event
            case "ended":
                self._amid = None
            case "finished":
                self._status = event["status"]
            case _:
                on_event(event)

    def _lines(self, read: int) -> Iterator[bytes]:
        pending = b""
        while select.select([read], [], [], self._patience())[0]:
            data = os.read(read, 1 << 16)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            yield from lines
        which = "the check" if self._until > time.monotonic() else "the run"
        raise _Late(f"{which} did not end in time, and was ended; what follows it was not run")

    def _patience(self) -> float:
        left = max(self._until - time.monotonic(), 0)
        return left if self._amid is None else min(left, self._amid["longest"] + GRACE)

    def _finished(self, process: "subprocess.Popen[bytes]", late: str, output: str) -> Finished:
        amid = self._amid and {
            name: value for name, value in self._amid.items() if name not in {"event", "longest"}
        }
        if self._status is not None:
            said = output.strip()[-SHOWN:] or f"pytest ended with status {self._status}"
            return Finished(self._status, said)
        if amid is not None:
            ended = late or f"the process ended with status {process.returncode} in this check"
            return Finished(1, ended, {**amid, "details": output.strip()[-SHOWN:]})
        return Finished(2, late or output.strip()[-SHOWN:] or "the suite never began")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process group: SIGINT first, so that checks can clean up, then SIGKILL."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            _wait(process)


def _wait(process: "subprocess.Popen[bytes]") -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(PARTING)
