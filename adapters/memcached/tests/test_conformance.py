"""The shared conformance suite on a real memcached."""

from tests.support.suites import OnServer


class TestMemcached(OnServer):
    """One server of the version that the system's package installs."""

    fixture = "memcached_url"
