"""The demo in a process of its own, with its real workers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

COMMAND = [sys.executable, "-m", "examples.wordcount", "--files", "150"]
OK = re.compile(
    r"demo: OK  files=150  parts=150  words=[1-9]\d{4,}  workers_killed=1  seconds=\d+\.\d"
)
pytestmark = pytest.mark.timeout(600)


class Demo:
    """One run, with its temporary files in a folder that identifies its processes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell makes its background processes, and so their children, ignore Ctrl-C; the
            # child resets that one signal and nothing that threads could hold.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )

    def lines_until(self, beginning: str) -> None:
        for line in self.process.stdout:
            if line.startswith(beginning):
                return

    def end(self) -> tuple[int, list[str]]:
        output, _ = self.process.communicate(timeout=200)
        return self.process.returncode, output.splitlines()

    def workers(self) -> list[int]:
        mark = f"WORDCOUNT_FOLDER={self.folder}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in entry.read_bytes():
                    found.append(int(entry.parent.name))
        return found

    def leftovers(self) -> list[object]:
        """Return the remaining processes and files, after a moment for killed ones to vanish."""
        for _ in range(600):
            if not (left := [*self.workers(), *self.folder.iterdir()]):
                break
            time.sleep(0.05)
        return left


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def test_the_result_is_right_after_a_kill_and_nothing_is_left(folder: Path) -> None:
    """At the end the page of its chord is open, until Ctrl-C."""
    demo = Demo(folder, "--web")
    lines = []
    for line in demo.process.stdout:
        lines.append(line.rstrip())
        if line.startswith("kvbackends web: "):
            break
    *lines, ok, page, _ = lines
    assert OK.fullmatch(ok), "\n".join(lines)
    assert [line for line in lines if line.startswith("killed ")]
    assert lines[-1] == "its chord  make demo WEB=1 leaves its page open"
    assert chord_at(page.split()[1]).count('id="row-') >= 150
    for each in (demo.process.pid, *demo.workers()):  # as a terminal does
        os.kill(each, signal.SIGINT)
    status, _ = demo.end()
    assert status == 0
    assert demo.leftovers() == []


def chord_at(url: str) -> str:
    """The page at `url`, which is served soon."""
    for _ in range(600):
        with contextlib.suppress(OSError), urlopen(url) as page:
            return str(page.read())
        time.sleep(0.1)
    raise AssertionError(url)


def test_ctrl_c_leaves_nothing(folder: Path) -> None:
    demo = Demo(folder)
    demo.lines_until("killed ")
    assert demo.workers()
    demo.process.send_signal(signal.SIGINT)
    status, lines = demo.end()
    assert status == 128 + signal.SIGINT
    assert lines[-1].startswith("demo: FAILED")
    assert demo.leftovers() == []


def test_an_unusable_store_is_reported_as_failed(folder: Path) -> None:
    demo = Demo(folder, "--url", f"kv+sqlite:///{folder}/nowhere/results.db")
    status, lines = demo.end()
    assert status == 1
    assert lines[-1].startswith("demo: FAILED  ")
    assert "directory does not exist" in lines[-1]
    assert demo.leftovers() == []


def test_a_whole_worker_is_killed_if_the_broker_redelivers(folder: Path, rabbitmq_url: str) -> None:
    # Not Redis: kombu pops a message there before it notes it as unacknowledged, so the killed
    # worker's messages may be lost, whatever the result backend.
    demo = Demo(folder, "--broker", rabbitmq_url)
    status, lines = demo.end()
    assert OK.fullmatch(lines[-1]), "\n".join(lines)
    assert status == 0
    assert demo.leftovers() == []
