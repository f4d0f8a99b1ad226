"""Quick runs of the conformance suite, one after the other: ``python tools/soak.py [TIMES]``.

The first failure ends it: a check that fails one time in fifty is mended, not repeated.
"""

import sys
import tempfile
import time
from pathlib import Path

from kvbackends.testing import Report, run


def main() -> int:
    """As often as told, else 50 times; 1 if a run was not green."""
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
    """Both stores of the core, in a fresh place."""
    with tempfile.TemporaryDirectory(prefix="kvbackends-soak-") as folder:
        return run([f"memory://{Path(folder).name}", f"sqlite:///{folder}/soak.db"], quick=True)


def said(report: Report) -> str:
    """What came of it, in a few words."""
    return ", ".join([f"{report.total} runs of checks", *report.failing_checks])


if __name__ == "__main__":
    sys.exit(main())
