"""`python -m tests.celery_suite --url kv+sqlite:///results.db [--select quick|all] [-- ARGUMENTS]`.

Everything after `--` is for pytest. A relative path in the URL is one in the run's own folder.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from tests.celery_suite import gate, outcome, processes, source
from tests.servers import SERVERS, Server, redis_server

HERE = Path(__file__).parent
FILES = ["t/integration/test_canvas.py", "t/integration/test_tasks.py"]


def main() -> int:
    """Run the suite; 0 only if every item that ran passed and no process was left behind."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started = time.monotonic()
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="celery-suite-")))
        redis = running.enter_context(redis_server())
        url = _with_server(arguments.url, redis, running)
        if arguments.open_redis_gate and gate.opens(url):
            url = gate.open_gate(url, folder)
        record = arguments.record or folder / "record.jsonl"
        status, left_behind = processes.run(
            [*_pytest(arguments), *_selected(arguments), *arguments.pytest],
            source.unpack(folder),
            _environment(url, redis, folder, record),
        )
        items = outcome.read(record)
    print(outcome.tell(items, time.monotonic() - started))
    if left_behind:
        print(f"celery-suite: {left_behind} processes were still there at the end")
    return status or int(bool(left_behind) or not items or outcome.count(items)["failed"] > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.celery_suite", description="Celery's own integration suite."
    )
    parser.add_argument(
        "--url",
        default="kv+sqlite:///results.db",
        help="the result backend; a URL that names no server, as kv+mongodb://, gets one "
        "[%(default)s]",
    )
    parser.add_argument("--select", choices=["quick", "all"], default="all", help="[%(default)s]")
    parser.add_argument(
        "--share", default="1/1", metavar="I/N", help="of `quick`, every Nth item from the Ith on"
    )
    parser.add_argument(
        "--open-redis-gate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with a kv+ URL: run also the tests that want a URL starting with redis [yes]",
    )
    parser.add_argument(
        "--no-reruns", action="store_true", help="a test that fails once has failed"
    )
    parser.add_argument("--record", type=Path, help="keep all reports in this file, in JSON lines")
    parser.add_argument("pytest", nargs="*", metavar="ARGUMENT", help="after --: for pytest")
    arguments = parser.parse_args()
    if arguments.record:
        arguments.record = arguments.record.absolute()
        arguments.record.unlink(missing_ok=True)
    return arguments


def _with_server(url: str, redis: Server, running: contextlib.ExitStack) -> str:
    """Where a URL is nothing but a scheme, that of a server which is started for it."""
    prefix, name = ("kv+", url[3:-3]) if url.startswith("kv+") else ("", url[:-3])
    if not url.endswith("://") or name not in SERVERS:
        return url
    server = redis if name == redis.name else running.enter_context(SERVERS[name]())
    return prefix + server.url


def _pytest(arguments: argparse.Namespace) -> list[str]:
    """The command, with Celery's own settings and a time limit for the tests that have none."""
    plugins = ["celery.contrib.pytest", "tests.celery_suite.recorder", "no:cacheprovider"]
    if arguments.no_reruns:
        plugins.append("no:rerunfailures")
    quiet = ["-q", "--tb=short", "--disable-warnings", "--timeout=300"]
    return [sys.executable, "-m", "pytest", *(f"-p{plugin}" for plugin in plugins), *quiet]


def _selected(arguments: argparse.Namespace) -> list[str]:
    """The tests to run: the list in quick.txt, or everything less what is in deselected.toml."""
    if arguments.select == "quick":
        lines = (HERE / "quick.txt").read_text().splitlines()
        first, step = map(int, arguments.share.split("/"))
        return [line for line in lines if line and not line.startswith("#")][first - 1 :: step]
    reasons = tomllib.loads((HERE / "deselected.toml").read_text())
    return [*FILES, *(f"--deselect={item}" for item in reasons)]


def _environment(url: str, redis: Server, folder: Path, record: Path) -> dict[str, str]:
    """Our environment without a pytest's around us, and with what the suite asks of it."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return ours | {
        "TEST_BACKEND": url,
        "TEST_BROKER": redis.url,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis.port),
        "WORKER_LOGLEVEL": "INFO",  # what the tests of the worker's log count on
        "CELERY_SUITE_RECORD": str(record),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(source.ROOT), str(folder)]),
    }


if __name__ == "__main__":
    sys.exit(main())
