"""The shared conformance suite on a real Cassandra."""

from tests.support.suites import WithoutProxy


class TestCassandra(WithoutProxy):
    """A cluster of one node."""

    fixture = "cassandra_url"
