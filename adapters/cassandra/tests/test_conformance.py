"""The shared conformance suite on a real Cassandra."""

from tests.support.suites import LONG_IN_JAVA, OnServer


class TestCassandra(OnServer):
    """A cluster of one node.

    After a lost connection the driver reads the whole schema again: some fifty cuts take a while.
    """

    fixture = "cassandra_url"
    long = ("network.cut_anywhere", *LONG_IN_JAVA)
