"""Workers whose clocks are two hours apart."""

import os
import signal
import time

import pytest

from tests.e2e.deployment import Deployment
from tests.e2e.scenario import STEPS, TWICE, Scenario
from tests.e2e.traps import Spec


@pytest.fixture(scope="module")
def deployment(deploy) -> Deployment:
    """One worker is an hour ahead and takes the last parts, the other is an hour behind."""
    deployment = deploy("rabbitmq", query="claim_lease=1")
    early = deployment.starting("-c", "3", "-Q", "ahead", KVBACKENDS_E2E_CLOCK="3600")
    late = deployment.starting(
        *("-c", "3", "-Q", f"behind,{deployment.app.conf.task_default_queue}"),
        KVBACKENDS_E2E_CLOCK="-3600",
    )
    early.ready()
    late.ready()
    return deployment


QUEUES = ("ahead", "behind")


@pytest.fixture(scope="module")
def scenarios(deployment):
    return {
        (kind, step): Scenario(
            deployment, Spec(f"{kind}-{'-'.join(step)}", *step, "kill child"), kind, q
        )
        for kind, q in (("late", QUEUES), ("early", QUEUES[::-1]))
        for step in STEPS[1:]
    }


@pytest.mark.parametrize("kind", ["late", "early"])
@pytest.mark.parametrize("step", STEPS[1:], ids="-".join)
def test_claims(scenarios, step, kind):
    """A claim of a killed child is broken by the next delivery, whatever the clocks say."""
    scenario = scenarios[kind, step]
    scenario.caught()
    scenario.succeeds(most=2 if step == TWICE else 1)


@pytest.mark.parametrize("queues", [QUEUES, QUEUES[::-1]], ids=["ahead", "behind"])
def test_leases(deployment, queues):
    """A lease lasts as long as it should, whether its holder is ahead or behind."""
    scenario = Scenario(
        deployment, Spec(f"holder-{queues[0]}", "after", "finish", "stop"), "late", queues
    )
    holder = scenario.caught()["pid"]
    began = time.monotonic()
    scenario.send_again(0)
    deployment.until(
        lambda: deployment.said("published", id=scenario.result.id), "it is taken over"
    )
    lease = deployment.app.backend.times.chord.lease
    assert lease * 0.95 <= time.monotonic() - began <= lease + 20
    os.kill(holder, signal.SIGCONT)
    scenario.succeeds()
