"""The keyspace and the two tables, and how they are created."""

from collections import Counter
from collections.abc import Iterable
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
# A barrier is a partition: its control record is in static columns, its parts are rows in buckets.
BARRIERS = """
CREATE TABLE IF NOT EXISTS {barriers} (
    barrier text, run text, bucket int, place int, member text, stamp blob,
    value blob, amount int,
    control blob static, version blob static, payload blob static, chosen blob static,
    PRIMARY KEY (barrier, run, bucket, place, member, stamp)
) WITH comment = 'kvbackends: chords'
"""
USUAL_COPIES = 3


class Tables(NamedTuple):
    """The names of the tables, and whether the adapter may create them."""

    keyspace: str
    prefix: str
    create: bool
    copies: int
    """Replicas in each data center, in a keyspace that the adapter creates.

    0 means `USUAL_COPIES`, at most one for each node.
    """

    @property
    def entries(self) -> str:
        """The table of results and other values."""
        return f"{self.keyspace}.{self.prefix}_kv"

    @property
    def barriers(self) -> str:
        """The table of chords."""
        return f"{self.keyspace}.{self.prefix}_barriers"

    def named(self, statement: str, copies: str = str(USUAL_COPIES)) -> str:
        """The statement with the tables' names filled in."""
        return statement.format(
            keyspace=self.keyspace, entries=self.entries, barriers=self.barriers, copies=copies
        )

    def missing(self, error: Exception) -> str:
        """The message for tables that are missing, or were made by another program."""
        statements = ";".join(map(self.named, (KEYSPACE, ENTRIES, BARRIERS)))
        return f"Cassandra: {error}. Run these statements as a user who may:{statements}"


def ensure(session: Any, cluster: Any, tables: Tables) -> None:
    """Create the keyspace and the tables that are missing, if that is allowed.

    Sends nothing if none is missing, so that workers that start together do not all change the
    schema.  Raises `ConfigurationError` if the user may not create them.
    """
    known = cluster.metadata.keyspaces
    if not tables.create:
        return
    try:
        if tables.keyspace.lower() not in known:
            copies = str(tables.copies) if tables.copies else _copies(cluster.metadata.all_hosts())
            _create(session, tables.named(KEYSPACE, copies))
        _create_missing_tables(session, known.get(tables.keyspace.lower()), tables)
    except (Unauthorized, InvalidRequest) as error:
        raise ConfigurationError(tables.missing(error)) from error


def _copies(hosts: Iterable[Any]) -> str:
    """The number of replicas, and the lower one of each data center that has fewer nodes."""
    nodes = Counter(each.datacenter for each in hosts)
    most = min(USUAL_COPIES, max(nodes.values()))
    fewer = {center: count for center, count in nodes.items() if count < most}
    return "".join([str(most), *(f", '{center}': {count}" for center, count in fewer.items())])


def _create_missing_tables(session: Any, keyspace: Any, tables: Tables) -> None:
    there = keyspace.tables if keyspace is not None else {}
    for suffix, statement in (("kv", ENTRIES), ("barriers", BARRIERS)):
        if f"{tables.prefix}_{suffix}".lower() not in there:
            _create(session, tables.named(statement))


def _create(session: Any, statement: str) -> None:
    try:
        session.execute(statement, timeout=30)
    except AlreadyExists:
        return
