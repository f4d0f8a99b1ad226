"""SIGKILL of a whole worker at every point of a chord's dispatch; the broker delivers again."""

import pytest

from tests.e2e.conftest import with_store
from tests.e2e.scenario import STEPS, TWICE, Scenario
from tests.e2e.site import Site
from tests.e2e.traps import Spec

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["redis", "rabbitmq", POSTGRESQL])
def site(request, make_site) -> Site:
    """Workers that are killed, and one that is not, for the bodies.

    A worker that is killed takes the body with it that it has just been given: the task is
    acknowledged when it begins, and kombu's Redis transport pops a message before it notes it as
    unacknowledged.
    """
    site = with_store(make_site, request)
    site.worker("-c", "1", "-Q", queue(site))
    site.worker("-c", "2")
    return site


def queue(site: Site) -> str:
    """The queue of the bodies."""
    return f"{site.settings['task_default_queue']}-bodies"


@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_late_acknowledgement(site, step):
    """A worker that is killed while it dispatches: another worker ends the chord."""
    spec = Spec(f"worker-{'-'.join(step)}", *step, "kill worker")
    scenario = Scenario(site, spec, body_queue=queue(site))
    scenario.caught()
    site.workers[-1].gone()
    if site.broker.startswith("redis"):
        site.redeliver()
    site.worker("-c", "2")
    scenario.succeeds(most=2 if step == TWICE else 1)
