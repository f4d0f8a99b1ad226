"""The cost of each of Celery's operations on the wire, counted by a proxy before a real Redis."""

import gc
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context
from celery.exceptions import TimeoutError as WaitedTooLong
from kvbackends_redis.operations import scripts
from kvbackends_redis.operations.ranked import INLINE

from tests.backend.bench import Bench
from tests.backend.round_trips import OPERATIONS, Bed, committed
from tests.backend.tasks import add_tasks
from tests.servers.proxy import Counts, FaultProxy

MANY = 2500
STARTED = "STARTED, then SUCCESS"


class OnTheWire:
    """Counts the requests that an answer followed."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy

    def counts(self, work: Callable[[], object]) -> Counts:
        before = self.proxy.counts
        work()
        return self.proxy.counts - before

    def spent(self, work: Callable[[], object]) -> int:
        counted = self.counts(work)
        assert counted.connections == 0, "its handshake is counted, too"
        return counted.round_trips


@pytest.fixture
def bed(redis_url: str) -> Iterator[Bed]:
    """An app on an empty server; it is connected, and the scripts are known."""
    host, port = redis_url.removeprefix("redis://").removesuffix("/0").split(":")
    with FaultProxy(host, int(port)) as proxy:
        backend = f"kv+{proxy.url_of(redis_url)}"
        app: Any = Celery("wire", set_as_current=False, broker="memory://", backend=backend)
        app.conf.result_expires = 60
        add_tasks(app)
        app.bench = Bench(app)
        app.set_current()
        client = app.backend.client
        client.flushdb()
        for each in vars(scripts).values():
            if isinstance(each, scripts.Script):
                client.script_load(each.text)
        app.backend.store.ping()
        yield Bed(app, OnTheWire(proxy))
        app.backend.store.close()
        app.close()


@pytest.mark.parametrize("title", OPERATIONS)
def test_each_operation_costs_what_it_costs_on_a_store_that_has_everything(bed, title):
    """The page's column of SQLite, whose calls of the store are round trips here."""
    spent = OPERATIONS[title](bed)
    if title == STARTED:  # whose first answer may come before the second is sent, or with its own
        assert 1 <= spent <= committed()[title]["sqlite"]
    else:
        assert spent == committed()[title]["sqlite"]


PROMISED = {
    "`delay()`": 0,
    "store a final result": 1,
    "store a final result, one is there": 1,
    STARTED: 2,  # and the first is not waited for: see test_deferred.py
    "get of a ready result": 1,
    f"get of {MANY} ready results": 3,
    f"save a group of {MANY}": 1,
    "start a chord": 2,
    "chord header task: result and part": 1,
    "the last of 3 parts: result, part, values, body, end": 4,
}


@pytest.mark.parametrize("title", PROMISED)
def test_that_is_what_was_promised(title):
    assert committed()[title]["sqlite"] <= PROMISED[title]


@pytest.mark.parametrize("read", ["get_many", "get", "join_native", "iterate"])
def test_ready_results_are_read_a_thousand_at_a_time(bed, read):
    ids = [uuid.uuid4().hex for _ in range(MANY)]
    for each in ids:
        bed.app.backend.mark_as_done(each, 1)
    group = bed.app.GroupResult("g", [bed.app.AsyncResult(each) for each in ids])
    reads: dict[str, Callable[[], Any]] = {
        "get_many": lambda: list(bed.app.backend.get_many(ids)),
        "get": lambda: group.get(timeout=10),
        "join_native": lambda: group.join_native(timeout=10),
        "iterate": lambda: list(group.iter_native()),
    }
    found: list[Any] = []
    assert bed.spent(lambda: found.extend(reads[read]())) == 3
    assert len(found) == MANY


def test_the_last_part_reads_a_thousand_parts_at_a_time(bed):
    """Beside them: its own arrival, which claims; is the claim still mine; and the end."""
    size = MANY
    *parts, last = bed.chord(*[bed.task("echo").s(place) for place in range(size)])
    for each in parts:
        bed.run(each)
    reads = -(-size // 1000)
    assert bed.run(last) <= 3 + reads
    assert sorted(bed.app.bench.take("echo").args[0]) == list(range(size))


def test_a_part_costs_the_same_in_a_small_and_in_a_large_header(bed):
    """In round trips and in bytes."""
    costs = []
    for size in (10, 1000):
        parts = bed.chord(*[bed.task("echo").s(1) for _ in range(size)])
        for each in parts[: size // 2]:
            bed.run(each)
        one = parts[size // 2]
        costs.append(bed.counter.counts(lambda one=one: bed.run(one)))
    small, large = costs
    assert small.round_trips == large.round_trips == 1
    assert abs(large.to_server - small.to_server) < 20
    assert large.to_client == small.to_client


def test_unready_parents_are_looked_at_in_batches_after_the_first_time(bed):
    """Celery's own code asks for each parent once; then all are asked for together."""
    header = bed.app.GroupResult("h", [bed.app.AsyncResult(str(n)) for n in range(300)])
    result = bed.app.AsyncResult("t", parent=header)

    def wait() -> None:
        with pytest.raises(WaitedTooLong):
            result.get(timeout=0.5, interval=0.05)

    counted = bed.counter.counts(wait)
    assert counted.connections <= 2, "the listener's, and that of the reads"
    looks = 30  # two of which are handshakes
    assert 300 <= counted.round_trips <= 300 + looks


@pytest.mark.parametrize("size", [1_000, 10_000, 100_000, 1_000_000])
def test_a_result_crosses_the_wire_once(bed, size):
    value = "x" * size
    counted = bed.counter.counts(lambda: bed.app.backend.mark_as_done("t", value))
    # A large one is two commands, sent together; the first may be answered before all has arrived.
    assert 1 <= counted.round_trips <= (2 if size > INLINE else 1)
    assert size < counted.to_server < size + 1200
    read = bed.counter.counts(lambda: bed.app.AsyncResult("t").get())
    assert read.round_trips == 1
    assert size < read.to_client < size + 400


MOST_CALLS = 70
"""Functions of Python and C that one store may call; Celery's own Redis backend calls 598."""


def test_a_store_takes_few_steps_in_python(bed):
    """Costs that a machine's speed does not change; instructions are counted by `make bench`."""
    request = Context(task="task", hostname="host", args=[], kwargs={})
    calls = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    store = bed.app.backend.mark_as_done
    for _ in range(2):
        store(uuid.uuid4().hex, "x" * 200, request=request)
    task_id = uuid.uuid4().hex
    gc.disable()  # what others have left behind ends some other time
    sys.setprofile(note)
    try:
        store(task_id, "x" * 200, request=request)
    finally:
        sys.setprofile(None)
        gc.enable()
    assert calls <= MOST_CALLS
