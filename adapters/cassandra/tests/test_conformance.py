"""The shared suite on a real Cassandra."""

import pytest

from kvbackends.testing import StoreSuite


class TestCassandra(StoreSuite):
    """One node."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, cassandra_url: str) -> str:
        """A server that this session has started."""
        return cassandra_url
