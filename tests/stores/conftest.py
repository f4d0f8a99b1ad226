"""Fixtures: a SQLite file for each test, and processes that use it."""

import gc
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvbackends.stores.sqlite import SQLiteOptions, SQLiteStore
from tests.support.suites import java_is_slow

Opener = Callable[..., SQLiteStore]
Together = Callable[[Callable[[int], object], int], list[int]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


@pytest.fixture
def open_sqlite(path: Path) -> Iterator[Opener]:
    """Open the test's file, without layers; options are keywords."""
    opened: list[SQLiteStore] = []

    def open_one(**options: object) -> SQLiteStore:
        opened.append(SQLiteStore(str(path), SQLiteOptions(**options)))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def store(open_sqlite: Opener) -> SQLiteStore:
    return open_sqlite()


@pytest.fixture(
    params=java_is_slow(
        ["sqlite", "redis", "memcached", "mongodb", "postgresql", "elasticsearch", "cassandra"]
    )
)
def any_url(request: pytest.FixtureRequest, path: Path) -> str:
    """The URL of each kind of store in turn, without ``kv+``."""
    if request.param == "sqlite":
        return f"sqlite:///{path}"
    return str(request.getfixturevalue(f"{request.param}_url"))


def begin(work: Callable[[], object], seconds: int = 40, fork: Callable[[], int] = os.fork) -> int:
    """Fork a child that runs `work`, and return its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the tests fork while threads run
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
    return child


def ended(child: int) -> int:
    """Wait for a child, and return 0 if its work returned."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_processes(work: Callable[[int], object], count: int) -> list[int]:
    """Run ``work(number)`` in `count` children at once, and return their exit codes."""
    return [ended(child) for child in [begin(lambda n=n: work(n)) for n in range(count)]]


def open_files() -> int:
    """Return the number of open files of this process."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def python(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start a Python process that runs `code`, with its output in a pipe."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
