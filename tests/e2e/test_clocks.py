"""Workers whose clocks are two hours apart."""

import os
import signal
import time

import pytest

from tests.e2e.scenario import STEPS, TWICE, Scenario
from tests.e2e.site import Site
from tests.e2e.traps import Spec


@pytest.fixture(scope="module")
def site(make_site) -> Site:
    """One worker is an hour ahead and takes the last parts, the other is an hour behind."""
    site = make_site("rabbitmq", query="claim_lease=1")
    early = site.starting("-c", "3", "-Q", "ahead", KVBACKENDS_E2E_CLOCK="3600")
    late = site.starting(
        *("-c", "3", "-Q", f"behind,{site.app.conf.task_default_queue}"),
        KVBACKENDS_E2E_CLOCK="-3600",
    )
    early.ready()
    late.ready()
    return site


QUEUES = ("ahead", "behind")


@pytest.fixture(scope="module")
def scenarios(site):
    return {
        (kind, step): Scenario(site, Spec(f"{kind}-{'-'.join(step)}", *step, "kill child"), kind, q)
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
def test_leases(site, queues):
    """A lease lasts as long as it should, whether its holder is ahead or behind."""
    scenario = Scenario(
        site, Spec(f"holder-{queues[0]}", "after", "finish", "stop"), "late", queues
    )
    holder = scenario.caught()["pid"]
    began = time.monotonic()
    scenario.send_again(0)
    site.until(lambda: site.said("published", id=scenario.result.id), "it is taken over")
    lease = site.app.backend.times.chord.lease
    assert lease * 0.95 <= time.monotonic() - began <= lease + 20
    os.kill(holder, signal.SIGCONT)
    scenario.succeeds()
