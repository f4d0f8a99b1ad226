"""A store that cannot be reached for a while."""

import pytest
from celery import uuid

from tests.e2e.conftest import SERVERS, with_store
from tests.e2e.deployment import Deployment
from tests.e2e.scenario import Scenario
from tests.e2e.traps import Spec


@pytest.fixture(scope="module", params=["redis", "rabbitmq", *SERVERS])
def deployment(request, deploy) -> Deployment:
    deployment = with_store(deploy, request, query="retry_timeout=0.5")
    deployment.worker("-c", "3")
    return deployment


def down(deployment) -> None:
    (deployment.folder / "down").touch()


def up(deployment) -> None:
    (deployment.folder / "down").unlink()


@pytest.mark.parametrize("call", ["finish", "parts", "renew", "close"])
def test_a_part_comes_again(deployment, call):
    """With late acknowledgement a part that cannot be returned is delivered again, and ends."""
    scenario = Scenario(deployment, Spec(f"down-{call}", "before", call, "hold"))
    scenario.caught()
    if call == "close":
        scenario.ends()  # the body is published by then; it would fail without a store
    down(deployment)
    deployment.let_go(scenario.trap.name)
    try:
        again = lambda: len(deployment.said("part", id=scenario.last)) >= 2  # noqa: E731
        deployment.until(again, "the part is delivered again")
    finally:
        up(deployment)
    scenario.succeeds(most=2 if call == "close" else 1)


def test_a_worker_survives_it(deployment):
    """While the store is down tasks run and end within the bound, and then all is as before."""
    held = uuid()
    deployment.sig("held", held).delay()
    deployment.until(lambda: deployment.said("running", name=held), "a task runs")
    down(deployment)
    try:
        deployment.let_go(held)
        others = [uuid() for _ in range(6)]  # twice as many as children
        for other in others:
            deployment.let_go(other)
            deployment.sig("held", other).set(ignore_result=True).delay()
        for other in others:
            deployment.until(
                lambda other=other: deployment.said("running", name=other), "others run", 30
            )
    finally:
        up(deployment)
    assert deployment.sig("echo", 3).delay().get(timeout=60) == 3
