"""SIGKILL after every call of a dispatch on a store with the five methods only."""

import pytest

from kvbackends.layers.only_five import OnlyFive
from tests.e2e.deployment import Deployment
from tests.e2e.scenario import Scenario
from tests.e2e.traps import Spec

CALLS = range(1, 36)
"""A dispatch of three parts makes fewer calls than that."""
RECORDED = 4
"""The call after which the part is recorded: control, value, page, page."""


@pytest.fixture(scope="module")
def deployment(deploy) -> Deployment:
    deployment = deploy("redis")
    deployment.app.backend.store = OnlyFive(deployment.app.backend.store)
    deployment.worker("-c", "4", KVBACKENDS_E2E_ONLY_FIVE="1")
    return deployment


@pytest.fixture(scope="module")
def scenarios(deployment):
    return {
        (kind, nth): Scenario(
            deployment, Spec(f"{kind}-{nth}", "after", "*", "kill child", nth), kind
        )
        for kind in ("late", "early")
        for nth in CALLS
    }


@pytest.mark.parametrize("nth", CALLS)
def test_late_acknowledgement(scenarios, nth):
    """A child that is killed after any call of its dispatch: the chord ends well all the same."""
    scenarios["late", nth].succeeds(most=2)


@pytest.mark.parametrize("nth", CALLS)
def test_early_acknowledgement(scenarios, nth):
    """The chord ends, and well if the part was recorded when the child was killed.

    Between the tombstone and the last write nothing tells the main process of the success: the
    part is reported as lost, and the chord is well.
    """
    scenario = scenarios["early", nth]
    body = scenario.ends()
    if scenario.deployment.state(scenario.last) == "SUCCESS":
        scenario.succeeds(most=2)
    else:
        assert nth <= RECORDED or body == "SUCCESS"


def test_most_of_them_were_killed(deployment, scenarios):
    """The traps reach from the first call of a dispatch to its last."""
    caught = {each["name"] for each in deployment.said("trap")}
    assert {f"late-{nth}" for nth in range(1, 20)} <= caught
    assert f"late-{CALLS[-1]}" not in caught
