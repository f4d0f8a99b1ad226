"""The shared conformance suite on a real Cassandra."""

from collections.abc import Mapping
from typing import ClassVar

from tests.support.suites import LONG_IN_JAVA, OnServer

DOWN = (
    "after a lost connection the driver takes the only node for down, and calls wait for seconds: "
    "some fifty cuts do not end within the 60 s that a check has"
)


class TestCassandra(OnServer):
    """A cluster of one node."""

    fixture = "cassandra_url"
    long = LONG_IN_JAVA
    left_out: ClassVar[Mapping[str, str]] = {"network.cut_anywhere": DOWN}
