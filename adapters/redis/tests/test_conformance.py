"""The shared suite on real servers: each version, each way in, each shape."""

import pytest

from kvbackends.testing import StoreSuite


class TestRedis(StoreSuite):
    """Debian's Redis."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_url: str) -> str:
        """A server that this session has started."""
        return redis_url


class TestRedis62(StoreSuite):
    """The oldest version that is supported."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis62_url: str) -> str:
        """A server that this session has started."""
        return redis62_url


class TestRedis8(StoreSuite):
    """The newest version."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis8_url: str) -> str:
        """A server that this session has started."""
        return redis8_url


class TestValkey(StoreSuite):
    """What grew out of Redis 7."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, valkey_url: str) -> str:
        """A server that this session has started."""
        return valkey_url


class TestTLS(StoreSuite):
    """A server that wants a certificate of its clients."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_tls_url: str) -> str:
        """A server that this session has started."""
        return redis_tls_url


class TestSocket(StoreSuite):
    """A server without a port."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_socket_url: str) -> str:
        """A server that this session has started."""
        return redis_socket_url


class TestACL(StoreSuite):
    """A user who may call nothing but the commands that the adapter names in its README."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_acl_url: str) -> str:
        """A server that this session has started."""
        return redis_acl_url


class TestSentinel(StoreSuite):
    """Whichever server three Sentinels name; they and it want passwords."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_sentinel_url: str) -> str:
        """Servers that this session has started."""
        return redis_sentinel_url


class TestCluster(StoreSuite):
    """Three primaries: each key has its node."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_cluster_url: str) -> str:
        """Servers that this session has started."""
        return redis_cluster_url


@pytest.mark.slow
class TestTLSSentinel(StoreSuite):
    """Sentinels and servers that want a certificate."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_tls_sentinel_url: str) -> str:
        """Servers that this session has started."""
        return redis_tls_sentinel_url


@pytest.mark.slow
class TestTLSCluster(StoreSuite):
    """Nodes that want a certificate."""

    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_tls_cluster_url: str) -> str:
        """Servers that this session has started."""
        return redis_tls_cluster_url
