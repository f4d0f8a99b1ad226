"""The known adapters, so that the error for an unknown scheme can say what to install."""

_SCHEMES = {
    "redis": "redis rediss redis+socket unix sentinel redis+cluster rediss+cluster",
    "mongodb": "mongodb mongodb+srv",
    "elasticsearch": "elasticsearch elasticsearch+http elasticsearch+https "
    "opensearch opensearch+http opensearch+https",
    "cassandra": "cassandra",
    "memcached": "memcached cache+memcached cache+memcache cache+pymemcache cache+pylibmc",
}

EXTRAS = {scheme: extra for extra, schemes in _SCHEMES.items() for scheme in schemes.split()}
"""Scheme -> the extra of kvbackends that installs its adapter."""


def install_line(scheme: str) -> str | None:
    """Return the command that installs the adapter of a scheme, or None if none is known."""
    extra = EXTRAS.get(scheme)
    return extra and f'pip install "kvbackends[{extra}]"'
