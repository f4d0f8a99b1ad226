"""What an operator should know of a server."""

import time

from kvbackends.contract import Fact
from kvbackends_postgresql.entries import Entries, number


def about(entries: Entries) -> list[Fact]:
    """Version, role, durability and clock.  Cost: one request, which any user may make."""
    began = time.time()
    ((version, standby, fsync, commit, standbys, clock),) = entries.ask(entries.statements.server)
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
    ]
