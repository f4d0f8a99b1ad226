"""Values that the store does not take."""

import pytest
from celery import chord, uuid
from kombu.exceptions import EncodeError

from tests.e2e.deployment import Deployment

TOO_LARGE = 50_000


@pytest.fixture(scope="module")
def deployment(deploy) -> Deployment:
    """A store with a limit of 20,000 bytes, and one pool child."""
    deployment = deploy("redis", scheme="limited")
    deployment.worker("-c", "1")
    return deployment


@pytest.fixture(autouse=True)
def _the_child_lives(deployment):
    before = deployment.sig("pid").delay().get(timeout=60)
    yield
    assert deployment.sig("pid").delay().get(timeout=60) == before


@pytest.mark.parametrize("task", [("sized", TOO_LARGE), ("unencodable",)], ids=["large", "odd"])
def test_a_result_that_cannot_be_stored(deployment, task):
    """The task fails with EncodeError."""
    result = deployment.sig(*task).delay()
    with pytest.raises(EncodeError):
        result.get(timeout=60)
    assert result.state == "FAILURE"


def test_a_failure_that_is_too_large(deployment):
    """The record of a failure is shortened until it fits."""
    result = deployment.sig("failing_at_length", TOO_LARGE).delay()
    with pytest.raises(ValueError, match="yyy"):
        result.get(timeout=60)


@pytest.mark.parametrize(
    "task",
    [("sized", TOO_LARGE), ("unencodable",), ("failing_at_length", TOO_LARGE)],
    ids=["large", "odd", "long failure"],
)
@pytest.mark.parametrize("ignored", [False, True], ids=["stored", "ignored"])
def test_its_part_arrives(deployment, task, ignored):
    """A header task whose result cannot be stored fails its chord, which does not hang."""
    part = deployment.sig(*task).set(task_id=uuid(), ignore_result=ignored)
    body = deployment.sig("body").set(link_error=[deployment.sig("errback")])
    result = chord([deployment.sig("echo", 1), part], body)()
    result.get(timeout=60, propagate=False)
    assert deployment.state(result.id) == "FAILURE"
    deployment.until(lambda: deployment.said("errback", of=result.id), "the errback is called")
    if not ignored:
        assert deployment.state(part.options["task_id"]) == "FAILURE"


def test_values_that_fit_apart(deployment):
    """Parts that fit are joined though they do not fit into one value."""
    header = [deployment.sig("sized", 15_000) for _ in range(3)]
    result = chord(header, deployment.sig("lengths"))()
    assert result.get(timeout=60) == [15_000] * 3
