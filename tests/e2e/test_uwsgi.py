"""A real uWSGI in its default mode: the application is loaded, then forked in C, without hooks."""

import os
import signal
import sysconfig
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from celery import Celery

from tests.servers.process import HOST, Server

ROOT = Path(__file__).parents[2]
PLUGIN = "python{}{}".format(*sysconfig.get_python_version().split("."))
WORKERS, TASKS, READS, WAITS = 4, 100, 1000, 8
SLOW = pytest.mark.slow


class UWSGI(Server):
    """A uWSGI with a master process and workers, on Debian's Python with our packages."""

    name = "uwsgi"
    install = "apt-get install --no-install-recommends uwsgi-core uwsgi-plugin-python3"

    def __init__(self, store: str, *arguments: str, **environment: str) -> None:
        super().__init__()
        self._arguments = arguments
        self._environment = {"KVBACKENDS_E2E_STORE": store, **environment}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def version(self) -> str:
        return ""

    def environment(self) -> dict[str, str]:
        # No .pth file is read in PYTHONPATH: an editable installation is named by its folder.
        adapters = sorted(map(str, ROOT.glob("adapters/*/")))
        places = [str(ROOT), *adapters, sysconfig.get_path("purelib")]
        return {**os.environ, "PYTHONPATH": ":".join(places), **self._environment}

    def command(self) -> list[str]:
        address = f"{HOST}:{self.port}"
        workers = ["--master", "--processes", str(WORKERS), "--need-app"]
        module = ["--module", "tests.e2e.uwsgi_app", *self._arguments]
        return ["uwsgi-core", "--plugin", PLUGIN, "--http-socket", address, *workers, *module]

    def answers(self) -> bool:
        return self.get("/?0")[1] == "0"

    def get(self, path: str) -> list[str]:
        """The process id of the worker, and the value that it read."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as answer:
            return answer.read().decode().split()


@pytest.fixture(
    params=[
        *("sqlite", "redis", "memcached", "postgresql"),
        *(pytest.param(each, marks=SLOW) for each in ("mongodb", "elasticsearch", "cassandra")),
    ]
)
def app(request, tmp_path):
    """An app whose store has the results of all tasks."""
    if not Path(f"/usr/lib/uwsgi/plugins/{PLUGIN}_plugin.so").exists():
        pytest.skip(f"this system has no uWSGI for Python {sysconfig.get_python_version()}")
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/results.db"
    else:
        url = request.getfixturevalue(f"{request.param}_url")
    app = Celery("client", broker="memory://", backend=f"kv+{url}", set_as_current=False)
    app.conf.update(result_expires=300)
    for n in range(TASKS):
        app.backend.store_result(str(n), n, "SUCCESS")
    yield app
    app.backend.store.close()
    app.close()


def test_each_request_reads_its_own_result(app, tmp_path):
    """Of 1,000 concurrent reads in all workers every answer is of its own task; waits return.

    MongoDB's and Cassandra's drivers have threads, so uWSGI is told to run Python's hooks
    (docs/results.md).
    """
    has_threads = app.backend.url.startswith(("mongodb", "cassandra"))
    hooks = ["--py-call-osafterfork"] if has_threads else []
    threads = {"KVBACKENDS_E2E_THREADS": "1"} if hooks else {}
    with (
        UWSGI(f"kv+{app.backend.url}", *hooks, **threads) as server,
        ThreadPoolExecutor(16) as pool,
    ):
        answers = list(pool.map(server.get, [f"/?{n % TASKS}" for n in range(READS)]))
        wrong = [(n, value) for n, (_, value) in enumerate(answers) if value != str(n % TASKS)]
        assert wrong == []
        assert len({pid for pid, _ in answers}) > 1
        run = tmp_path.name
        waiting = [pool.submit(server.get, f"/wait?{run}-{n}") for n in range(WAITS)]
        for n in range(WAITS):
            app.backend.store_result(f"{run}-{n}", n, "SUCCESS")
        assert [each.result()[1] for each in waiting] == [str(n) for n in range(WAITS)]


@pytest.mark.parametrize("app", ["redis"], indirect=True)
def test_workers_are_forked_again(app):
    """A worker that is forked later reads too, while a thread of ours is left in the master.

    The hooks of Python's, which the option makes uWSGI call, make the interpreter's lock anew.
    """
    threads = {"KVBACKENDS_E2E_THREADS": "1"}
    with UWSGI(
        f"kv+{app.backend.url}", "--py-call-osafterfork", "--processes", "1", **threads
    ) as server:
        for _ in range(3):
            pid, value = server.get("/?7")
            assert value == "7"
            os.kill(int(pid), signal.SIGKILL)
