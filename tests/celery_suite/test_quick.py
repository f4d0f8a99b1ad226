"""A part of Celery's own integration suite, on SQLite, in less than two minutes."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.celery_suite.source import ROOT

PYTHON = ROOT / ".venv-suite" / "bin" / "python"
ITEMS = 59


@pytest.mark.timeout(400)
def test_celerys_own_tests_pass_on_sqlite(tmp_path: Path) -> None:
    """None fails, none is skipped, and none needs a second try."""
    python = os.environ.get("CELERY_SUITE_PYTHON", PYTHON)
    assert Path(python).exists(), "the suite has an environment of its own: make .venv-suite/.ready"
    url = f"kv+sqlite:///{tmp_path}/results.db"
    command = [python, "-m", "tests.celery_suite", "--select", "quick", "--url", url, "--no-reruns"]
    run = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    figures = dict(re.findall(r"(\w+)=(\d+)", run.stdout.splitlines()[-1]))
    assert run.returncode == 0, run.stdout
    assert figures["failed"] == figures["skipped"] == "0", run.stdout
    assert figures["items"] == str(ITEMS), run.stdout
