"""SIGKILL of a whole worker at every point of a chord's dispatch; the broker delivers again."""

import pytest

from tests.e2e.conftest import SERVERS, with_store
from tests.e2e.deployment import Deployment
from tests.e2e.scenario import STEPS, TWICE, Scenario
from tests.e2e.traps import Spec


@pytest.fixture(scope="module", params=["redis", "rabbitmq", *SERVERS])
def deployment(request, deploy) -> Deployment:
    """Workers that are killed, and one that is not, for the bodies.

    A worker that is killed takes the body with it that it has just been given: the task is
    acknowledged when it begins, and kombu's Redis transport pops a message before it notes it as
    unacknowledged.
    """
    deployment = with_store(deploy, request)
    deployment.worker("-c", "1", "-Q", queue(deployment))
    deployment.worker("-c", "2")
    return deployment


def queue(deployment: Deployment) -> str:
    """The queue of the bodies."""
    return f"{deployment.settings['task_default_queue']}-bodies"


@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_late_acknowledgement(deployment, step):
    """A worker that is killed while it dispatches: another worker ends the chord."""
    spec = Spec(f"worker-{'-'.join(step)}", *step, "kill worker")
    scenario = Scenario(deployment, spec, body_queue=queue(deployment))
    scenario.caught()
    deployment.workers[-1].gone()
    if deployment.broker.startswith("redis"):
        deployment.redeliver()
    deployment.worker("-c", "2")
    scenario.succeeds(most=2 if step == TWICE else 1)
