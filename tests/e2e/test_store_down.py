"""A store that cannot be reached for a while."""

import pytest
from celery import uuid

from tests.e2e.conftest import with_store
from tests.e2e.scenario import Scenario
from tests.e2e.site import Site
from tests.e2e.traps import Spec

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["redis", "rabbitmq", POSTGRESQL])
def site(request, make_site) -> Site:
    site = with_store(make_site, request, query="retry_timeout=0.5")
    site.worker("-c", "3")
    return site


def down(site) -> None:
    (site.folder / "down").touch()


def up(site) -> None:
    (site.folder / "down").unlink()


@pytest.mark.parametrize("call", ["finish", "parts", "renew", "close"])
def test_a_part_comes_again(site, call):
    """With late acknowledgement a part that cannot be returned is delivered again, and ends."""
    scenario = Scenario(site, Spec(f"down-{call}", "before", call, "hold"))
    scenario.caught()
    if call == "close":
        scenario.ends()  # the body is published by then; it would fail without a store
    down(site)
    site.let_go(scenario.trap.name)
    try:
        again = lambda: len(site.said("part", id=scenario.last)) >= 2  # noqa: E731
        site.until(again, "the part is delivered again")
    finally:
        up(site)
    scenario.succeeds(most=2 if call == "close" else 1)


def test_a_worker_survives_it(site):
    """While the store is down tasks run and end within the bound, and then all is as before."""
    held = uuid()
    site.sig("held", held).delay()
    site.until(lambda: site.said("running", name=held), "a task runs")
    down(site)
    try:
        site.let_go(held)
        others = [uuid() for _ in range(6)]  # twice as many as children
        for other in others:
            site.let_go(other)
            site.sig("held", other).set(ignore_result=True).delay()
        for other in others:
            site.until(lambda other=other: site.said("running", name=other), "others run", 30)
    finally:
        up(site)
    assert site.sig("echo", 3).delay().get(timeout=60) == 3
