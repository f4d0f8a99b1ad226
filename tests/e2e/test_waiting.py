"""Waiting in other processes and threads, and what it leaves behind."""

import pickle
import statistics
import time

import pytest
from celery.exceptions import TimeoutError as ResultTimeout

from tests.e2e.deployment import Deployment


@pytest.fixture(scope="module")
def deployment(deploy) -> Deployment:
    deployment = deploy("redis", query="claim_lease=7", result_expires=4321)
    deployment.worker("-c", "2")
    return deployment


def test_a_waiter_wakes_in_milliseconds(deployment):
    """Between a task's end in its worker and the client's return lie milliseconds.

    The machine may be busy for some seconds: the best of a few rounds counts.
    """
    medians = []
    while not medians or (medians[-1] >= 0.05 and len(medians) < 5):
        medians.append(statistics.median(seconds_too_late(deployment) for _ in range(20)))
    assert min(medians) < 0.05, medians


def seconds_too_late(deployment):
    ended = deployment.sig("stamp", 0.05).delay().get(timeout=60)
    return time.time() - ended


def test_a_timeout_of_zero_looks_once(deployment):
    """With ``timeout=0`` a result that is there is returned, and one that is not is not awaited."""
    done = deployment.sig("echo", 1).delay()
    done.get(timeout=60)
    assert deployment.app.AsyncResult(done.id).get(timeout=0) == 1
    began = time.monotonic()
    with pytest.raises(ResultTimeout):
        deployment.app.AsyncResult("nobody").get(timeout=0)
    assert time.monotonic() - began < 1


def test_then_is_called_when_this_process_reads_the_result(deployment):
    """A callback of ``then`` gets the result when a wait in this process has read it."""
    called = []
    result = deployment.sig("echo", 5).delay()
    result.then(called.append)
    result.get(timeout=60)
    assert [each.result for each in called] == [5]


def test_a_result_in_another_process(deployment):
    """A pickled result, and a pickled backend, keep their URL and settings in another process."""
    result = deployment.sig("echo", [1, 2]).delay()
    (deployment.folder / "pickled").write_bytes(pickle.dumps((result, deployment.app.backend)))
    assert deployment.run(UNPICKLE) == f"[1, 2] {deployment.store} 7.0 4321.0"


UNPICKLE = """
import pickle
result, backend = pickle.load(open("pickled", "rb"))
value = result.get(timeout=30)
assert result.backend.as_uri() == backend.as_uri()
claim_lease = backend.url.partition("claim_lease=")[2]
print(value, backend.as_uri(), float(claim_lease), backend.times.result)
"""

WRITER = """
import gc, os, threading, time, uuid
from tests.e2e.app import app
backend = app.backend

def write_soon(ids, seconds=0.02):
    def write():
        time.sleep(seconds)
        for n, each in enumerate(ids):
            backend.store_result(each, n, "SUCCESS")
    thread = threading.Thread(target=write)
    thread.start()
    return thread

def owners():
    return [each for each in threading.enumerate() if each.name == "kvbackends-waiting"]

def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
"""

LEFTOVERS = (
    WRITER
    + """
def memory():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def rounds(count):
    for _ in range(count):
        ids = [uuid.uuid4().hex for _ in range(500)]
        writing = write_soon(ids)
        results = [app.AsyncResult(each) for each in ids]
        assert [each.get(timeout=30) for each in results] == list(range(500))
        writing.join()

rounds(4)
until(lambda: not owners())
files, threads, before = len(os.listdir("/proc/self/fd")), threading.active_count(), memory()
objects = len(gc.get_objects())
rounds(20)
until(lambda: not owners())
gc.collect()
assert threading.active_count() == threads, threading.enumerate()
# Connections that are kept for use are as many as there were calls at one moment.
until(lambda: len(os.listdir("/proc/self/fd")) <= files + 2)
assert not backend._pending_results.weak, len(backend._pending_results.weak)
assert not backend._pending_results.concrete
grown = len(gc.get_objects()) - objects
assert grown < 1000, grown
grown = (memory() - before) / 2**20
assert grown < 40, grown  # the pages of a file that grows are most of it
print("nothing")
"""
)


def test_ten_thousand_waits_leave_nothing(deployment):
    """After 10,000 waited results: no thread, no file, no registered result, no memory."""
    assert deployment.run(LEFTOVERS) == "nothing"


THREADS = (
    WRITER
    + """
opened = []
real = type(backend.store).subscribe
subscribe = backend.store.subscribe
backend.store.subscribe = lambda: opened.append(1) or subscribe()
ids = [uuid.uuid4().hex for _ in range(1000)]
right = []

def wait(mine):
    values = [app.AsyncResult(each).get(timeout=50) for each in mine]
    right.append(values == [ids.index(each) for each in mine])

threads = [threading.Thread(target=wait, args=(ids[n::100],)) for n in range(100)]
for each in threads:
    each.start()
until(lambda: owners() and opened)
most = len(owners())
writing = write_soon(ids)
for each in (*threads, writing):
    each.join()
assert right == [True] * 100, right
assert (most, len(opened)) == (1, 1), (most, opened)
print("one")
"""
)


def test_a_hundred_threads_share_one_subscription(deployment):
    """100 threads that wait for 1,000 results are served by one thread and one subscription."""
    assert deployment.run(THREADS) == "one"


AWAITING = (
    WRITER
    + """
import asyncio
from kvbackends import aget

async def main():
    ids = [uuid.uuid4().hex for _ in range(200)]
    waits = [asyncio.create_task(aget(app.AsyncResult(each), timeout=40)) for each in ids]
    cancelled = [asyncio.create_task(aget(app.AsyncResult("never"))) for _ in range(20)]
    await asyncio.sleep(0.1)
    for each in cancelled:
        each.cancel()
    writing = write_soon(ids)
    assert await asyncio.gather(*waits) == list(range(200))
    ended = await asyncio.gather(*cancelled, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    writing.join()
    try:
        await aget(app.AsyncResult("never"), timeout=0.1)
    except TimeoutError as error:
        raise AssertionError("not Celery's") from error
    except app.backend.TimeoutError:
        pass
    assert await aget(app.tasks["e2e.echo"].delay(3), timeout=40) == 3
    try:
        await aget(app.tasks["e2e.fail"].delay(), timeout=40)
    except ValueError as error:
        assert "on purpose" in str(error)

asyncio.run(main())
until(lambda: not owners())
gc.collect()
assert not backend._pending_results.weak, dict(backend._pending_results.weak)
print("awaited")
"""
)


def test_two_hundred_awaited_results(deployment):
    """200 results are awaited in one event loop; cancelled waits leave nothing."""
    assert deployment.run(AWAITING) == "awaited"


FORKING = (
    WRITER
    + """
import signal, warnings
warnings.simplefilter("ignore")
ids = [uuid.uuid4().hex for _ in range(100)]

def wait():
    return [app.AsyncResult(each).get(timeout=20) for each in ids] == list(range(100))

first = [uuid.uuid4().hex]
writing = write_soon(first)
assert app.AsyncResult(first[0]).get(timeout=20) == 0
writing.join()
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        signal.alarm(40)
        os._exit(0 if wait() else 1)
    children.append(child)
writing = write_soon(ids, 0.3)
assert wait()
writing.join()
assert [os.waitpid(each, 0)[1] for each in children] == [0] * 4
print("forked")
"""
)


def test_fork_after_waiting(deployment):
    """Children forked from a process that has waited wait for themselves, beside their parent."""
    assert deployment.run(FORKING) == "forked"
