"""The `kvbackends` command.

`main` is its entry point. What the command stands on comes with the extra ``kvbackends[testing]``;
without it the command says so and ends with status 2.
"""

import sys
from importlib import import_module
from importlib.util import find_spec

NEEDED = ("click", "rich", "pytest", "hypothesis")
INSTALL = 'pip install "kvbackends[testing]"'

PASSED, FAILED, CANNOT_RUN = 0, 1, 2
"""The exit statuses."""


def main() -> None:
    """Run the command, and exit with its status."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"kvbackends: {', '.join(missing)} not installed; run: {INSTALL}\n")
        sys.exit(CANNOT_RUN)
    import_module("kvbackends.cli.app").command(prog_name="kvbackends")
