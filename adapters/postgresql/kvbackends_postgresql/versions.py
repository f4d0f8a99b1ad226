"""The versions of the tables, and how older tables are brought up to date.

Clients of this version work with the tables of each version that `upgrade` knows, only slower, and
clients that run while the tables change go on.  So an administrator chooses the moment.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Error
from psycopg.conninfo import make_conninfo

from kvbackends import ConfigurationError
from kvbackends_postgresql.errors import NO_RIGHT
from kvbackends_postgresql.names import Names
from kvbackends_postgresql.options import Target

VERSION = 2
"""In the comment of the table `entry`.  Version 2 has smaller indexes for `find`."""

_MARK = "kvbackends, tables of version "
_STEPS = {
    1: """
CREATE INDEX CONCURRENTLY IF NOT EXISTS {tasks} ON {entry} (task, state) WHERE task IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {states} ON {entry} (state) WHERE state <> 'SUCCESS';
CREATE INDEX CONCURRENTLY IF NOT EXISTS {workers} ON {entry} (worker) WHERE worker IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS {task};
DROP INDEX CONCURRENTLY IF EXISTS {state};
DROP INDEX CONCURRENTLY IF EXISTS {worker}"""
}
"""The statements from each version to the next.  None of them keeps clients from writing."""
_LOCK = 2000
"""The second number of the advisory lock, beside those of the buckets and of the first use."""
_PAUSE = 0.2
"""Seconds after which a process asks again whether another one has ended its upgrade."""


def mark(version: int = VERSION) -> str:
    """The comment of tables of a version."""
    return f"{_MARK}{version}"


def checked(comment: str | None, names: Names) -> int:
    """The version of tables with this comment.

    Raises `ConfigurationError` if this program cannot use them.
    """
    found = re.fullmatch(rf"{_MARK}(\d+)", comment or "")
    version = int(found[1]) if found else None
    if version is not None and version <= VERSION:
        return version
    made, help_ = "another program", ""
    if version is not None:
        made = f"a newer kvbackends (version {version})"
        help_ = "upgrade kvbackends-postgresql, or "
    raise ConfigurationError(
        f"the table {names.of('entry')} was made by {made}: this kvbackends needs tables of "
        f"version {VERSION} or older; {help_}name others by the option `table`"
    )


def upgrade(target: Target) -> int:
    """Bring the tables to the newest version; returns the version that they had.

    Many may come at once: one of them does it, and the others wait for it.

    Raises:
        ConfigurationError: The tables are missing or newer, the user is not their owner, or there
            is a pooler between, through which a lock cannot be held.
    """
    names = target.names
    with _connected(target.listening or target) as connection, _alone(connection, names):
        row = connection.execute(
            "SELECT to_regclass(%s), obj_description(to_regclass(%s), 'pg_class')",
            [names.of("entry")] * 2,
        ).fetchone()
        if row[0] is None:
            raise ConfigurationError(f"there is no table {names.of('entry')}: nothing to upgrade")
        began = checked(row[1], names)
        for version in range(began, VERSION):
            _drop_broken(connection, names)
            for step in _STEPS[version].split(";"):
                connection.execute(_filled(step, names))
            connection.execute(f"COMMENT ON TABLE {names.of('entry')} IS '{mark(version + 1)}'")
        return began


@contextmanager
def _connected(target: Target) -> Iterator[Any]:
    """A connection to the server itself; each statement is a transaction."""
    try:
        conninfo = make_conninfo(**target.parameters)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            ((process,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
            if process != connection.info.backend_pid:
                raise ConfigurationError(
                    "a pooler is between this program and PostgreSQL: upgrade by a URL of the "
                    "server itself, or with the option `listen`"
                )
            yield connection
    except Error as error:
        owner = "; the owner of the tables may" if error.sqlstate == NO_RIGHT else ""
        raise ConfigurationError(f"PostgreSQL: {str(error).strip()}{owner}") from error


@contextmanager
def _alone(connection: Any, names: Names) -> Iterator[None]:
    """Wait for others, but not inside a statement: an index would wait for that to end."""
    which = [names.lock_class, _LOCK]
    while not connection.execute("SELECT pg_try_advisory_lock(%s, %s)", which).fetchone()[0]:
        time.sleep(_PAUSE)
    yield  # the lock ends with the connection


def _drop_broken(connection: Any, names: Names) -> None:
    """Drop the indexes whose making was interrupted; writes change them, and no read uses them."""
    found = connection.execute(
        "SELECT indexrelid::regclass::text FROM pg_index "
        "WHERE indrelid = %s::regclass AND NOT indisvalid",
        [names.of("entry")],
    )
    for (index,) in found.fetchall():
        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")


def _filled(step: str, names: Names) -> str:
    """A step with its names."""
    for index in ("tasks", "states", "workers"):
        step = step.replace(f"{{{index}}}", names.index(f"entry_{index}"))
    for index in ("task", "state", "worker"):
        step = step.replace(f"{{{index}}}", names.of(f"entry_{index}"))
    return names.filled(step)
