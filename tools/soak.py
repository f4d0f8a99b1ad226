"""Repeats quick runs of the conformance suite: ``python tools/soak.py [TIMES]``.

The first failure ends it, because a check that fails one time in fifty must be corrected.
"""

import sys
import tempfile
import time
from pathlib import Path

from kvbackends.testing import Report, run


def main() -> int:
    """Run the suite TIMES times, by default 50; return 1 after a run with failures."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    for i in range(1, times + 1):
        began = time.monotonic()
        report = once()
        print(f"{i}/{times}: {said(report)}, {time.monotonic() - began:.1f} s", flush=True)
        if report.exit_code:
            print(report.problem, *(each.details for each in report.failed), sep="\n")
            return 1
    return 0


def once() -> Report:
    """Run the suite on both stores of the core, in a new folder."""
    with tempfile.TemporaryDirectory(prefix="kvbackends-soak-") as folder:
        return run([f"memory://{Path(folder).name}", f"sqlite:///{folder}/soak.db"], quick=True)


def said(report: Report) -> str:
    """Return a summary of the report."""
    return ", ".join([f"{report.total} runs of checks", *report.failing_checks])


if __name__ == "__main__":
    sys.exit(main())
