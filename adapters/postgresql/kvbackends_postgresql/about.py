"""What an operator should know of a server."""

import time

from kvbackends.contract import Fact
from kvbackends_postgresql.entries import Entries, number
from kvbackends_postgresql.versions import VERSION, checked


def about(entries: Entries) -> list[Fact]:
    """Version, role, durability and clock.  Cost: one request, which any user may make."""
    began, table = time.time(), entries.names.of("entry")
    rows = entries.ask(entries.statements.server, table)
    version, standby, fsync, commit, standbys, comment, clock = rows[0]
    now = (began + time.time()) / 2
    role = "a standby" if standby == b"\1" else "a primary"
    pooled = ", behind a pooler" if entries.connections.known().pooled else ""
    settings = {"fsync": fsync, "synchronous_commit": commit}
    is_lossy = entries.names.unlogged or b"off" in settings.values()
    kept = ", ".join(f"{name}={value.decode()}" for name, value in settings.items())
    kept += f", standbys: {standbys.decode(errors='replace')}" if standbys else ""
    kept += ", unlogged tables" if entries.names.unlogged else ""
    loses = ": a crash loses the latest results" if is_lossy else ""
    return [
        Fact("server", f"PostgreSQL {version.decode().split()[0]}, {role}{pooled}"),
        Fact("durability", kept + loses, is_lossy),
        Fact("clock", f"{number(clock) - now:+.3f} s from here"),
        *_older(checked(comment and comment.decode(), entries.names)),
    ]


def _older(tables: int) -> list[Fact]:
    """What to do about tables of an older version."""
    if tables == VERSION:
        return []
    command = "python -m kvbackends_postgresql --upgrade URL"
    return [Fact("tables", f"of version {tables}: `{command}` brings them to version {VERSION}")]
