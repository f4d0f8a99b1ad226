"""The conformance suite on real servers: versions, connections and topologies."""

from typing import ClassVar

import pytest

from tests.support.suites import Again, OnServer, Selected


class Redis(Selected):
    """The suite on a server, or several, that this session has started."""

    fixture: ClassVar[str]
    """Gives the URL."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, request: pytest.FixtureRequest) -> str:
        """The URL from the fixture."""
        url: str = request.getfixturevalue(cls.fixture)
        return url


class TestRedis(Redis, OnServer):
    """Debian's Redis."""

    fixture = "redis_url"


class TestRedis62(Redis, Again):
    """The oldest version that is supported."""

    fixture = "redis62_url"


class TestRedis8(Redis, Again):
    """The newest version."""

    fixture = "redis8_url"


class TestValkey(Redis, Again):
    """Valkey, the fork of Redis 7."""

    fixture = "valkey_url"


class TestTLS(Redis, Again):
    """A server that wants a certificate of its clients."""

    fixture = "redis_tls_url"


class TestSocket(Redis, Again):
    """A server without a port."""

    fixture = "redis_socket_url"


class TestACL(Redis, Again):
    """A user who may call nothing but the commands that the adapter names in its README."""

    fixture = "redis_acl_url"


class TestSentinel(Redis, Again):
    """Whichever server three Sentinels name; they and it want passwords."""

    fixture = "redis_sentinel_url"


class TestCluster(Redis, OnServer):
    """Three primaries: each key has its node."""

    fixture = "redis_cluster_url"


@pytest.mark.slow
class TestTLSSentinel(Redis, Again):
    """Sentinels and servers that want a certificate."""

    fixture = "redis_tls_sentinel_url"


@pytest.mark.slow
class TestTLSCluster(Redis, Again):
    """Nodes that want a certificate."""

    fixture = "redis_tls_cluster_url"
