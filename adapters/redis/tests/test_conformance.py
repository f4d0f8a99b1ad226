"""The conformance suite on real servers: versions, connections and topologies."""

import pytest

from tests.support.suites import Again, Elsewhere, InBothForms, OnServer


class TestRedis(InBothForms):
    """Debian's Redis."""

    fixture = "redis_url"


class TestRedis62(Again):
    """The oldest version that is supported."""

    fixture = "redis62_url"


class TestRedis8(Again):
    """The newest version."""

    fixture = "redis8_url"


class TestValkey(Again):
    """Valkey, the fork of Redis 7."""

    fixture = "valkey_url"


class TestTLS(Elsewhere):
    """A server that wants a certificate of its clients."""

    fixture = "redis_tls_url"


class TestSocket(Elsewhere):
    """A server without a port."""

    fixture = "redis_socket_url"


class TestACL(Again):
    """A user who may call nothing but the commands that the adapter names in its README."""

    fixture = "redis_acl_url"


class TestSentinel(Elsewhere):
    """Whichever server three Sentinels name; they and it want passwords."""

    fixture = "redis_sentinel_url"


class TestCluster(OnServer):
    """Three primaries: each key has its node."""

    fixture = "redis_cluster_url"


@pytest.mark.slow
class TestTLSSentinel(Elsewhere):
    """Sentinels and servers that want a certificate."""

    fixture = "redis_tls_sentinel_url"


@pytest.mark.slow
class TestTLSCluster(Elsewhere):
    """Nodes that want a certificate."""

    fixture = "redis_tls_cluster_url"
