"""SIGKILL of a pool's child at every point of a chord's dispatch.

All scenarios of a broker run at once in one worker, which loses a child in each.
"""

import pytest

from tests.e2e.conftest import SERVERS, with_store
from tests.e2e.deployment import Deployment
from tests.e2e.scenario import STEPS, TWICE, Scenario
from tests.e2e.traps import Spec


@pytest.fixture(scope="module", params=["redis", "rabbitmq", *SERVERS])
def deployment(request, deploy) -> Deployment:
    deployment = with_store(deploy, request)
    deployment.worker("-c", "4")
    return deployment


@pytest.fixture(scope="module")
def scenarios(deployment):
    return {
        (kind, step): Scenario(deployment, trap(kind, *step), kind)
        for kind in ("late", "early", "early_quiet")
        for step in STEPS
    }


def trap(kind: str, when: str, call: str) -> Spec:
    """An ignored result is not stored: its part arrives by itself."""
    called = "arrive" if (call, kind) == ("finish", "early_quiet") else call
    return Spec(f"{kind}-{when}-{call}", when, called, "kill child")


@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_late_acknowledgement(scenarios, step):
    """A child that is killed while it dispatches: its message comes again, the chord ends."""
    scenario = scenarios["late", step]
    scenario.caught()
    scenario.succeeds(most=2 if step == TWICE else 1)


@pytest.mark.parametrize("kind", ["early", "early_quiet"])
@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_early_acknowledgement(scenarios, step, kind):
    """The main process ends what a killed child began; before the part was recorded, it fails.

    A child that dies before the main process has read that it accepted the task fails nothing:
    billiard gives the task to another child.
    """
    scenario = scenarios[kind, step]
    scenario.caught()
    if step == ("before", "finish") and scenario.ends() == "FAILURE":
        scenario.fails()
    else:
        assert step != STEPS[0] or len(scenario.deployment.said("part", id=scenario.last)) == 2
        scenario.succeeds(most=2 if step == TWICE else 1)
