"""Servers that serve together: they answer, survive the loss of one, and leave nothing behind."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
from redis.cluster import ClusterNode

from tests.servers import (
    GROUPS,
    Group,
    RedisCluster,
    RedisSentinel,
)
from tests.servers.process import PORTS, eventually
from tests.servers.test_servers import ROOT, descendants, gone

# One version of each is started in `make test`; the shapes are the same on the others.
OTHERS = ["6.2", "8", "valkey"]
EACH = [
    *(
        pytest.param(partial(group, "--appendonly", "yes"), id=name)
        for name, group in GROUPS.items()
    ),
    *(
        pytest.param(
            partial(group, "--appendonly", "yes", version=version),
            id=f"{name}-{version}",
            marks=pytest.mark.slow,
        )
        for name, group in GROUPS.items()
        for version in OTHERS
    ),
]
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", params=EACH)
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    """One for all tests of this module, and at its end the proof that nothing of it is left."""
    before = descendants(os.getpid())
    with request.param() as started:
        yield started
        below, folders = descendants(os.getpid()) - before, [each.folder for each in started.nodes]
        assert set(started.pids) <= below
    assert gone(below)
    assert not any(folder.exists() for folder in folders)


@contextlib.contextmanager
def client_of(group: Group) -> Iterator[redis.Redis]:
    """The real client, as it would be made of the group's URL."""
    url = urlsplit(group.url)
    places = [
        place.rpartition(":")
        for place in url.netloc.rpartition("@")[2].replace(",", ";").split(";")
    ]
    addresses = [(host, int(port)) for host, _, port in places]
    if isinstance(group, RedisCluster):
        with redis.RedisCluster(startup_nodes=[ClusterNode(*each) for each in addresses]) as client:
            yield client
        return
    options = parse_qs(url.query)
    password = {"password": options["sentinel_password"][0]}
    sentinel = redis.Sentinel(addresses, sentinel_kwargs=password, password=url.password)
    with sentinel.master_for(options["master_name"][0]) as client:
        yield client


def round_trips(group: Group) -> bool:
    """Keys of every node of a cluster, put in and got out."""
    with client_of(group) as client:
        keys = [f"key-{number}" for number in range(20)]
        return all(client.set(key, key) and client.get(key) == key.encode() for key in keys)


def round_trips_again(group: Group) -> bool:
    with contextlib.suppress(redis.RedisError):
        return round_trips(group)
    return False


def test_they_answer_a_real_client(group):
    assert round_trips(group)


def test_their_ports_are_below_the_ephemeral_range(group):
    assert all(set(node.ports) <= set(PORTS) for node in group.nodes)


def test_a_tests_arguments_are_taken_by_all_that_have_data(group):
    data = group.data if isinstance(group, RedisSentinel) else group.nodes
    for node in data:
        assert "aof_enabled:1" in node.run("INFO persistence")


def test_sentinels_and_what_they_watch_let_nobody_in_without_a_password(group):
    if isinstance(group, RedisCluster):
        assert "+PONG" in group.nodes[0].run("PING")
        return
    for node in group.nodes:
        with node.connect() as connection:
            connection.sendall(b"INFO\r\n")
            assert connection.recv(100).startswith(b"-NOAUTH")


@pytest.mark.slow
def test_a_replica_takes_over_from_a_primary_that_was_killed(group):
    """Also proven, in `make test`, by tests/e2e/test_failover.py."""
    primary, replica = group.primary_of("key"), group.replica_of("key")
    primary.kill()
    assert eventually(lambda: group.primary_of("key") is replica, 30)
    assert eventually(lambda: round_trips_again(group), 30)
    primary.restart()


@pytest.mark.slow
def test_a_primary_that_comes_back_is_a_replica(group):
    """Sentinels look at one that comes back for ten seconds before they tell it so."""
    group.settle()
    primary, replica = group.primary_of("key"), group.replica_of("key")
    primary.kill()
    assert eventually(lambda: group.primary_of("key") is replica, 30)
    primary.restart()
    group.settle()
    assert (group.primary_of("key"), group.replica_of("key")) == (replica, primary)


@pytest.mark.slow
def test_nothing_is_left_when_the_starter_is_killed():
    starter = subprocess.Popen(
        [sys.executable, "-m", "tests.servers", *GROUPS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        while not starter.stdout.readline().startswith("ready"):
            assert starter.poll() is None
        started = descendants(starter.pid)
        starter.send_signal(signal.SIGKILL)
    assert eventually(lambda: gone(started))
