"""No server at all: kombu's filesystem broker and SQLite.

The broker is mended: of kombu's own a worker may take a message that is not yet written.
"""

import pytest
from celery import chord

from tests.e2e.deployment import Deployment
from tests.e2e.scenario import STEPS, Scenario
from tests.e2e.traps import Spec


@pytest.fixture(scope="module")
def deployment(deploy) -> Deployment:
    deployment = deploy("files")
    workers = [deployment.starting("-c", "2") for _ in range(2)]
    for worker in workers:
        worker.ready()
    return deployment


def test_a_chord_of_a_hundred_parts(deployment):
    """Two workers complete a chord of a hundred parts."""
    header = [deployment.sig("echo", n) for n in range(100)]
    assert chord(header, deployment.sig("body"))().get(timeout=60) == list(range(100))


SOME = STEPS[1::2]


@pytest.fixture(scope="module")
def scenarios(deployment):
    return {step: Scenario(deployment, Spec("-".join(step), *step, "kill child")) for step in SOME}


@pytest.mark.parametrize("step", SOME, ids="-".join)
def test_a_killed_child(scenarios, step):
    """A child that is killed while it dispatches: its message is put back, the chord ends."""
    scenarios[step].caught()
    scenarios[step].succeeds()
