"""``python -m examples.wordcount [--url kv+sqlite:////tmp/results.db] [--broker redis://…]``."""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from examples.wordcount.workers import Workers
from kvbackends.contract import StoreURL


def main() -> int:
    """Run the job in a temporary folder, and return the exit status."""
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wordcount-") as folder:
        set_environment(arguments, folder)
        # This import makes Celery read its settings from the environment.
        from examples.wordcount.run import run

        try:
            with all_workers(Path(folder)) as workers:
                report = run(workers, arguments.files)
        except KeyboardInterrupt:
            print("\ndemo: FAILED  interrupted")
            return 128 + signal.SIGINT
        except Exception as error:  # noqa: BLE001 - any error is reported in the last line
            print(f"demo: FAILED  {type(error).__name__}: {' '.join(str(error).split())}")
            return 1
        figures = report._asdict()
        chord = figures.pop("chord")
        print(f"its chord  {command(arguments.url, chord)}")
        counts = "  ".join(f"{name}={number}" for name, number in figures.items())
        print(f"demo: OK  {counts}  seconds={time.monotonic() - started:.1f}")
        if arguments.web:
            show(chord)
    return 0


def command(url: str | None, chord: str) -> str:
    """Return the command that shows the chord; the default's results are removed at the end."""
    if url is None:
        return "make demo WEB=1 leaves its page open"
    return f"kvbackends chord '{StoreURL.parse(url)}' {chord}"


def show(chord: str) -> None:
    """Serve the page of the chord until Ctrl-C."""
    from examples.wordcount.app import app

    with socket.create_server(("127.0.0.1", 0)) as free:
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    print(f"open       http://{bind}/chord?id={chord}", flush=True)
    url = app.backend.as_uri(include_password=True)
    web = (sys.executable, "-m", "kvbackends.cli", "web", url, "--bind", bind)
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(web, check=False)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.wordcount", description=__doc__)
    parser.add_argument("--url", help="where results are stored (default: a new SQLite file)")
    parser.add_argument("--broker", help="Celery's broker (default: files in a temporary folder)")
    parser.add_argument("--web", action="store_true", help="leave the chord's page open at the end")
    parser.add_argument("--files", type=int, help="count only the first FILES files")
    return parser


def set_environment(arguments: argparse.Namespace, folder: str) -> None:
    """Set the variables that `settings` reads, in this process and in the workers."""
    os.environ["WORDCOUNT_FOLDER"] = folder
    os.environ["WORDCOUNT_URL"] = arguments.url or ""
    os.environ["WORDCOUNT_BROKER"] = arguments.broker or ""
    os.environ["WORDCOUNT_QUEUE"] = f"wordcount-{uuid.uuid4().hex[:8]}"


@contextlib.contextmanager
def all_workers(folder: Path) -> Iterator[Workers]:
    """Yield workers that are stopped afterwards; if the job fails, print the end of their logs."""
    from examples.wordcount.run import delete_queue

    workers = Workers(folder)
    try:
        yield workers
    except Exception:
        for line in workers.log_tails():
            print(line)
        raise
    finally:
        # A second Ctrl-C must not interrupt the clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        workers.stop()
        delete_queue()


if __name__ == "__main__":
    sys.exit(main())
