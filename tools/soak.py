"""Repeats quick runs of the conformance suite: ``python -m tools.soak [TIMES] [--on SERVER]``.

It runs on both stores of the core, or on the servers that are named, which it starts. The first
failure ends it, because a check that fails one time in fifty must be corrected.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from kvbackends.testing import Report, run
from tests.servers import SERVERS


def main() -> int:
    """Run the suite TIMES times, by default 50; return 1 after a run with failures."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("times", nargs="?", type=int, default=50)
    parser.add_argument("--on", action="append", default=[], choices=SERVERS, metavar="SERVER")
    wanted = parser.parse_args()
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(SERVERS[each]()).url for each in wanted.on]
        for i in range(1, wanted.times + 1):
            began = time.monotonic()
            report = once(urls)
            took = f"{time.monotonic() - began:.1f} s"
            print(f"{i}/{wanted.times}: {said(report)}, {took}", flush=True)
            if report.exit_code:
                print(report.problem)
                for each in report.failed:
                    print(each.details, each.printed, sep="\n")
                return 1
    return 0


def once(urls: Iterable[str]) -> Report:
    """Run the suite on the URLs, by default on both stores of the core in a new folder."""
    with tempfile.TemporaryDirectory(prefix="kvbackends-soak-") as folder:
        own = (f"memory://{Path(folder).name}", f"sqlite:///{folder}/soak.db")
        return run([*urls] or own, quick=True)


def said(report: Report) -> str:
    """Return a summary of the report."""
    return ", ".join([f"{report.total} runs of checks", *report.failing_checks])


if __name__ == "__main__":
    sys.exit(main())
