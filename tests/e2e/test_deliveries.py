"""Messages that come twice, late, or in any order."""

import random

import pytest
from celery import chord, uuid

from tests.e2e.conftest import POSTGRESQL, with_store
from tests.e2e.deployment import Deployment
from tests.e2e.scenario import captured, send_again

PARTS = 6


@pytest.fixture(scope="module", params=["redis", "rabbitmq", POSTGRESQL])
def deployment(request, deploy) -> Deployment:
    deployment = with_store(deploy, request)
    deployment.worker("-c", "4")
    return deployment


def begun(deployment, kind="late", gate=()):
    """A chord whose last part waits for the task `gate`, and the messages of its header."""
    ids = [uuid() for _ in range(PARTS)]
    header = [deployment.sig(kind, n).set(task_id=each) for n, each in enumerate(ids)]
    header[-1].kwargs["after"] = gate
    with captured() as messages:
        result = chord(header, deployment.sig("body"))()
    return result, ids, messages


def ran(deployment, ids, times):
    """Wait until these tasks have run so often."""
    for each in ids:
        deployment.until(lambda each=each: len(deployment.said("part", id=each)) >= times, "it ran")


@pytest.mark.parametrize("kind", ["early", "late", "early_quiet"])
def test_messages_that_come_three_times(deployment, kind):
    """Messages come three times, shuffled, before the chord is complete: one body."""
    gate = [uuid()]
    result, ids, messages = begun(deployment, kind, gate)
    again = ids[:-1] * 2
    random.Random(PARTS).shuffle(again)
    for each in again:
        send_again(deployment, messages[each])
    ran(deployment, ids[:-1], 3)
    assert not deployment.said("published", id=result.id)
    deployment.sig("echo", 0).apply_async(task_id=gate[0])
    assert result.get(timeout=60) == list(range(PARTS))
    assert deployment.published(result.id) == 1


@pytest.mark.parametrize("kind", ["early", "late", "early_quiet"])
def test_deliveries_that_complete_a_chord_at_once(deployment, kind):
    """Deliveries of the last part that run side by side may break each other's claim.

    The body may be published by each of them: under one id and with the same values.
    """
    result, ids, messages = begun(deployment, kind)
    for each in ids * 2:
        send_again(deployment, messages[each])
    ran(deployment, ids, 3)
    assert result.get(timeout=60) == list(range(PARTS))
    assert deployment.sig("echo", 1).delay().get(timeout=60) == 1
    assert deployment.published(result.id) <= 3
    bodies = deployment.said("body", id=result.id)
    assert all(each["values"] == list(range(PARTS)) for each in bodies)


def test_messages_that_come_after_the_end(deployment):
    """Header tasks that run again after the chord's end start no body and keep their results."""
    result, ids, messages = begun(deployment)
    assert result.get(timeout=60) == list(range(PARTS))
    for each in ids:
        send_again(deployment, messages[each])
    ran(deployment, ids, 2)
    assert deployment.sig("echo", 1).delay().get(timeout=60) == 1
    assert deployment.published(result.id) == 1
    assert {deployment.state(each) for each in ids} == {"SUCCESS"}


def test_parts_that_come_before_the_size(deployment, monkeypatch):
    """Parts may arrive before the header's size: the chord waits for it, and then completes."""
    backend, first = deployment.app.backend, uuid()
    real = backend.set_chord_size

    def late_size(*args):
        deployment.until(lambda: deployment.state(first) == "SUCCESS", "the first part is in")
        real(*args)
        real(*args)

    monkeypatch.setattr(backend, "set_chord_size", late_size)
    header = [
        deployment.sig("echo", 0).set(task_id=first),
        deployment.sig("echo", 1),
        deployment.sig("echo", 2),
    ]
    result = chord(header, deployment.sig("body"))()
    assert result.get(timeout=60) == [0, 1, 2]
    assert deployment.published(result.id) == 1
