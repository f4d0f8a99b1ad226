"""The keyspace and the tables: made when they are missing and that is allowed."""

from typing import Any, NamedTuple

from cassandra import AlreadyExists, InvalidRequest, Unauthorized

from kvbackends import ConfigurationError

KEYSPACE = """
CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication =
{{'class': 'NetworkTopologyStrategy', 'replication_factor': {copies}}}
"""
ENTRIES = """
CREATE TABLE IF NOT EXISTS {entries} (
    key text PRIMARY KEY, value blob, version blob, rank int
) WITH comment = 'kvbackends: results and other values'
"""
# One partition is one barrier: its control record is static, its parts are rows in buckets.
BARRIERS = """
CREATE TABLE IF NOT EXISTS {barriers} (
    barrier text, run text, bucket int, place int, member text, stamp blob,
    value blob, amount int,
    control blob static, version blob static, about blob static, chosen blob static,
    PRIMARY KEY (barrier, run, bucket, place, member, stamp)
) WITH comment = 'kvbackends: chords'
"""
USUAL_COPIES = 3


class Tables(NamedTuple):
    """Where everything is kept, and whether it may be made."""

    keyspace: str
    prefix: str
    create: bool
    copies: int

    @property
    def entries(self) -> str:
        """The table of results and other values."""
        return f"{self.keyspace}.{self.prefix}_kv"

    @property
    def barriers(self) -> str:
        """The table of chords."""
        return f"{self.keyspace}.{self.prefix}_barriers"

    def named(self, statement: str, copies: int = USUAL_COPIES) -> str:
        """The statement with the names of the tables in it."""
        return statement.format(
            keyspace=self.keyspace, entries=self.entries, barriers=self.barriers, copies=copies
        )

    def lacking(self, error: Exception) -> str:
        """What to do about tables that are not there, or not ours."""
        statements = ";".join(map(self.named, (KEYSPACE, ENTRIES, BARRIERS)))
        return f"Cassandra: {error}. What has to be there:{statements}"


def ensure(session: Any, cluster: Any, tables: Tables) -> None:
    """Make what is missing.

    Nothing is sent where nothing is missing: many workers that start at once must not all change
    the schema.
    """
    known = cluster.metadata.keyspaces
    if not tables.create:
        return
    try:
        if tables.keyspace.lower() not in known:
            copies = tables.copies or min(USUAL_COPIES, len(cluster.metadata.all_hosts()))
            _make(session, tables.named(KEYSPACE, copies))
        _make_missing_tables(session, known.get(tables.keyspace.lower()), tables)
    except (Unauthorized, InvalidRequest) as error:
        raise ConfigurationError(tables.lacking(error)) from error


def _make_missing_tables(session: Any, keyspace: Any, tables: Tables) -> None:
    there = keyspace.tables if keyspace is not None else {}
    for suffix, statement in (("kv", ENTRIES), ("barriers", BARRIERS)):
        if f"{tables.prefix}_{suffix}".lower() not in there:
            _make(session, tables.named(statement))


def _make(session: Any, statement: str) -> None:
    try:
        session.execute(statement, timeout=30)
    except AlreadyExists:
        return
