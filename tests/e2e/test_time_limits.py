"""Time limits that strike while a finished task returns to its chord."""

import pytest

from tests.e2e.conftest import SERVERS, with_store
from tests.e2e.deployment import Deployment
from tests.e2e.scenario import STEPS, TWICE, Scenario
from tests.e2e.traps import Spec

KINDS = ["late", "early", "early_quiet"]
LIMIT = 4
"""Seconds: it must not strike before the part is in its trap, though the machine stands still."""


@pytest.fixture(scope="module", params=["redis", *SERVERS])
def deployment(request, deploy) -> Deployment:
    deployment = with_store(deploy, request)
    deployment.worker("-c", "16")  # nearly all that they do is to wait
    return deployment


def scenario(deployment, limit, kind, when, call):
    called = "arrive" if (call, kind) == ("finish", "early_quiet") else call
    spec = Spec(f"{limit}-{kind}-{when}-{call}", when, called, "slow")
    return Scenario(deployment, spec, kind, **{limit: LIMIT})


@pytest.fixture(scope="module")
def scenarios(deployment):
    return {
        (limit, kind, step): scenario(deployment, limit, kind, *step)
        for limit in ("soft_time_limit", "time_limit")
        for kind in KINDS
        for step in STEPS
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_a_soft_limit(scenarios, kind, step):
    """A soft limit in the middle of a dispatch: the success is a success, published once."""
    scenario = scenarios["soft_time_limit", kind, step]
    scenario.caught()
    scenario.succeeds()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_a_hard_limit(scenarios, kind, step):
    """A hard limit kills the child: what it had recorded has succeeded, and the chord ends."""
    scenario = scenarios["time_limit", kind, step]
    scenario.caught()
    if step == ("before", "finish"):
        scenario.fails()
    else:
        scenario.succeeds(most=2 if step == TWICE else 1)
