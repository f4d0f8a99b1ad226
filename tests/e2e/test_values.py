"""Values that the store does not take."""

import pytest
from celery import chord, uuid
from kombu.exceptions import EncodeError

from tests.e2e.site import Site

TOO_LARGE = 50_000


@pytest.fixture(scope="module")
def site(make_site) -> Site:
    """A store with a limit of 20,000 bytes, and one pool child."""
    site = make_site("redis", scheme="limited")
    site.worker("-c", "1")
    return site


@pytest.fixture(autouse=True)
def _the_child_lives(site):
    before = site.sig("pid").delay().get(timeout=60)
    yield
    assert site.sig("pid").delay().get(timeout=60) == before


@pytest.mark.parametrize("task", [("sized", TOO_LARGE), ("unencodable",)], ids=["large", "odd"])
def test_a_result_that_cannot_be_stored(site, task):
    """The task fails with EncodeError."""
    result = site.sig(*task).delay()
    with pytest.raises(EncodeError):
        result.get(timeout=60)
    assert result.state == "FAILURE"


def test_a_failure_that_is_too_large(site):
    """The record of a failure is shortened until it fits."""
    result = site.sig("failing_at_length", TOO_LARGE).delay()
    with pytest.raises(ValueError, match="yyy"):
        result.get(timeout=60)


@pytest.mark.parametrize(
    "task",
    [("sized", TOO_LARGE), ("unencodable",), ("failing_at_length", TOO_LARGE)],
    ids=["large", "odd", "long failure"],
)
@pytest.mark.parametrize("ignored", [False, True], ids=["stored", "ignored"])
def test_its_part_arrives(site, task, ignored):
    """A header task whose result cannot be stored fails its chord, which does not hang."""
    part = site.sig(*task).set(task_id=uuid(), ignore_result=ignored)
    body = site.sig("body").set(link_error=[site.sig("errback")])
    result = chord([site.sig("echo", 1), part], body)()
    result.get(timeout=60, propagate=False)
    assert site.state(result.id) == "FAILURE"
    site.until(lambda: site.said("errback", of=result.id), "the errback is called")
    if not ignored:
        assert site.state(part.options["task_id"]) == "FAILURE"


def test_values_that_fit_apart(site):
    """Parts that fit are joined though they do not fit into one value."""
    header = [site.sig("sized", 15_000) for _ in range(3)]
    result = chord(header, site.sig("lengths"))()
    assert result.get(timeout=60) == [15_000] * 3
