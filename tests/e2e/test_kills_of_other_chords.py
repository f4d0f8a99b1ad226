"""SIGKILL where a chord fails, grows, or is itself a part."""

import pytest
from celery import chord, uuid

from tests.e2e.scenario import STEPS, TWICE
from tests.e2e.site import Site
from tests.e2e.traps import Spec


@pytest.fixture(scope="module")
def site(make_site) -> Site:
    site = make_site("redis")
    site.worker("-c", "4")
    return site


def trapped(site, name, step, kind, after):
    return site.sig(
        kind, 12, list(Spec(f"{name}-{kind}-{'-'.join(step)}", *step, "kill child")), after
    )


def failing(site, step, kind):
    """A chord with a failed part."""
    failed = uuid()
    header = [
        site.sig("fail").set(task_id=failed),
        trapped(site, "failing", step, kind, [failed]),
    ]
    return chord(header, site.sig("body").set(link_error=[site.sig("errback")]))()


def nested(site, step, kind):
    """A chord with a chord in its header."""
    inner = chord([site.sig("echo", 1), trapped(site, "inner", step, kind, [])], site.sig("total"))
    return chord([site.sig("echo", 0), inner], site.sig("body"))()


def growing(site, step, kind):
    """A chord with a part that adds another."""
    spec = Spec(f"adder-{'-'.join(step)}", *step, "kill child")
    header = [site.sig("echo", 0), site.sig("late_adder", 1, 7, list(spec)), site.sig("echo", 2)]
    return chord(header, site.sig("body"))()


KINDS = {failing: ["late", "early"], nested: ["late", "early"], growing: ["late"]}


@pytest.fixture(scope="module")
def results(site):
    """All of them at once."""
    return {
        (make, step, kind): make(site, step, kind)
        for make, kinds in KINDS.items()
        for kind in kinds
        for step in STEPS
    }


@pytest.mark.parametrize("kind", ["late", "early"])
@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_in_the_error_path(site, results, kind, step):
    """Killed while a chord with a failed part ends: the body fails, and its errback is called."""
    result = results[failing, step, kind]
    result.get(timeout=60, propagate=False)
    site.until(lambda: site.state(result.id) == "FAILURE", "the body fails")
    site.until(lambda: site.said("errback", of=result.id), "the errback is called")
    assert not site.said("published", id=result.id)


@pytest.mark.parametrize("kind", ["late", "early"])
@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_in_an_inner_chord(site, results, kind, step):
    """Killed while an inner chord ends: the outer one gets its value, or its failure."""
    result = results[nested, step, kind]
    result.get(timeout=60, propagate=False)
    if (kind, step) != ("early", STEPS[0]) or site.state(result.id) == "SUCCESS":
        assert site.meta(result.id)["result"] == [0, 13]
        # The diary may be written after the body has run.  An inner body that was published twice
        # may run side by side with itself, and each run may dispatch the outer chord.
        site.until(lambda: site.published(result.id), "the outer body is published")
        assert site.published(result.id) <= (2 if step == TWICE else 1)


@pytest.mark.parametrize("step", STEPS, ids="-".join)
def test_a_task_that_had_added_a_part(site, results, step):
    """Killed after it had added a part: it runs again, and the part counts once."""
    result = results[growing, step, "late"]
    assert sorted(result.get(timeout=60)) == [0, 1, 2, 7]
    assert len({tuple(each["values"]) for each in site.said("body", id=result.id)}) == 1
