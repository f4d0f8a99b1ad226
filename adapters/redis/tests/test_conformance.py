"""The conformance suite on real servers: versions, connections and topologies."""

from typing import ClassVar

import pytest

from kvbackends.testing import StoreSuite
from tests.support.suites import Repeated


class OnServer(StoreSuite):
    """The suite on a server, or several, that this session has started."""

    fixture: ClassVar[str]
    """Gives the URL."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, request: pytest.FixtureRequest) -> str:
        """The URL from the fixture."""
        url: str = request.getfixturevalue(cls.fixture)
        return url


class TestRedis(OnServer):
    """Debian's Redis."""

    fixture = "redis_url"


class TestRedis62(OnServer, Repeated):
    """The oldest version that is supported."""

    fixture = "redis62_url"


class TestRedis8(OnServer, Repeated):
    """The newest version."""

    fixture = "redis8_url"


class TestValkey(OnServer, Repeated):
    """Valkey, the fork of Redis 7."""

    fixture = "valkey_url"


class TestTLS(OnServer, Repeated):
    """A server that wants a certificate of its clients."""

    fixture = "redis_tls_url"


class TestSocket(OnServer, Repeated):
    """A server without a port."""

    fixture = "redis_socket_url"


class TestACL(OnServer, Repeated):
    """A user who may call nothing but the commands that the adapter names in its README."""

    fixture = "redis_acl_url"


class TestSentinel(OnServer, Repeated):
    """Whichever server three Sentinels name; they and it want passwords."""

    fixture = "redis_sentinel_url"


class TestCluster(OnServer):
    """Three primaries: each key has its node."""

    fixture = "redis_cluster_url"


@pytest.mark.slow
class TestTLSSentinel(OnServer, Repeated):
    """Sentinels and servers that want a certificate."""

    fixture = "redis_tls_sentinel_url"


@pytest.mark.slow
class TestTLSCluster(OnServer, Repeated):
    """Nodes that want a certificate."""

    fixture = "redis_tls_cluster_url"
