"""The shared conformance suite on a real MongoDB."""

from tests.support.suites import OnServer


class TestMongoDB(OnServer):
    """A replica set of one server."""

    fixture = "mongodb_url"

    def through(self, url: str, host: str, port: int) -> str:
        """Without the name of the replica set: the driver would go to the members' addresses."""
        return super().through(url, host, port).replace("replicaSet=rs0", "directConnection=true")
