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


def ran(module, folder, *packages):
    """The lines that a module prints with some packages on its path."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps")
    subprocess.run((*pip, "--target", folder / "others", *packages), check=True)
    paths = {"PYTHONPATH": f"{folder}/others:{ROOT}", "FLOWER_UNAUTHENTICATED_API": "true"}
    script = (sys.executable, "-m", f"tests.contrib.{module}", folder)
    environment = {**os.environ, **paths}
    done = subprocess.run(script, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_other_projects_work(tmp_path):
    """Each uses a backend as its users do; they are installed for this test alone."""
    assert ran("beside", tmp_path, *PACKAGES, *NEEDED_BY_FLOWER) == WORKING


@pytest.mark.slow
def test_results_of_django_are_read(tmp_path):
    """`fallback=django-db`: results and groups of django-celery-results, in a real database."""
    assert ran("old_django", tmp_path, "django-celery-results==2.6.0") == ["read"]
