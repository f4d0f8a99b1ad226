"""The shared conformance suite on a real memcached."""

import pytest

from tests.support.suites import OnServer


class TestMemcached(OnServer):
    """One server of the version that the system's package installs."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, memcached_url: str) -> str:
        """The URL of a server that this test session has started."""
        return memcached_url
