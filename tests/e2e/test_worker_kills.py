"""SIGKILL of a whole worker at every point of a chord's dispatch; the broker delivers again."""

import pytest

from tests.e2e.scenario import STEPS, TWICE, Scenario
from tests.e2e.site import Site
from tests.e2e.traps import Spec


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def site(request, make_site) -> Site:
    site = make_site(request.param)
    site.worker("-c", "2")
    return site


@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_late_acknowledgement(site, step):
    """A worker that is killed while it dispatches: another worker ends the chord."""
    scenario = Scenario(site, Spec(f"worker-{'-'.join(step)}", *step, "kill worker"))
    scenario.caught()
    site.workers[-1].gone()
    if site.broker.startswith("redis"):
        site.redeliver()
    site.worker("-c", "2")
    scenario.succeeds(most=2 if step == TWICE else 1)
