"""Known schemes, so that the error for one that is missing can say what to install or write."""

_SCHEMES = {
    "redis": "redis rediss redis+socket unix sentinel redis+cluster rediss+cluster",
    "mongodb": "mongodb mongodb+srv",
    "postgresql": "postgresql postgres postgresql+psycopg postgresql+psycopg2 "
    "db+postgresql db+postgresql+psycopg db+postgresql+psycopg2",
    "elasticsearch": "elasticsearch elasticsearch+http elasticsearch+https "
    "opensearch opensearch+http opensearch+https",
    "cassandra": "cassandra",
    "memcached": "memcached cache+memcached cache+memcache cache+pymemcache cache+pylibmc",
}

EXTRAS = {scheme: extra for extra, schemes in _SCHEMES.items() for scheme in schemes.split()}
"""Scheme -> the extra of kvbackends that installs its adapter."""

_FILE = "kv+sqlite:////var/lib/app/results.db (one file for all processes of one host)"
_SERVER = "kv+redis://host:6379/0, kv+postgresql://host/results or kv+mongodb://host/results"

_CELERYS = {
    "file": _FILE,
    "db+sqlite": _FILE,
    "cache+memory": "kv+memory:// (for tests, in one process)",
    **dict.fromkeys(("db", "database", "django-db", "django-cache"), f"{_SERVER}, or {_FILE}"),
    **dict.fromkeys(("rpc", "amqp", "s3", "gs", "azureblockblob", "consul"), _SERVER),
    **dict.fromkeys(("dynamodb", "couchdb", "couchbase", "arangodb", "cosmosdbsql"), _SERVER),
}
"""Celery's backends that have no adapter here -> the URLs of stores that take their places."""


def replacement(scheme: str) -> str | None:
    """Return the URLs to use in place of a backend of Celery's, or None if it is none."""
    base = scheme.partition("+")[0]
    dialect = "+".join(scheme.split("+")[:2])  # db+sqlite+pysqlite names its driver, too
    return _CELERYS.get(scheme) or _CELERYS.get(dialect) or _CELERYS.get(base)


def install_line(scheme: str) -> str | None:
    """Return the command that installs the adapter of a scheme, or None if none is known."""
    extra = EXTRAS.get(scheme)
    return extra and f'pip install "kvbackends[{extra}]"'
