"""Every pool of Celery's, and clients that wait under gevent and eventlet."""

import pytest
from celery import chain, chord, group

from tests.e2e.site import Site

WAIT = 60
POOLS = {
    "solo": ["-P", "solo"],
    "threads": ["-P", "threads", "-c", "4"],
    "gevent": ["-P", "gevent", "-c", "20"],
    "eventlet": ["-P", "eventlet", "-c", "20"],
    "prefork": ["-P", "prefork", "-c", "2"],
}


@pytest.fixture(scope="module", params=POOLS)
def site(request, make_site) -> Site:
    site = make_site("redis")
    site.worker(*POOLS[request.param])
    return site


def test_a_chord(site):
    """A chord completes."""
    header = [site.sig("echo", n) for n in range(10)]
    assert chord(header, site.sig("body"))().get(timeout=WAIT) == list(range(10))


def test_a_chord_with_a_nested_group(site):
    """A chord whose header has a group and a chord completes."""
    header = [
        chain(site.sig("echo", 1), group(site.sig("add", 1), site.sig("add", 2))),
        chord([site.sig("echo", 2), site.sig("echo", 3)], site.sig("total")),
    ]
    assert chord(header, site.sig("body"))().get(timeout=WAIT) == [[2, 3], 5]


def test_a_group_is_joined(site):
    """A group's results come in order."""
    result = group(site.sig("echo", n) for n in range(20))()
    assert result.get(timeout=WAIT) == list(range(20))


def test_a_task_is_retried(site):
    """A task that is retried has the state of its last run."""
    result = site.sig("retried", 5).delay()
    assert result.get(timeout=WAIT) == 5
    assert result.state == "SUCCESS"


def test_a_task_fails(site):
    """A task's failure is raised where it is waited for, and fails its chord."""
    with pytest.raises(ValueError, match="on purpose"):
        site.sig("fail").delay().get(timeout=WAIT)
    result = chord([site.sig("echo", 1), site.sig("fail")], site.sig("body"))()
    result.get(timeout=WAIT, propagate=False)
    assert site.state(result.id) == "FAILURE"


GREEN = {
    "gevent": """
from gevent import monkey; monkey.patch_all()
import gevent
spawn, sleep, wait = gevent.spawn, gevent.sleep, lambda greenlet: greenlet.get()
""",
    "eventlet": """
import eventlet; eventlet.monkey_patch()
spawn, sleep, wait = eventlet.spawn, eventlet.sleep, lambda greenlet: greenlet.wait()
""",
}

WAITING = """
from celery import group, chord
from tests.e2e.app import app
echo, held = app.tasks["e2e.echo"], app.tasks["e2e.held"]
slow = held.delay(sys.argv[1], "slow")
waits = [spawn(echo.delay(n).get, timeout=40) for n in range(50)]

def tick():
    for _ in range(20):
        sleep(0.01)
    open(f"go-{sys.argv[1]}", "w").close()

ticking = spawn(tick)
assert slow.get(timeout=40) == "slow"  # what ends this wait is another green thread
assert [wait(each) for each in waits] == list(range(50))
assert chord([echo.s(n) for n in range(5)], app.tasks["e2e.total"].s())().get(timeout=40) == 10
assert group(echo.s(n) for n in range(5))().get(timeout=40) == [0, 1, 2, 3, 4]
try:
    app.AsyncResult("nobody").get(timeout=0.2)
except app.backend.TimeoutError:
    print("well")
"""


@pytest.mark.parametrize("green", GREEN)
def test_clients_that_wait_in_green_threads(site, green):
    """Waiting in fifty green threads blocks none of the others."""
    assert site.run(GREEN[green] + WAITING, f"slow-{green}").strip() == "well"
