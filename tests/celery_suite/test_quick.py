"""A part of Celery's own integration suite, on SQLite, in less than a minute."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.celery_suite.source import ROOT

PYTHON = ROOT / ".venv-suite" / "bin" / "python"
ITEMS = 59
SHARES = 3
"""At once: each waits nine seconds of ten, for workers that sleep and answers that do not come."""


@pytest.mark.timeout(600)
def test_celerys_own_tests_pass_on_sqlite(tmp_path: Path) -> None:
    """None fails, none is skipped, and none needs a second try."""
    python = os.environ.get("CELERY_SUITE_PYTHON", PYTHON)
    assert Path(python).exists(), "the suite has an environment of its own: make .venv-suite/.ready"
    common = [python, "-m", "tests.celery_suite", "--select", "quick", "--no-reruns"]

    def run(share: int) -> int:
        url = f"kv+sqlite:///{tmp_path}/results-{share}.db"
        ran = subprocess.run(
            [*common, "--share", f"{share}/{SHARES}", "--url", url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        figures = dict(re.findall(r"(\w+)=(\d+)", ran.stdout.splitlines()[-1]))
        assert figures["failed"] == figures["skipped"] == "0", ran.stdout
        return int(figures["items"])

    with ThreadPoolExecutor(SHARES) as pool:
        assert sum(pool.map(run, range(1, SHARES + 1))) == ITEMS
