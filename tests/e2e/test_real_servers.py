"""A prefork worker and its client while the store's server, or the way to it, is in trouble."""

import time

import pytest

from tests.e2e.deployment import Deployment
from tests.e2e.load import Load
from tests.servers import (
    Server,
    cassandra_server,
    elasticsearch_server,
    memcached_server,
    mongodb_server,
    postgresql_server,
    redis_server,
)
from tests.servers.proxy import FaultProxy
from tests.support.suites import java_is_slow

STORES = {
    "redis": lambda: redis_server("--appendonly", "yes", "--appendfsync", "always"),
    "mongodb": mongodb_server,
    "postgresql": postgresql_server,
    "elasticsearch": elasticsearch_server,
    "cassandra": cassandra_server,
    "memcached": memcached_server,
}
pytestmark = pytest.mark.timeout(600)


# Their servers take long to come back; `make test-all` has them.
PARAMS = java_is_slow(STORES)


@pytest.fixture(scope="module", params=PARAMS)
def server(request):
    with STORES[request.param]() as started:
        yield started


@pytest.fixture(scope="module")
def proxy(server: Server):
    with FaultProxy("127.0.0.1", server.port) as started:
        yield started


@pytest.fixture(scope="module")
def deployment(deploy, server, proxy) -> Deployment:
    deployment = deploy(
        "redis", url=proxy.url_of(server.url), query="retry_timeout=60&client_retry_timeout=60"
    )
    deployment.worker("-c", "2")
    return deployment


def test_connections_that_are_cut(deployment, server, proxy):
    """A reset of all connections, ten times a second for six seconds.

    Cassandra's driver asks for the schema before a connection counts, and PostgreSQL starts a
    process for each: on a busy machine that takes longer than 0.1 s.
    """
    ended = 0 if server.name in {"cassandra", "postgresql"} else 3
    with Load(deployment) as load, load.trouble(ended):
        proxy.cut_every(0.1)
        time.sleep(6)
        proxy.cut_every(None)


def test_a_server_that_stands_still(deployment, server):
    with Load(deployment) as load, load.trouble():
        server.pause()
        time.sleep(3)
        server.resume()


def test_a_server_that_is_restarted(deployment, server):
    """What was stored is there afterwards; memcached keeps nothing, and goes on.

    Killed, a lone Cassandra loses what it confirmed in the last tenth of a second: its commit log
    is periodic unless it is told otherwise. It is stopped in good order.
    """
    with Load(deployment) as load:
        if server.name == "memcached":
            server.kill()
            server.restart()
            load.forget()
            return
        with load.trouble():
            if server.name != "cassandra":
                server.kill()
                load.goes_on()  # some servers are back in less time than lies between two tasks
            server.restart()
