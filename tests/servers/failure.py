"""The error for a server that cannot be started: never a skip; it says what to do."""

import shlex
from collections.abc import Iterable

TAIL = 4_000  # characters of output in an error message


class ServerFailed(Exception):
    """A server did not start: names the command, its output, and what may be missing."""


class PortTaken(ServerFailed):
    """Somebody else took the port between our look and the server's start."""


def report(what: str, command: Iterable[str], output: str, install: str) -> str:
    """The message of a ServerFailed."""
    return (
        f"{what}.\n"
        f"command: {shlex.join(command)}\n"
        f"output:\n{output[-TAIL:]}\n"
        f"If it is not installed: {install}"
    )
