"""The shared conformance suite on a real Cassandra."""

from tests.support.suites import OnServer


class TestCassandra(OnServer):
    """A cluster of one node."""

    fixture = "cassandra_url"
