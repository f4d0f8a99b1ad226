"""Other projects of Celery's world work on this backend as on Celery's own.

Airflow's fetcher of states is in `tests/backend/test_programs.py`; it needs no Airflow.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("celery-progress==0.5", "celery-once==3.0.1", "celery-batches==0.11", "flower==2.0.1")
NEEDED_BY_FLOWER = (
    "tornado==6.6.1",
    "humanize==4.17.0",
    "prometheus-client==0.26.0",
    "pytz==2026.6",
)
WORKING = ["celery-progress", "celery-once", "celery-batches", "abortable", "flower"]


@pytest.mark.slow
def test_other_projects_work(tmp_path):
    """Each uses a backend as its users do; they are installed for this test alone."""
    wanted = (*PACKAGES, *NEEDED_BY_FLOWER)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps")
    subprocess.run((*pip, "--target", tmp_path / "others", *wanted), check=True)
    paths = {"PYTHONPATH": f"{tmp_path}/others:{ROOT}", "FLOWER_UNAUTHENTICATED_API": "true"}
    script = (sys.executable, "-m", "tests.contrib.beside")
    done = subprocess.run(
        (*script, f"kv+sqlite:///{tmp_path}/results.db", tmp_path),
        capture_output=True, text=True, env={**os.environ, **paths}, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == WORKING
