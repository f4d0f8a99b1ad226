"""The shared conformance suite on a real MongoDB."""

import pytest

from tests.support.suites import OnServer


class TestMongoDB(OnServer):
    """A replica set of one server."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, mongodb_url: str) -> str:
        """The URL of a server that this test session has started."""
        return mongodb_url
