"""The shared conformance suite on a real Cassandra."""

import pytest

from tests.support.suites import OnServer


class TestCassandra(OnServer):
    """A cluster of one node."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, cassandra_url: str) -> str:
        """The URL of a server that this test session has started."""
        return cassandra_url
