"""What an operator should know of a server."""

import datetime as dt
from collections.abc import Iterator

from kvbackends.contract import Fact
from kvbackends_mongodb.client import Documents


def about(documents: Documents) -> Iterator[Fact]:
    """Version, topology and clock.  Cost: two requests."""
    database = documents.collection.database
    began = dt.datetime.now(dt.UTC)
    hello = database.command("hello")
    yield Fact("server", f"MongoDB {database.client.server_info()['version']}")
    topology = (
        f"replica set {hello['setName']}" if "setName" in hello else hello.get("msg", "alone")
    )
    yield Fact("topology", topology)
    clock = hello["localTime"].replace(tzinfo=dt.UTC) - began
    yield Fact("clock", f"{clock.total_seconds():+.3f} s from here")
