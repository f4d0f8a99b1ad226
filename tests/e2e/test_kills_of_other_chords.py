"""SIGKILL where a chord fails, grows, or is itself a part."""

import pytest
from celery import chord, uuid

from tests.e2e.conftest import POSTGRESQL, with_store
from tests.e2e.deployment import Deployment
from tests.e2e.scenario import STEPS, TWICE
from tests.e2e.traps import Spec


@pytest.fixture(scope="module", params=["redis", POSTGRESQL])
def deployment(request, deploy) -> Deployment:
    deployment = with_store(deploy, request)
    deployment.worker("-c", "4")
    return deployment


def trapped(deployment, name, step, kind, after):
    return deployment.sig(
        kind, 12, list(Spec(f"{name}-{kind}-{'-'.join(step)}", *step, "kill child")), after
    )


def failing(deployment, step, kind):
    """A chord with a failed part."""
    failed = uuid()
    header = [
        deployment.sig("fail").set(task_id=failed),
        trapped(deployment, "failing", step, kind, [failed]),
    ]
    return chord(header, deployment.sig("body").set(link_error=[deployment.sig("errback")]))()


def nested(deployment, step, kind):
    """A chord with a chord in its header."""
    inner = chord(
        [deployment.sig("echo", 1), trapped(deployment, "inner", step, kind, [])],
        deployment.sig("total"),
    )
    return chord([deployment.sig("echo", 0), inner], deployment.sig("body"))()


def growing(deployment, step, kind):
    """A chord with a part that adds another."""
    spec = Spec(f"adder-{'-'.join(step)}", *step, "kill child")
    header = [
        deployment.sig("echo", 0),
        deployment.sig("late_adder", 1, 7, list(spec)),
        deployment.sig("echo", 2),
    ]
    return chord(header, deployment.sig("body"))()


KINDS = {failing: ["late", "early"], nested: ["late", "early"], growing: ["late"]}


@pytest.fixture(scope="module")
def results(deployment):
    """All of them at once."""
    return {
        (make, step, kind): make(deployment, step, kind)
        for make, kinds in KINDS.items()
        for kind in kinds
        for step in STEPS
    }


@pytest.mark.parametrize("kind", ["late", "early"])
@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_in_the_error_path(deployment, results, kind, step):
    """Killed while a chord with a failed part ends: the body fails, and its errback is called."""
    result = results[failing, step, kind]
    result.get(timeout=60, propagate=False)
    deployment.until(lambda: deployment.state(result.id) == "FAILURE", "the body fails")
    deployment.until(lambda: deployment.said("errback", of=result.id), "the errback is called")
    assert not deployment.said("published", id=result.id)


@pytest.mark.parametrize("kind", ["late", "early"])
@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_in_an_inner_chord(deployment, results, kind, step):
    """Killed while an inner chord ends: the outer one gets its value, or its failure."""
    result = results[nested, step, kind]
    result.get(timeout=60, propagate=False)
    if (kind, step) != ("early", STEPS[0]) or deployment.state(result.id) == "SUCCESS":
        assert deployment.meta(result.id)["result"] == [0, 13]
        # The diary may be written after the body has run.  An inner body that was published twice
        # may run side by side with itself, and each run may dispatch the outer chord.
        deployment.until(lambda: deployment.published(result.id), "the outer body is published")
        assert deployment.published(result.id) <= (2 if step == TWICE else 1)


@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_a_task_that_had_added_a_part(deployment, results, step):
    """Killed after it had added a part: it runs again, and the part counts once."""
    result = results[growing, step, "late"]
    assert sorted(result.get(timeout=60)) == [0, 1, 2, 7]
    assert len({tuple(each["values"]) for each in deployment.said("body", id=result.id)}) == 1
