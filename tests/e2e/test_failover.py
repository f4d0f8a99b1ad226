"""The primary is killed under a prefork worker and its client, and a replica takes its place.

Nobody but Sentinels or the cluster does anything about it.
"""

import threading
from typing import Any

import pytest
from celery import chord
from celery.result import AsyncResult
from kvbackends_redis.operations.barriers import keys_of

from tests.e2e.deployment import Deployment
from tests.e2e.load import Load
from tests.servers import GROUPS, Group, RedisSentinel
from tests.servers.process import eventually
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=["redis-cluster", "redis-sentinel"])
def group(request):
    with GROUPS[request.param]("--appendonly", "yes") as started:
        yield started


@pytest.fixture(scope="module")
def deployment(deploy, group: Group) -> Deployment:
    deployment = deploy("redis", url=group.url, query="retry_timeout=60&client_retry_timeout=60")
    deployment.worker("-c", "4")
    return deployment


class Held:
    """A chord of three parts: one has ended, the test lets the others go, one by one.

    Somebody waits for its end from the beginning.
    """

    def __init__(self, deployment: Deployment, name: str) -> None:
        self.deployment = deployment
        self.gates = [f"{name}-down", f"{name}-promoted"]
        held = [deployment.sig("held", gate, number) for number, gate in enumerate(self.gates)]
        ended = deployment.sig("late", 2)
        self.result: AsyncResult = chord([*held, ended])(deployment.sig("body"))
        self.values: list[Any] = []
        self._waiter = threading.Thread(target=self._wait)
        self._waiter.start()
        for gate in self.gates:
            deployment.until(
                lambda gate=gate: deployment.said("running", name=gate), f"{gate} runs"
            )
        last = self.result.parent.results[-1].id
        deployment.until(lambda: deployment.state(last) == "SUCCESS", "a part has ended")

    @property
    def key(self) -> str:
        """What chooses the node of a cluster that has the chord's barrier: one of its keys."""
        barrier = self.deployment.app.backend.get_key_for_chord(self.result.parent.id)
        return keys_of(barrier.decode())[0]

    def _wait(self) -> None:
        self.values = self.result.get(timeout=90)

    def ends(self) -> None:
        self._waiter.join(90)
        assert self.values == [0, 1, 2], self.deployment.logs()
        assert self.deployment.published(self.result.id) == 1


def kill_when_the_replica_has_all(primary: RedisServer, replica: RedisServer) -> None:
    """Kill it under load, so that nothing is lost that was confirmed.

    Replication is asynchronous: what a primary confirms just before its end, its replica may never
    have seen. So its clients' writes are held back first, unanswered, until both have come to the
    same offset: each store() that has returned is on the replica then.
    """
    assert "+OK" in primary.run("CLIENT PAUSE 60000 WRITE")
    assert eventually(lambda: offset(primary, "master") == offset(replica, "slave"))
    primary.kill()


def offset(server: RedisServer, role: str) -> str:
    """Up to where a server's data go, in the stream of all changes."""
    lines = server.run("INFO replication").splitlines()
    return next(line for line in lines if line.startswith(f"{role}_repl_offset:")).partition(":")[2]


def on_the_same_host(group: Group) -> list[RedisServer]:
    """What dies with a primary: the Sentinel that the URL names first; in a cluster nothing."""
    return list(group.sentinels[:1]) if isinstance(group, RedisSentinel) else []


def test_a_replica_is_promoted_under_load_and_in_the_middle_of_a_chord(deployment, group):
    """All that was stored is there, all that was waited for comes, each chord ends once."""
    held = Held(deployment, "chord")
    primary, replica = group.primary_of(held.key), group.replica_of(held.key)
    with Load(deployment) as load, load.trouble():
        kill_when_the_replica_has_all(primary, replica)
        for sentinel in on_the_same_host(group):
            sentinel.kill()
        deployment.let_go(held.gates[0])
        deployment.until(lambda: group.primary_of(held.key) is replica, "the replica is promoted")
        deployment.let_go(held.gates[1])
    held.ends()
    load.ended_once()
    for server in (primary, *on_the_same_host(group)):
        server.restart()


@pytest.mark.slow
def test_what_a_replica_has_confirmed_survives_a_kill_at_any_moment(deploy, group):
    """With `wait_replicas=1` there is no store() that returned and that only the primary had.

    The killed server is started again, as a supervisor would: without it there is no replica.
    """
    group.settle()
    deployment = deploy(
        "redis", url=group.url, query="retry_timeout=90&client_retry_timeout=90&wait_replicas=1"
    )
    deployment.worker("-c", "4")
    held = Held(deployment, "confirmed")
    primary, replica = group.primary_of(held.key), group.replica_of(held.key)
    with Load(deployment) as load, load.trouble():
        primary.kill()
        deployment.let_go(held.gates[0])
        deployment.until(lambda: group.primary_of(held.key) is replica, "the replica is promoted")
        primary.restart()
        deployment.let_go(held.gates[1])
    held.ends()
    load.ended_once()
