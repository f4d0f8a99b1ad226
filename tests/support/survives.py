"""Runs `tests.support.struck` on a store, in a process of its own."""

import subprocess
import sys


def survives(url: str, handler: str, times: int = 12) -> None:
    """Assert that the store at `url` bears so many signals, whose handler raises or calls it."""
    program = [sys.executable, "-m", "tests.support.struck", url, handler, str(times)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
