"""The cost of importing and of opening a backend, in new interpreters."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.backends import DATABASE, FILES, NORMAL, urls
from benchmarks.measure import Spread, interleaved
from benchmarks.plan import Plan
from benchmarks.rows import Row, at_most, ratio

_IMPORT = """
import celery, time
started = time.perf_counter()
import kvbackends
print(time.perf_counter() - started)
"""
# Celery imports these modules late; an app with a broker has imported them already.
_OPEN = """
import celery, sys, time
import celery.app.amqp, celery.app.task, celery.backends.base, celery.result
app = celery.Celery(backend=sys.argv[1], broker="memory://")
app.finalize()
started = time.perf_counter()
app.backend.get_task_meta("nothing")
print(time.perf_counter() - started)
"""


def imports(plan: Plan) -> Iterator[Row]:
    """The time of `import kvbackends` after `import celery`, and of a backend's first read."""
    backends = urls(plan.folder / "imports")
    runs = {"import": lambda: _fresh(_IMPORT)}
    for name in (NORMAL, DATABASE, FILES):
        runs[name] = _opening(backends[name])
    costs = interleaved(runs, plan.processes)
    added = Spread.of(each * 1000 for each in costs["import"])
    yield Row("import kvbackends after import celery", "kvbackends", "", "ms", added, at_most(40))
    opened = Spread.of(each * 1000 for each in costs[NORMAL])
    yield Row("open the backend and read", NORMAL, "", "ms", opened)
    yield ratio("open the backend and read", costs, NORMAL, DATABASE)
    yield ratio("open the backend and read", costs, NORMAL, FILES)


def drivers(_: Plan) -> Iterator[Row]:
    """The number of drivers that `import kvbackends` imports, which must be 0."""
    names = ("redis", "pymongo", "pymemcache", "cassandra", "elasticsearch", "sqlite3")
    program = f"import kvbackends, sys; print(sum(name in sys.modules for name in {names}))"
    count = Spread.of([_fresh(program)])
    yield Row("drivers loaded by import kvbackends", "kvbackends", "", "", count, at_most(0))


def _opening(url: str) -> "_Fresh":
    return _Fresh(_OPEN, url)


class _Fresh:
    def __init__(self, program: str, *args: str) -> None:
        self._program, self._args = program, args

    def __call__(self) -> float:
        return _fresh(self._program, *self._args)


def _fresh(program: str, *args: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parent.parent,
    )
    return float(done.stdout)
