"""A claim whose holder does not go on: others wait for the lease, then one of them dispatches."""

import os
import re
import signal
import time

import pytest
from celery import chord, uuid

from tests.e2e.conftest import POSTGRESQL, with_store
from tests.e2e.deployment import Deployment
from tests.e2e.scenario import VALUES, Scenario
from tests.e2e.traps import Spec


@pytest.fixture(scope="module", params=["redis", POSTGRESQL])
def deployment(request, deploy) -> Deployment:
    deployment = with_store(deploy, request, "claim_lease=1")
    deployment.worker("-c", "4")
    return deployment


@pytest.fixture(scope="module")
def lease(deployment) -> float:
    return deployment.app.backend.times.chord.lease


def published(deployment: Deployment, body: str) -> bool:
    return bool(deployment.said("published", id=body))


@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL])
def test_another_part_takes_over_after_the_lease(deployment, lease, then):
    """The holder is stopped: another part's delivery dispatches, a lease later and once."""
    scenario = Scenario(deployment, Spec(f"holder-{then.name}", "after", "finish", "stop"))
    holder = scenario.caught()["pid"]
    began = time.monotonic()
    scenario.send_again(0)
    deployment.until(lambda: published(deployment, scenario.result.id), "the other part dispatches")
    assert time.monotonic() - began >= lease * 0.95
    os.kill(holder, then)
    scenario.succeeds()


def test_the_same_part_takes_over_at_once(deployment, lease):
    """A claim of an earlier delivery of the same message is broken without waiting."""
    scenario = Scenario(deployment, Spec("same", "after", "finish", "stop"))
    holder = scenario.caught()["pid"]
    scenario.send_again(2)
    deployment.until(lambda: len(deployment.said("part", id=scenario.last)) == 2, "it runs again")
    ran = time.monotonic()
    deployment.until(lambda: published(deployment, scenario.result.id), "it dispatches")
    assert time.monotonic() - ran < lease * 0.75
    os.kill(holder, signal.SIGCONT)
    scenario.succeeds()


def test_the_main_process_sends_one_recovery_message(deployment):
    """The main process does not wait for a claim: a message looks again after the lease.

    Part A is recorded and its child is killed, while B holds the claim and is stopped.
    """
    gate = uuid()
    a = deployment.sig("early_quiet", 10, list(Spec("a", "after", "arrive", "hold")))
    b = deployment.sig("late", 11, list(Spec("b", "after", "finish", "stop")), [gate])
    a.set(task_id=uuid())
    b.set(task_id=uuid())
    result = chord([a, b], deployment.sig("body"))()
    child = deployment.until(lambda: deployment.said("trap", name="a"), "A is recorded")[0]["pid"]
    deployment.sig("echo", 0).apply_async(task_id=gate)
    holder = deployment.until(lambda: deployment.said("trap", name="b"), "B holds")[0]["pid"]
    os.kill(child, signal.SIGKILL)
    deployment.until(lambda: published(deployment, result.id), "the recovery message dispatches")
    assert result.get(timeout=30) == [10, 11]
    os.kill(holder, signal.SIGKILL)
    deployment.until(lambda: deployment.state(b.options["task_id"]) == "SUCCESS", "B: SUCCESS")
    assert deployment.published(result.id) == 1
    received = re.findall(r"celery\.backend_cleanup\[.*received", deployment.workers[0].log())
    assert len(received) == 1


def test_values_are_kept_for_whoever_takes_over(deployment):
    """All of it at once, many times: each chord is dispatched once, with its own values."""
    scenarios = [
        Scenario(deployment, Spec(f"many-{n}", when, call, "kill child"))
        for n, (when, call) in enumerate([("after", "finish"), ("before", "renew")] * 4)
    ]
    for scenario in scenarios:
        scenario.caught()
        scenario.send_again(0)
    for scenario in scenarios:
        scenario.succeeds()
        assert scenario.deployment.meta(scenario.result.id)["result"] == VALUES
