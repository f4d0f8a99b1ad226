"""The shared suite on the real Elasticsearch server that the installed client is made for."""

from importlib.metadata import version

import pytest

from kvbackends.testing import StoreSuite

CLIENT = int(version("elastic-transport").partition(".")[0])


class TestElasticsearch(StoreSuite):
    """Server 8.19 with the connections of client 8, server 9.2 with those of client 9."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, request: pytest.FixtureRequest) -> str:
        """A server that this session has started."""
        name = "elasticsearch_url" if CLIENT < 9 else "elasticsearch9_url"
        return str(request.getfixturevalue(name))
