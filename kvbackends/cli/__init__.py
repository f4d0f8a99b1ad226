"""The `kvbackends` command.

`main` is its entry point.  Every subcommand but `conformance` runs with the base install; that one
stands on the extra ``kvbackends[testing]``, and without it says so and ends with status 2.
"""

from importlib import import_module

NEEDED = ("click", "rich", "pytest", "hypothesis")
"""What `conformance` imports."""
INSTALL = 'pip install "kvbackends[testing]"'

PASSED, FAILED, CANNOT_RUN = 0, 1, 2
"""The exit statuses."""


def main() -> None:
    """Run the command, and exit with its status."""
    import_module("kvbackends.cli.app").command(prog_name="kvbackends")
