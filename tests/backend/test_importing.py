"""Importing is fast, and imports neither Celery nor any driver."""

import os
import subprocess
import sys

import pytest

DRIVERS = [
    *("redis", "pymongo", "bson", "psycopg", "cassandra", "elasticsearch", "pymemcache", "sqlite3")
]
BUDGET = 0.040
"""Seconds that the import may add to that of Celery."""


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    ).stdout.split()


def loaded(imported):
    return set(run(f"import sys; {imported}; print(*{{n.partition('.')[0] for n in sys.modules}})"))


def test_the_package_imports_no_celery_and_no_driver():
    names = loaded("import kvbackends")
    assert "kvbackends" in names
    assert names.isdisjoint({"celery", "kombu", "billiard", "vine", *DRIVERS})


def test_opening_a_store_imports_no_celery():
    names = loaded("import kvbackends; kvbackends.open_store('memory://x')")
    assert names.isdisjoint({"celery", "kombu", *DRIVERS})


def test_opening_a_backend_imports_no_asyncio():
    program = (
        "import celery; celery.Celery('x', backend='kv+memory://', broker='memory://').backend"
    )
    assert "asyncio" not in loaded(program)


@pytest.mark.parametrize("url", ["kv+memory://x", "kv+sqlite:///never-made.db"])
def test_opening_a_backend_imports_no_driver_of_another_store(url):
    names = loaded(
        f"import celery; celery.Celery('x', backend={url!r}, broker='memory://').backend"
    )
    others = {"pymongo", "bson", "psycopg", "cassandra", "elasticsearch", "pymemcache"}
    assert names.isdisjoint(others | ({"sqlite3"} if "memory" in url else set()))


@pytest.mark.parametrize(
    ("imported", "share"),
    [("import kvbackends", 0.30), ("from kvbackends import open_backend", 0.40)],
)
def test_the_import_adds_little_to_celerys(imported, share, tmp_path):
    """Less than the budget, or than a share of Celery's own import where the machine is slow.

    The first run compiles both, also where Python is told to keep no compiled code.
    """
    kept = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    program = (
        "import time\n"
        "began = time.process_time()\n"
        "import celery, celery.backends.base, celery.app.task, celery.result\n"
        "then = time.process_time()\n"
        f"{imported}\n"
        "print(then - began, time.process_time() - then)\n"
    )
    seen = []
    for _ in range(10):
        celerys, ours = map(float, run(program, **kept))
        seen.append((round(celerys, 3), round(ours, 3)))
        if ours < max(BUDGET, share * celerys):
            return
    pytest.fail(f"Celery's seconds and ours: {seen}")
