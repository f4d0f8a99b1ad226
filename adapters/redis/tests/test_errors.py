"""Each error of a server is either retried or reported at once."""

import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery, _state, chord, states
from celery.exceptions import BackendStoreError, Reject
from celery.exceptions import TimeoutError as WaitedTooLong
from kvbackends_redis import RedisStore

from kvbackends import StoreError, StoreUnavailable, ValueTooLarge, open_store
from kvbackends.contract import SIZE_PLACE, Limits, Offer, Outcome, Part, Rank
from tests.backend.bench import Bench
from tests.backend.tasks import add_tasks
from tests.servers import redis_server
from tests.servers.proxy import FaultProxy
from tests.support.redis_troubles import (
    CASES,
    KEY,
    NEVER,
    REPORTED,
    RETRIED,
    SECRET,
    WORKS,
    Case,
    Place,
    trouble,
)

RETRIES = 0.5
"""Seconds of retries, where a situation does not pass meanwhile."""
PATIENCE = 20.0
"""Seconds of retries where none is needed, unless the machine stalls; and of waiting."""
ONE_CALL = 6.0
"""Seconds: an answer that is waited for in vain takes 0.3 of them; the rest is a busy machine's."""
OFFER = Offer(KEY, b'{"status": "SUCCESS"}', Rank.SUCCEEDED, 60)
TASK = KEY.removeprefix("celery-task-meta-")

KINDS = (WORKS, RETRIED, REPORTED)

InTrouble = tuple[Place, Callable[[], object]]


def refuse(stored: bytes) -> Rank:
    raise AssertionError("the client was asked for a rank")


def told(error: BaseException) -> str:
    """The messages of an error and of all that caused it; none holds a secret."""
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(error)
    messages, cause = [], error
    while cause is not None:
        messages.append(str(cause))
        cause = cause.__cause__
    return "\n".join(messages)


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


# What an error is called, and what a script makes of it, is each version's own.
OTHERS = [pytest.param(each, marks=pytest.mark.slow) for each in ("6.2", "8", "valkey")]


@pytest.fixture(params=["7.0", *OTHERS])
def version(request) -> str:
    return request.param


@pytest.fixture
def in_trouble(case, version) -> Iterator[InTrouble]:
    """A server in this situation, and how to end it."""
    if case is CASES["LOADING"] and version == "6.2":
        pytest.skip("it does not answer while it loads so little")
    with trouble(case, version) as both:
        yield both


def outcome(call: Callable[[], object], says: str, most: float = 0) -> str:
    """The outcome of a call, within bounded time."""
    began = time.monotonic()
    error = raised_by(call)
    took = time.monotonic() - began
    assert took < RETRIES + ONE_CALL + most
    if error is None:
        return WORKS
    assert re.search(says, told(error))
    if isinstance(error, (StoreUnavailable, BackendStoreError, WaitedTooLong)):
        assert took > RETRIES / 5  # the last pause would have been longer than what was left
        return RETRIED
    assert isinstance(error, StoreError)
    assert re.search(r"\(.+\)$", str(error)), "what to do"
    return REPORTED


def raised_by(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except Exception as error:
        return error
    return None


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_each_error_is_retried_or_reported(case, in_trouble, make_app):
    """In time, by name, and without secrets; when it is over, all is as before."""
    place, end = in_trouble
    retries = RETRIES if RETRIED in (case.writes, case.reads) else PATIENCE
    app = make_app(f"{place.url}&retry_timeout={retries}")
    store, result = app.backend.store, app.AsyncResult(TASK)
    app.tasks["echo"].s(5).set(task_id=TASK).delay()
    message = app.bench.take()
    # A task whose success cannot be stored ends as a failure, which cannot be stored either.
    assert outcome(lambda: run(app, message), case.says, RETRIES) == case.writes
    assert outcome(lambda: store.get(KEY), case.says) == case.reads
    waited = case.reads if case.reads != WORKS or case.stored else RETRIED
    seconds = RETRIES if waited == RETRIED else PATIENCE
    says = case.says if case.reads != WORKS else ""
    assert outcome(lambda: result.get(timeout=seconds), says) == waited
    if end() is NEVER:
        return
    assert until_it_answers(store) == case.stored
    assert run(app, message) is None
    assert result.get(timeout=5) == 5


def until_it_answers(store: Any) -> bool:
    """True if the result is there by now."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return store.get(KEY) is not None
        except StoreUnavailable:
            continue
    raise AssertionError("it is still in trouble")


def run(app: Celery, message: Any) -> None:
    """Run a task as a worker does; raises what the worker would log as an error of its own."""
    ended = app.bench.run(message)
    error = getattr(ended.retval, "exception", None)
    if error is not None:
        raise getattr(error, "exc", error)


def test_the_table_in_the_docs_says_the_same():
    """`docs/redis.md`: what is retried, what is reported."""
    text = (Path(__file__).parents[3] / "docs/redis.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()]
    told = {row[0]: tuple(row[2:4]) for row in rows if len(row) == 5 and row[2] in KINDS}
    assert told == {name: (case.writes, case.reads) for name, case in CASES.items()}


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
@pytest.mark.parametrize(("name", "raised"), [("READONLY", Reject), ("OOM", StoreError)])
def test_a_part_that_could_not_be_stored_is_redelivered(make_app, name, raised):
    """With late acknowledgement, what was retried in vain comes again; then the chord ends."""
    with trouble(CASES[name], "7.0") as (place, end):
        end()
        app = make_app(f"{place.url}&retry_timeout={RETRIES}")
        app.tasks["echo"].acks_late = True
        result = chord([app.tasks["echo"].s(n) for n in range(2)])(app.tasks["total"].s())
        parts = [app.bench.take(), app.bench.take()]
        with contextmanager(CASES[name].begin)(place) as end_again:
            with pytest.raises(raised) as rejected:
                app.bench.run(parts[0])
            assert getattr(rejected.value, "requeue", False) is (raised is Reject)
            end_again()
        for part in parts:
            run(app, part)
        app.bench.run_all()
        assert result.get(timeout=5) == 1


PASSING = [pytest.param(each, id=name) for name, each in CASES.items() if each.writes == RETRIED]


@pytest.mark.parametrize("case", PASSING)
def test_operations_outlast_transient_states(case, in_trouble):
    """Without anybody's help: the call that met it ends well."""
    place, end = in_trouble
    with closing(open_store(f"{place.url}&retry_timeout=30")) as store:
        timer = threading.Timer(0.2, end)
        timer.start()
        assert store.offer(OFFER, refuse)
        assert store.get(KEY).value == OFFER.value
        timer.join()


@pytest.fixture
def make_app() -> Iterator[Callable[[str], Celery]]:
    """Makes an app with tasks, whose worker is the test."""
    made: list[Celery] = []
    before = _state._tls.current_app, _state.default_app

    def make(url: str) -> Celery:
        app = Celery("errors", set_as_current=False, broker="memory://", backend=f"kv+{url}")
        add_tasks(app)
        app.bench = Bench(app)
        app.set_current()
        made.append(app)
        return app

    yield make
    for app in made:
        app.backend.waiters.close()
        app.backend.store.close()
        app.close()
    _state._tls.current_app, _state.default_app = before


THREADS, ROUNDS = 8, 150


def test_flushed_scripts_are_sent_again_under_load(open_redis):
    """SCRIPT FLUSH again and again: nothing is lost, and only what met it is sent twice."""
    with redis_server() as server:
        store, done = open_redis(server.url), threading.Event()
        size = THREADS * ROUNDS
        store.barrier("barrier", 60).open(b"about")
        store.barrier("barrier", 60).expect(Part(SIZE_PLACE, "size", "size"), size)
        store.client.config_resetstat()

        def forget() -> None:
            while not done.wait(0.002):
                store.client.script_flush()

        def work(thread: int) -> list[Outcome]:
            return [each for step in range(ROUNDS) for each in finish(store, thread, step)]

        flushing = threading.Thread(target=forget)
        flushing.start()
        with ThreadPoolExecutor(THREADS) as threads:
            arrivals = [each for found in threads.map(work, range(THREADS)) for each in found]
        done.set()
        flushing.join()
        stats = store.client.info("all")
        keys = [f"{thread}-{step}" for thread in range(THREADS) for step in range(ROUNDS)]
        assert arrivals.count(Outcome.CLAIMED) == 1
        assert arrivals.count(Outcome.WAITING) == size - 1
        assert sorted(value for _, _, value in store.barrier("barrier").parts()) == sorted(
            map(record, keys)
        )
        large = store.get_batch([f"large-{key}" for key in keys])
        assert {len(value) for value in large.values()} == {LARGE}
        assert len(large) == size
        forgotten = stats["errorstat_NOSCRIPT"]["count"]
        assert forgotten > 10
        assert stats["cmdstat_evalsha"]["calls"] == 2 * size
        assert stats["cmdstat_eval"]["calls"] == forgotten


LARGE = 100_000


def record(key: str) -> bytes:
    return b'{"status": "SUCCESS", "result": "%b"}' % key.encode()


def finish(store: RedisStore, thread: int, step: int) -> Iterator[Outcome]:
    """A part of the barrier with its result, and a large result beside it."""
    key = f"{thread}-{step}"
    assert store.offer(Offer(f"large-{key}", record(key).ljust(LARGE), Rank.SUCCEEDED, 60), refuse)
    part = Part(thread * ROUNDS + step, key, f"delivery-{key}")
    yield (
        store.barrier("barrier", 60)
        .finish(part, Offer(key, record(key), Rank.SUCCEEDED, 60), refuse)
        .outcome
    )


LIMIT = 512 * 1024 * 1024
NOBODY = "redis://127.0.0.1:1/0?retry_timeout=0.1"


def test_more_than_512_mb_is_refused_before_anything_is_sent(make_app):
    """Nobody listens where it would be sent to, and nobody is missed."""
    large = bytes(LIMIT + 1)
    with closing(open_store(NOBODY)) as store:
        for refused in (
            lambda: store.set("key", large),
            lambda: store.offer(OFFER._replace(value=large), refuse),
            lambda: store.compare_and_set("key", large, None),
            lambda: store.barrier("barrier", 60).arrive(Part(0, "task", "delivery"), large),
        ):
            with pytest.raises(ValueTooLarge, match=f"{LIMIT + 1} bytes is above .* {LIMIT};"):
                refused()
        with pytest.raises(StoreUnavailable):
            store.set("key", large[:10])
    with pytest.raises(ValueTooLarge):
        make_app(NOBODY).backend.set("key", "😀" * (LIMIT // 4 + 1))  # few letters, many bytes


def test_a_task_that_returns_too_much_fails(monkeypatch, redis_url, make_app):
    """By a smaller limit: the record of the failure is all that is sent."""
    monkeypatch.setattr(RedisStore, "limits", Limits(value_bytes=2000))
    place = urlsplit(redis_url)
    with FaultProxy(place.hostname, place.port) as proxy:
        app = make_app(proxy.url_of(redis_url))
        result = app.tasks["large"].delay(100_000)
        app.backend.store_result("before", 1, states.SUCCESS)  # the server knows the script now
        before = proxy.counts
        app.bench.run_all()
        sent = proxy.counts - before
        assert (sent.round_trips, sent.to_server < 4000) == (1, True)
        with pytest.raises(Exception, match="above the store's limit of 2000"):
            result.get(timeout=5)
        assert result.state == states.FAILURE


def test_without_channel_permissions_a_waiter_polls(make_app):
    """A client without rights on channels waits all the same; it finds the result by reading."""
    with trouble(CASES["NOPERM channel"], "7.0") as (place, _):
        result = make_app(place.url).AsyncResult(TASK)
        worker = make_app(place.server.url).backend
        timer = threading.Timer(0.3, worker.store_result, [TASK, 5, states.SUCCESS])
        timer.start()
        began = time.monotonic()
        assert result.get(timeout=20) == 5
        assert time.monotonic() - began < 15
        timer.join()


def documented_rights() -> list[str]:
    """The rights that the README says a user needs, as ACL SETUSER takes them."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    [text] = re.findall(r"\*\*Permissions\*\*: .*?\n\n", readme, re.DOTALL)
    commands = [word for group in re.findall(r"`([A-Z\s]+)`", text) for word in group.split()]
    [places] = re.findall(r"`((?:[~&]\S+\s?)+)`", text)
    return [*places.split(), *(f"+{command.lower()}" for command in commands)]


def test_the_documented_permissions_are_enough(make_app):
    """For results, a wait that is told, a chord, and what is large."""
    rights = documented_rights()
    assert len(rights) > 30
    with redis_server() as server, redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "worker", "on", f">{SECRET}", *rights)
        app = make_app(server.url.replace("redis://", f"redis://worker:{SECRET}@") + "?retry=0")
        body = chord([app.tasks["echo"].s(n) for n in range(3)])(app.tasks["total"].s())
        large = app.tasks["large"].delay(LARGE)
        app.GroupResult("g", [large]).save()
        worker = threading.Timer(0.3, app.bench.run_all)
        worker.start()
        assert body.get(timeout=10) == 3
        assert len(large.get(timeout=10)) == LARGE
        worker.join()
        assert app.GroupResult.restore("g").results == [large]
        large.forget()
        assert list(app.backend.store.scan("celery-task-meta-"))
        denied = admin.acl_log()
        assert not denied, denied
