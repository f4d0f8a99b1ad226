"""Headers and bodies of every shape, in a real prefork worker."""

from typing import Any

import pytest
from celery import chain, chord, group, uuid
from celery.exceptions import ChordError, TaskRevokedError
from celery.result import allow_join_result
from kombu.exceptions import EncodeError

from tests.e2e.deployment import Deployment

WAIT = 60


@pytest.fixture(scope="module")
def deployment(deploy) -> Deployment:
    deployment = deploy("redis")
    deployment.worker("-c", "4")
    return deployment


def value(result: Any) -> Any:
    return result.get(timeout=WAIT)


def state_of(deployment: Deployment, result: Any) -> str:
    """The state in which a task ends."""
    result.get(timeout=WAIT, propagate=False)
    return deployment.state(result.id)


# ------------------------------------------------------------------------------- that succeed

SHAPES = {
    "plain": lambda s: ([s("echo", n) for n in range(3)], [0, 1, 2]),
    "a generator": lambda s: ((s("echo", n) for n in range(4)), [0, 1, 2, 3]),
    "an iterator of chains": lambda s: (
        iter([chain(s("echo", n), s("add", 10)) for n in range(3)]),
        [10, 11, 12],
    ),
    "a chain that ends in a group": lambda s: (
        [s("echo", 0), chain(s("echo", 1), group(s("add", n) for n in range(3))), s("echo", 5)],
        [0, [1, 2, 3], 5],
    ),
    "two chains that end in groups": lambda s: (
        [chain(s("echo", base), group(s("add", n) for n in range(2))) for base in (10, 20)],
        [[10, 11], [20, 21]],
    ),
    "a chain of a group and a task": lambda s: (
        [s("echo", 0), chain(group(s("echo", 1), s("echo", 2)), s("total"))],
        [0, 3],
    ),
    "a group in a chain in a group": lambda s: (
        [
            s("echo", 0),
            chain(
                s("echo", 1),
                group(chain(s("add", 1), group(s("add", 10), s("add", 20))), s("add", 2)),
            ),
        ],
        [0, [[12, 22], 3]],
    ),
    "a chord": lambda s: (
        [s("echo", 0), chord([s("echo", 1), s("echo", 2)], s("total")), s("echo", 4)],
        [0, 3, 4],
    ),
    "a chord whose body is a group": lambda s: (
        [s("echo", 0), chord([s("echo", 1)] * 2, group(s("total"), s("total")))],
        [0, [2, 2]],
    ),
    "a chord in a chord": lambda s: (
        [
            s("echo", 0),
            chord([s("echo", 1), chord([s("echo", 2), s("echo", 3)], s("total"))], s("total")),
        ],
        [0, 6],
    ),
    "a group, which Celery flattens": lambda s: (
        [group(s("echo", 0), s("echo", 1)), s("echo", 2)],
        [1, 0, 2],  # in Celery's own order
    ),
    "tasks whose results are ignored": lambda s: (
        [s("quiet", 0), s("echo", 1), s("quiet", 2)],
        [0, 1, 2],
    ),
    "tasks all of whose results are ignored": lambda s: ([s("quiet", n) for n in (0, 1)], [0, 1]),
    "tasks sent with ignore_result": lambda s: (
        [s("echo", n).set(ignore_result=True) for n in (0, 1)],
        [0, 1],
    ),
    "a task that is retried": lambda s: ([s("echo", 0), s("retried", 1)], [0, 1]),
    "a task that is replaced by a group": lambda s: (
        [s("echo", 0), s("replace_by_group", [1, 2]), s("echo", 3)],
        [0, [1, 2], 3],
    ),
    "a task that is replaced by a chord": lambda s: (
        [s("echo", 0), s("replace_by_chord", [1, 2]), s("echo", 3)],
        [0, 3, 3],
    ),
    "a task that is replaced by a chain": lambda s: (
        [s("echo", 0), s("replace_by_chain", 1, 2), s("echo", 3)],
        [0, 103, 3],
    ),
    "a task that adds parts": lambda s: (
        [s("echo", 0), s("add_parts", 1, [7, 8]), s("echo", 3)],
        [0, 1, 7, 8, 3],
    ),
    "tasks that all add parts": lambda s: (
        [s("add_parts", n, [n + 10]) for n in range(3)],
        [0, 10, 1, 11, 2, 12],
    ),
    "large values": lambda s: ([s("sized", 1_000_000)] * 3, ["x" * 1_000_000] * 3),
    "fifty tasks": lambda s: ([s("echo", n) for n in range(50)], list(range(50))),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_body_gets_the_values_in_the_shape_of_the_header(deployment, shape):
    """The body of a chord runs once, with every value where the header tree has its task."""
    header, expected = SHAPES[shape](deployment.sig)
    result = chord(header, deployment.sig("body"))()
    got = value(result)
    if "adds parts" in shape or "add parts" in shape:  # added parts have no order of their own
        assert sorted(got) == sorted(expected)
    else:
        assert got == expected
    assert len(deployment.said("body", id=result.id)) == 1


def test_the_same_frozen_signature_twice(deployment):
    """A frozen signature that stands twice in a header is two parts, though it has one id."""
    frozen = deployment.sig("echo", 1)
    frozen.freeze()
    result = chord([frozen, frozen, deployment.sig("echo", 2)], deployment.sig("body"))()
    assert value(result) == [1, 1, 2]


def test_the_same_chord_again(deployment):
    """A frozen chord may be applied again: the second run of its body gets its own values."""
    one = chord([deployment.sig("echo", 1), deployment.sig("echo", 2)], deployment.sig("body"))
    one.freeze()
    result = one.apply_async()
    assert value(result) == [1, 2]
    deployment.until(lambda: len(deployment.said("body", id=result.id)) == 1, "the body ran")
    one.apply_async()
    deployment.until(lambda: len(deployment.said("body", id=result.id)) == 2, "the body ran again")


def test_an_empty_header(deployment):
    """A chord without header tasks runs its body with an empty list."""
    assert value(chord([], deployment.sig("body"))()) == []


BODIES = {
    "a chain": (lambda s: chain(s("total"), s("add", 10)), 13),
    "a group": (lambda s: group(s("total"), s("body")), [3, [1, 2]]),
    "a chain that ends in a group": (
        lambda s: chain(s("total"), group(s("add", 1), s("add", 2))),
        [4, 5],
    ),
    "a chord": (lambda s: chord([s("total"), s("total")], s("body")), [3, 3]),
    "a task that is replaced": (lambda s: s("replace_by_group"), [1, 2]),
}


@pytest.mark.parametrize("body", BODIES)
def test_bodies_that_are_more_than_a_task(deployment, body):
    """A body may be any canvas."""
    make, expected = BODIES[body]
    result = chord([deployment.sig("echo", 1), deployment.sig("echo", 2)], make(deployment.sig))()
    assert value(result) == expected


def test_groups_come_back_as_they_are(deployment):
    """A group's results come back nested as it is, from the object and from what was saved."""
    s = deployment.sig
    result = group(s("echo", 0), chain(s("echo", 1), group(s("add", 1), s("add", 2))))()
    assert value(result) == [0, [2, 3]]
    result.save()
    again = deployment.app.GroupResult.restore(result.id)
    assert again == result
    assert value(again) == [0, [2, 3]]
    assert deployment.run(RESTORE, result.id).strip() == "[0, [2, 3]]"
    again.delete()
    assert deployment.app.GroupResult.restore(result.id) is None


RESTORE = """
import sys
from tests.e2e.app import app
print(app.GroupResult.restore(sys.argv[1], app=app).get(timeout=30))
"""


# ---------------------------------------------------------------------------------- that fail

FAILING = {
    "a task": lambda s: [s("echo", 0), s("fail")],
    "all tasks": lambda s: [s("fail"), s("fail")],
    "the first task of a chain": lambda s: [s("echo", 0), chain(s("fail"), s("echo"), s("echo"))],
    "a chain before its group": lambda s: [
        s("echo", 0),
        chain(s("fail"), group(s("echo"), s("echo"), s("echo"))),
        s("echo", 5),
    ],
    "a chain before a chord": lambda s: [
        s("echo", 0),
        chain(s("fail"), group(s("echo"), s("echo")), s("total")),
    ],
    "a member of a group in a chain": lambda s: [
        s("echo", 0),
        chain(s("echo", 1), group(s("add", 1), s("fail"))),
    ],
    "a chord in the header": lambda s: [
        s("echo", 0),
        chord([s("echo", 1), s("fail")], s("total")),
        s("echo", 4),
    ],
    "the body of a chord in the header": lambda s: [
        s("echo", 0),
        chord([s("echo", 1), s("echo", 2)], s("fail")),
    ],
    "a chord in a chord in the header": lambda s: [
        s("echo", 0),
        chord([s("echo", 1), chord([s("fail"), s("echo", 2)], s("total"))], s("total")),
    ],
    "a chord in the header with a group as its body": lambda s: [
        s("echo", 0),
        chord([s("echo", 1), s("fail")], group(s("total"), s("total"))),
    ],
    "a part that cannot be encoded": lambda s: [s("echo", 0), s("unencodable")],
    "a task with an ignored result": lambda s: [s("echo", 0), s("fail").set(ignore_result=True)],
    "an added part": lambda s: [s("echo", 0), s("add_failing")],
    "a task that its retries do not help": lambda s: [s("echo", 0), s("retried", 1, times=9)],
    "a replaced task": lambda s: [s("echo", 0), s("replace_by_failing_group")],
}


@pytest.mark.parametrize("header", FAILING)
def test_a_failing_header_fails_the_body(deployment, header):
    """A chord whose header fails somewhere fails, does not run its body, and calls its errback."""
    body = deployment.sig("body").set(link_error=[deployment.sig("errback")])
    result = chord(FAILING[header](deployment.sig), body)()
    assert state_of(deployment, result) == "FAILURE"
    deployment.until(
        lambda: deployment.said("errback", of=result.id), "the body's errback is called"
    )
    assert not deployment.said("body", id=result.id)


def test_the_error_of_a_part_comes_first(deployment):
    """Whoever waits for a chord gets the error of the part, not the chord's about it."""
    result = chord(
        [deployment.sig("echo", 0), deployment.sig("fail", why="mine")], deployment.sig("body")
    )()
    with pytest.raises(ValueError, match="mine"):
        value(result)
    body = deployment.app.AsyncResult(result.id)
    with pytest.raises(ChordError, match=r"Dependency .* raised ValueError.*mine"):
        value(body)


def test_failures_reach_the_group_after_a_failed_task(deployment):
    """The members of a group that is chained behind a failed task fail too (celery #6437)."""
    result = chain(
        deployment.sig("fail", why="early"), group(deployment.sig("echo"), deployment.sig("echo"))
    )()
    for member in result.results:
        with pytest.raises(ValueError, match="early"):
            value(member)


def test_errbacks_of_parts_and_bodies(deployment):
    """Errbacks of both styles are called, of the failed part and of the body."""
    part = deployment.sig("fail").set(link_error=[deployment.sig("errback")], task_id=uuid())
    body = deployment.sig("body").set(
        link_error=[deployment.sig("errback"), deployment.sig("old_errback")]
    )
    result = chord([deployment.sig("echo", 0), part], body)()
    assert state_of(deployment, result) == "FAILURE"
    of_part, of_body = {"of": part.options["task_id"]}, {"of": result.id}
    deployment.until(lambda: deployment.said("errback", **of_part), "the part's errback is called")
    deployment.until(
        lambda: len(deployment.said("errback", **of_body)) >= 2, "both of the body are called"
    )


def test_a_revoked_part(deployment):
    """A header task that is revoked before it starts fails the chord as REVOKED says."""
    revoked = uuid()
    deployment.app.control.revoke(revoked, reply=True, limit=1, timeout=WAIT)
    result = chord(
        [deployment.sig("echo", 0), deployment.sig("echo", 1).set(task_id=revoked)],
        deployment.sig("body"),
    )()
    assert state_of(deployment, result) == "FAILURE"
    assert deployment.state(revoked) == "REVOKED"
    with pytest.raises(TaskRevokedError):
        value(deployment.app.AsyncResult(revoked))


def test_a_part_that_is_terminated(deployment):
    """A header task that is terminated while it runs fails the chord."""
    running = uuid()
    header = [deployment.sig("echo", 0), deployment.sig("held", running).set(task_id=running)]
    result = chord(header, deployment.sig("body"))()
    deployment.until(lambda: deployment.said("running", name=running), "the task runs")
    deployment.app.control.revoke(running, terminate=True, signal="SIGKILL")
    assert state_of(deployment, result) == "FAILURE"
    assert deployment.state(running) == "REVOKED"


def test_an_unencodable_part_fails_with_celerys_error(deployment):
    """A part that cannot be encoded fails with EncodeError, and its worker's child lives."""
    header = [deployment.sig("unencodable").set(task_id=uuid()), deployment.sig("echo", 0)]
    chord(header, deployment.sig("body"))().get(timeout=WAIT, propagate=False)
    with pytest.raises(EncodeError):
        value(deployment.app.AsyncResult(header[0].options["task_id"]))
    assert value(deployment.sig("echo", 1).delay()) == 1


# ------------------------------------------------------------------------------- by old clients


def test_a_chord_that_an_old_client_began(deployment, monkeypatch):
    """A chord without a size, whose client has scheduled `chord_unlock`, completes."""
    backend = deployment.app.backend
    monkeypatch.setattr(backend, "set_chord_size", lambda *_: None)

    def apply_chord(args, body, countdown=0.1, **_):
        with allow_join_result():
            backend.fallback_chord_unlock(
                deployment.app.GroupResult(*args), body, countdown=countdown
            )

    monkeypatch.setattr(backend, "apply_chord", apply_chord)
    header = [deployment.sig("echo", 1), chain(deployment.sig("echo", 2), deployment.sig("add", 1))]
    result = chord(header, deployment.sig("body"))()
    assert value(result) == [1, 3]
    assert len(deployment.said("body", id=result.id)) == 1
