"""The shared conformance suite on a real MongoDB."""

from tests.support.suites import OnServer


class TestMongoDB(OnServer):
    """A replica set of one server."""

    fixture = "mongodb_url"
