"""Adapters that are known to exist, so that an unknown scheme says what to install."""

EXTRAS = {
    "redis": "redis",
    "rediss": "redis",
    "redis+socket": "redis",
    "unix": "redis",
    "sentinel": "redis",
    "redis+cluster": "redis",
    "rediss+cluster": "redis",
    "mongodb": "mongodb",
    "mongodb+srv": "mongodb",
    "elasticsearch": "elasticsearch",
    "elasticsearch+http": "elasticsearch",
    "elasticsearch+https": "elasticsearch",
    "cassandra": "cassandra",
    "memcached": "memcached",
    "cache+memcached": "memcached",
    "cache+memcache": "memcached",
    "cache+pymemcache": "memcached",
    "cache+pylibmc": "memcached",
}
"""Scheme -> the extra of kvbackends that installs its adapter."""


def install_line(scheme: str) -> str | None:
    """The command that installs the adapter of a known scheme, or None."""
    extra = EXTRAS.get(scheme)
    return extra and f'pip install "kvbackends[{extra}]"'
