"""Where Celery's own backends keep results on the tests' servers."""

from typing import Any
from urllib.parse import urlsplit


def old_cassandra(url: str) -> dict[str, Any]:
    """The settings of Celery's backend for the server at `url`, with a keyspace for it."""
    from cassandra.cluster import Cluster

    place = urlsplit(url)
    with Cluster([place.hostname], port=place.port) as cluster:
        cluster.connect().execute(
            "CREATE KEYSPACE IF NOT EXISTS celery_old WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
    return {
        "cassandra_servers": [place.hostname],
        "cassandra_port": place.port,
        "cassandra_keyspace": "celery_old",
        "cassandra_table": "tasks",
        "cassandra_read_consistency": "ONE",
        "cassandra_write_consistency": "ONE",
    }


def old_postgresql(url: str) -> str:
    """The URL of Celery's SQLAlchemy backend for the server at `url`, with psycopg 3."""
    return f"db+{url.replace('postgresql://', 'postgresql+psycopg://')}"
