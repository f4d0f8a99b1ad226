"""The shared conformance suite on real servers: in full on one version, natively on others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from kvbackends.testing import StoreSuite
from tests.servers import postgresql_server
from tests.support.suites import Again, Elsewhere, InBothForms


@pytest.fixture(scope="module")
def started() -> Iterator[Callable[[str], str]]:
    """Starts servers that live until the suite has removed what it stored; returns the URL."""
    with ExitStack() as servers:
        yield lambda version: servers.enter_context(postgresql_server(version)).url


class TestPostgreSQL(InBothForms):
    """PostgreSQL 15, Debian's."""

    fixture = "postgresql_url"


class TestOldest(Again):
    """PostgreSQL 13."""

    fixture = "postgresql13_url"


class TestNewest(Again):
    """PostgreSQL 18."""

    fixture = "postgresql18_url"


@pytest.mark.slow
class TestOverTLS(Elsewhere):
    """PostgreSQL 15 with a client's certificate."""

    fixture = "postgresql_tls_url"


@pytest.mark.slow
class TestBehindPgBouncer(Again):
    """In transaction mode, where nobody can listen."""

    fixture = "pgbouncer_url"


@pytest.mark.slow
class TestVersionsBetween(StoreSuite):
    """PostgreSQL 14, 16 and 17."""

    quick = True

    @pytest.fixture(scope="class", params=["14", "16", "17"])
    @classmethod
    def store_url(cls, request: pytest.FixtureRequest, started: Callable[[str], str]) -> str:
        """The URL of a server of that version."""
        return started(request.param)
