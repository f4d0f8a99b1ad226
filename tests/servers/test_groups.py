"""Redis servers that serve together: they answer, survive the loss of one, and leave nothing."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import pytest
import redis
from _pytest.mark import ParameterSet
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
PLAIN = ["redis-cluster", "redis-sentinel"]
REDIS = [name for name in GROUPS if name.startswith("redis")]
OTHERS = ["6.2", "8", "valkey"]


def started_as(name: str, *marks: pytest.MarkDecorator, **version: str) -> ParameterSet:
    """How a group is started, with its data on disk."""
    kind = "-".join([name, *version.values()])
    return pytest.param(
        partial(GROUPS[name], "--appendonly", "yes", **version), id=kind, marks=marks
    )


EACH = [
    *(started_as(name) for name in PLAIN),
    *(started_as(name, pytest.mark.slow) for name in REDIS if name not in PLAIN),
    *(started_as(name, pytest.mark.slow, version=each) for name in PLAIN for each in OTHERS),
]
pytestmark = pytest.mark.timeout(600)


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
    options = dict(parse_qsl(url.query))
    tls = {name: text for name, text in options.items() if name.startswith("ssl_")}
    secured = {"ssl": True, **tls} if tls else {}
    addresses = [(host, int(port)) for host, port in re.findall(r"([\d.]+):(\d+)", url.netloc)]
    if isinstance(group, RedisCluster):
        nodes = [ClusterNode(*each) for each in addresses]
        with redis.RedisCluster(startup_nodes=nodes, **secured) as client:
            yield client
        return
    theirs = {"password": options["sentinel_password"]}
    theirs.update(json.loads(options.get("sentinel_kwargs", "{}")))
    sentinel = redis.Sentinel(addresses, sentinel_kwargs=theirs, password=url.password, **secured)
    with sentinel.master_for(options["master_name"]) as client:
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
        [sys.executable, "-m", "tests.servers", *REDIS],
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
