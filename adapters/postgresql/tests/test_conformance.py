"""The shared conformance suite on real servers: in full on one version, natively on others."""

import pytest

from kvbackends.testing import StoreSuite
from tests.support.suites import Repeated


class TestPostgreSQL(StoreSuite):
    """PostgreSQL 15, Debian's."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, postgresql_url: str) -> str:
        """The URL of a server that this test session has started."""
        return postgresql_url


class TestOldest(Repeated):
    """PostgreSQL 13."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, postgresql13_url: str) -> str:
        """The URL of a server that this test session has started."""
        return postgresql13_url


class TestNewest(Repeated):
    """PostgreSQL 18."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, postgresql18_url: str) -> str:
        """The URL of a server that this test session has started."""
        return postgresql18_url
