"""Redis behind a network that fails, then standing still, then killed: nothing lost, none early."""

import time
from functools import partial

import pytest
import redis

from tests.e2e.deployment import Deployment
from tests.e2e.flood import Flood
from tests.servers import redis_server, valkey_server
from tests.servers.proxy import FaultProxy

TASKS, CHORDS = 1_200, 30
MORE_TASKS, MORE_CHORDS = 300, 10


STORES = {
    "7.0": redis_server,
    "6.2": partial(redis_server, version="6.2"),
    "8": partial(redis_server, version="8"),
    "valkey": valkey_server,
}
PARAMS = [pytest.param(name, marks=[] if name == "7.0" else pytest.mark.slow) for name in STORES]


@pytest.fixture(params=PARAMS)
def server(request):
    """What it confirmed is on the disk; it is killed as by a power cut."""
    with STORES[request.param]("--appendonly", "yes", "--appendfsync", "always") as started:
        yield started


@pytest.fixture
def proxy(server):
    with FaultProxy("127.0.0.1", server.port) as started:
        yield started


@pytest.fixture
def deployment(deploy, server, proxy) -> Deployment:
    """Its broker is another server, to which the way is good."""
    url = proxy.url_of(server.url)
    deployment = deploy(
        "redis", url=url, query="retry_timeout=60&client_retry_timeout=60", task_track_started=True
    )
    deployment.worker("-c", "2", "-I", "tests.e2e.reports")
    return deployment


def test_nothing_is_lost_nothing_is_early_and_nobody_hangs(deployment, server, proxy):
    """Every result is waited for by a thread, and each chord's body is watched."""
    with Flood(deployment) as flood, redis.Redis.from_url(server.url) as client:
        proxy.cut_every(0.1)  # on a busy machine a connection takes half of that
        flood.send(TASKS, CHORDS)
        flood.settles()
        proxy.cut_every(None)
        assert proxy.counts.connections > 200
        flood.send_before_work(MORE_TASKS, MORE_CHORDS)
        server.pause()
        time.sleep(2)
        server.resume()
        flood.settles()
        flood.send_before_work(MORE_TASKS, MORE_CHORDS)
        server.kill()
        server.restart()
        flood.settles()
        flood.nothing_is_lost(client.mget)
        flood.nothing_is_early()
