"""The contract, on a real server."""

import pytest

from kvbackends.testing import StoreSuite


class TestCassandra(StoreSuite):
    """Native and derived."""

    @pytest.fixture(scope="session")
    def store_url(self, cassandra_url: str) -> str:
        """The session's server."""
        return cassandra_url
