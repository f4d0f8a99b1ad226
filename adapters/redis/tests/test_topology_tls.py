"""Cluster and Sentinel over TLS with client certificates."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kvbackends_redis.errors import Refused, Unavailable

from kvbackends import open_store
from kvbackends.contract import Offer, Rank, Store
from kvbackends.layers.layer import innermost
from tests.servers.process import HOST, eventually
from tests.servers.redis_access import TLSServer

CLUSTER = ("--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-announce-ip", HOST)
OFFER = Offer("key", b'{"status": "SUCCESS"}', Rank.SUCCEEDED, 60)
NAME = "secured"


def files(folder: Path, certificate: str = "client") -> dict[str, str]:
    """redis-py's arguments."""
    return {
        "ssl_ca_certs": f"{folder}/ca.pem",
        "ssl_certfile": f"{folder}/{certificate}.pem",
        "ssl_keyfile": f"{folder}/{certificate}.key",
    }


def query(options: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in options.items())


def use(url: str) -> None:
    """Write, be told of it, and ask with the plain client."""
    store: Store = innermost(open_store(url))
    subscription = store.subscribe()
    subscription.watch(["key"])
    store.delete("key")
    assert store.offer(OFFER, lambda _: Rank.UNREADY)
    assert set(subscription.wait(5)) == {"key"}
    assert store.client.get("key") == OFFER.value
    subscription.close()
    store.close()


@pytest.fixture(scope="module")
def node() -> Iterator[TLSServer]:
    """A cluster of one."""
    with TLSServer(*CLUSTER) as node:
        node.run("CLUSTER ADDSLOTSRANGE 0 16383")
        assert eventually(lambda: "cluster_state:ok" in node.run("CLUSTER INFO"), 20)
        yield node


def test_a_cluster(node):
    use(f"rediss+cluster://{HOST}:{node.port}?{query(files(node.folder))}")


def test_a_cluster_is_verified(node):
    for options in ({}, files(node.folder, "stranger")):
        store = innermost(open_store(f"rediss+cluster://{HOST}:{node.port}?{query(options)}"))
        with pytest.raises((Refused, Unavailable)):
            store.get("key")
        store.close()


class TLSSentinel(TLSServer):
    """Watches a server that speaks TLS, with that server's certificates."""

    def __init__(self, watched: TLSServer) -> None:
        super().__init__()
        self._watched = watched

    def prepare(self) -> None:
        """It wants a file of its own that it can write."""
        for file in self._watched.folder.glob("*.[pk]e[my]"):
            (self.folder / file.name).write_bytes(file.read_bytes())
        settings = " ".join(self.settings()).split("--")[1:]
        lines = (
            f"bind {HOST}",
            "tls-replication yes",
            *settings,
            f"sentinel monitor {NAME} {HOST} {self._watched.port} 1",
        )
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        """All that it is told stands in its file."""
        return [self.program(), "sentinel.conf", "--sentinel"]


@pytest.fixture(scope="module")
def sentinel() -> Iterator[TLSSentinel]:
    with TLSServer() as watched, TLSSentinel(watched) as sentinel:
        up = re.compile(rf"name={NAME},status=ok")
        assert eventually(lambda: up.search(sentinel.run("INFO sentinel")), 20)
        yield sentinel


def test_a_sentinel(sentinel):
    """The servers and the Sentinels have certificates of their own, and so have we for them."""
    ours, theirs = files(sentinel.folder), json.dumps({"ssl": True, **files(sentinel.folder)})
    place = f"sentinel://{HOST}:{sentinel.port}/0?master_name={NAME}"
    use(f"{place}&{query(ours)}&sentinel_kwargs={theirs}")


def test_a_sentinel_is_verified(sentinel):
    place = (
        f"sentinel://{HOST}:{sentinel.port}/0?master_name={NAME}&{query(files(sentinel.folder))}"
    )
    certificate = {
        name: value for name, value in files(sentinel.folder).items() if "ca" not in name
    }
    for theirs in ({}, {"ssl": True}, {"ssl": True, **certificate}):
        store = innermost(open_store(f"{place}&sentinel_kwargs={json.dumps(theirs)}"))
        with pytest.raises((Refused, Unavailable)):
            store.get("key")
        store.close()


def test_celerys_spelling(sentinel):
    """`redis_backend_use_ssl` for the servers, `sentinel_kwargs` for the Sentinels."""
    settings = {
        "redis_backend_use_ssl": {"ssl_cert_reqs": "CERT_REQUIRED", **files(sentinel.folder)},
        "result_backend_transport_options": {
            "master_name": NAME,
            "sentinel_kwargs": {"ssl": True, **files(sentinel.folder)},
        },
    }
    store = innermost(open_store(f"sentinel://{HOST}:{sentinel.port}/0", settings))
    store.set("key", b"v", 60)
    assert isinstance(store.client, redis.Redis)
    assert store.client.get("key") == b"v"
    store.close()
