"""The conformance suite on real servers: versions, connections and topologies."""

from typing import ClassVar

import pytest

from kvbackends.testing import StoreSuite


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


class TestRedis62(OnServer):
    """The oldest version that is supported."""

    quick = True
    fixture = "redis62_url"


class TestRedis8(OnServer):
    """The newest version."""

    quick = True
    fixture = "redis8_url"


class TestValkey(OnServer):
    """Valkey, the fork of Redis 7."""

    quick = True
    fixture = "valkey_url"


class TestTLS(OnServer):
    """A server that wants a certificate of its clients."""

    quick = True
    fixture = "redis_tls_url"


class TestSocket(OnServer):
    """A server without a port."""

    quick = True
    fixture = "redis_socket_url"


class TestACL(OnServer):
    """A user who may call nothing but the commands that the adapter names in its README."""

    quick = True
    fixture = "redis_acl_url"


class TestSentinel(OnServer):
    """Whichever server three Sentinels name; they and it want passwords."""

    quick = True
    fixture = "redis_sentinel_url"


class TestCluster(OnServer):
    """Three primaries: each key has its node."""

    fixture = "redis_cluster_url"


@pytest.mark.slow
class TestTLSSentinel(OnServer):
    """Sentinels and servers that want a certificate."""

    quick = True
    fixture = "redis_tls_sentinel_url"


@pytest.mark.slow
class TestTLSCluster(OnServer):
    """Nodes that want a certificate."""

    quick = True
    fixture = "redis_tls_cluster_url"
