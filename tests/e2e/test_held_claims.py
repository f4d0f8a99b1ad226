"""A claim whose holder does not go on: others wait for the lease, then one of them dispatches."""

import os
import re
import signal
import time

import pytest
from celery import chord, uuid

from tests.e2e.scenario import VALUES, Scenario
from tests.e2e.site import Site
from tests.e2e.traps import Spec


@pytest.fixture(scope="module")
def site(make_site) -> Site:
    site = make_site("redis", query="claim_lease=1")
    site.worker("-c", "4")
    return site


@pytest.fixture(scope="module")
def lease(site) -> float:
    return site.app.backend.times.chord.lease


def published(site: Site, body: str) -> bool:
    return bool(site.said("published", id=body))


@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL])
def test_another_part_takes_over_after_the_lease(site, lease, then):
    """The holder is stopped: another part's delivery dispatches, a lease later and once."""
    scenario = Scenario(site, Spec(f"holder-{then.name}", "after", "finish", "stop"))
    holder = scenario.caught()["pid"]
    began = time.monotonic()
    scenario.send_again(0)
    site.until(lambda: published(site, scenario.result.id), "the other part dispatches")
    assert time.monotonic() - began >= lease * 0.95
    os.kill(holder, then)
    scenario.succeeds()


def test_the_same_part_takes_over_at_once(site, lease):
    """A claim of an earlier delivery of the same message is broken without waiting."""
    scenario = Scenario(site, Spec("same", "after", "finish", "stop"))
    holder = scenario.caught()["pid"]
    scenario.send_again(2)
    site.until(lambda: len(site.said("part", id=scenario.last)) == 2, "it runs again")
    ran = time.monotonic()
    site.until(lambda: published(site, scenario.result.id), "it dispatches")
    assert time.monotonic() - ran < lease * 0.75
    os.kill(holder, signal.SIGCONT)
    scenario.succeeds()


def test_the_main_process_sends_one_recovery_message(site):
    """The main process does not wait for a claim: a message looks again after the lease.

    Part A is recorded and its child is killed, while B holds the claim and is stopped.
    """
    gate = uuid()
    a = site.sig("early_quiet", 10, list(Spec("a", "after", "arrive", "hold")))
    b = site.sig("late", 11, list(Spec("b", "after", "finish", "stop")), [gate])
    a.set(task_id=uuid())
    b.set(task_id=uuid())
    result = chord([a, b], site.sig("body"))()
    child = site.until(lambda: site.said("trap", name="a"), "A is recorded")[0]["pid"]
    site.sig("echo", 0).apply_async(task_id=gate)
    holder = site.until(lambda: site.said("trap", name="b"), "B holds")[0]["pid"]
    os.kill(child, signal.SIGKILL)
    site.until(lambda: published(site, result.id), "the recovery message dispatches")
    assert result.get(timeout=30) == [10, 11]
    os.kill(holder, signal.SIGKILL)
    site.until(lambda: site.state(b.options["task_id"]) == "SUCCESS", "B: SUCCESS")
    assert site.published(result.id) == 1
    received = re.findall(r"celery\.backend_cleanup\[.*received", site.workers[0].log())
    assert len(received) == 1


def test_values_are_kept_for_whoever_takes_over(site):
    """All of it at once, many times: each chord is dispatched once, with its own values."""
    scenarios = [
        Scenario(site, Spec(f"many-{n}", when, call, "kill child"))
        for n, (when, call) in enumerate([("after", "finish"), ("before", "renew")] * 4)
    ]
    for scenario in scenarios:
        scenario.caught()
        scenario.send_again(0)
    for scenario in scenarios:
        scenario.succeeds()
        assert scenario.site.meta(scenario.result.id)["result"] == VALUES
