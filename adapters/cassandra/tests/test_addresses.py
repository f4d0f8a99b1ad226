"""Contact points: how they are written, and what happens when they move."""

import socket
from types import SimpleNamespace

import pytest
from kvbackends_cassandra import client as clients
from kvbackends_cassandra import cluster as clusters
from kvbackends_cassandra import options as settings
from kvbackends_cassandra.cluster import driver
from kvbackends_cassandra.store import CassandraStore

from kvbackends import InvalidOption, StoreUnavailable, open_store
from kvbackends.contract import StoreURL
from kvbackends.contract.options import fill
from kvbackends.errors import UnknownHost


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("h", "h"),
        ("h:19042", ("h", 19042)),
        (" h:19042", ("h", 19042)),
        ("[::1]:19042", ("::1", 19042)),
        ("::1", "::1"),
    ],
)
def test_a_server_of_celerys_setting_may_have_a_port(text, point):
    url = StoreURL.parse("cassandra:///k")
    options = fill(CassandraStore.options_type, {}, {"cassandra_servers": [text]})
    assert settings.contact(url, options)["contact_points"] == [point]


def test_an_argument_that_the_driver_does_not_have_is_told_at_once():
    with pytest.raises(InvalidOption, match="no argument max_retries, timeout"):
        open_store("cassandra://h/k", {"cassandra_options": {"timeout": 300, "max_retries": 10}})


def test_a_name_that_does_not_exist_is_looked_up_again(monkeypatch):
    looked_up = []

    def unknown(name, *_):
        looked_up.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnknownHost, match="does not exist"):
        open_store("cassandra://nowhere.invalid/k").get("key")
    assert len(looked_up) > 2


class LostSession:
    """Of a cluster whose nodes have all gone elsewhere."""

    def prepare(self, statement):
        raise driver.NoHostAvailable("Unable to complete the operation against any hosts", {})


class FakeCluster:
    """Resolved its contact points when it was made, as the driver's does."""

    def __init__(self, address):
        self.endpoints_resolved = [SimpleNamespace(address=address)]
        self.shut_down = False

    def connect(self):
        return LostSession()

    def shutdown(self):
        self.shut_down = True


def test_nodes_that_have_moved_are_found(monkeypatch):
    """Where no node is reached and the names have other addresses, the process connects anew."""
    address, made = ["10.0.0.1"], []

    def opened(plan):
        made.append(FakeCluster(address[0]))
        return made[-1]

    monkeypatch.setattr(clients, "opened", opened)
    monkeypatch.setattr(clients.schema, "ensure", lambda *_: None)
    monkeypatch.setattr(clusters.socket, "getaddrinfo", lambda *_: [(0, 0, 0, "", (address[0], 0))])
    store = open_store("cassandra://name/k?retry_attempts=0")
    for expected in (1, 1):
        with pytest.raises(StoreUnavailable):
            store.get("key")
        assert len(made) == expected
    address[0] = "10.0.0.2"
    with pytest.raises(StoreUnavailable):
        store.get("key")
    assert made[0].shut_down
    with pytest.raises(StoreUnavailable):
        store.get("key")
    assert len(made) == 2
    assert not made[1].shut_down
