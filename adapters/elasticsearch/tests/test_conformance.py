"""The shared suite on the real Elasticsearch server that the installed client is made for."""

import pytest

from kvbackends.testing import StoreSuite


class TestElasticsearch(StoreSuite):
    """Server 8.19 with the connections of client 8, server 9.2 with those of client 9."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, matching_url: str) -> str:
        """A server that this session has started."""
        return matching_url
