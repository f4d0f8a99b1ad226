"""The shared conformance suite on real servers: in full on one version, natively on others."""

from collections.abc import Iterator

import pytest

from kvbackends.testing import StoreSuite
from tests.servers import postgresql_server
from tests.support.suites import Again, OnServer


class TestPostgreSQL(OnServer):
    """PostgreSQL 15, Debian's."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, postgresql_url: str) -> str:
        """The URL of a server that this test session has started."""
        return postgresql_url


class TestOldest(Again):
    """PostgreSQL 13."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, postgresql13_url: str) -> str:
        """The URL of a server that this test session has started."""
        return postgresql13_url


class TestNewest(Again):
    """PostgreSQL 18."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, postgresql18_url: str) -> str:
        """The URL of a server that this test session has started."""
        return postgresql18_url


@pytest.mark.slow
class TestOverTLS(Again):
    """PostgreSQL 15 with a client's certificate."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, postgresql_tls_url: str) -> str:
        """The URL of a server that this test session has started."""
        return postgresql_tls_url


@pytest.mark.slow
class TestBehindPgBouncer(Again):
    """In transaction mode, where nobody can listen."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, pgbouncer_url: str) -> str:
        """The URL of a pooler that this test session has started."""
        return pgbouncer_url


@pytest.mark.slow
class TestVersionsBetween(StoreSuite):
    """PostgreSQL 14, 16 and 17."""

    quick = True

    @pytest.fixture(scope="class", params=["14", "16", "17"])
    @classmethod
    def store_url(cls, request: pytest.FixtureRequest) -> Iterator[str]:
        """The URL of a server of this class's own."""
        with postgresql_server(request.param) as server:
            yield server.url
