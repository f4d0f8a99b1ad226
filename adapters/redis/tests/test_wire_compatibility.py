"""Celery's own Redis backend and this one on the same keys: bytes, messages and notifications."""

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery, _state, chord, states
from celery.app.task import Context
from celery.exceptions import ChordError
from celery.result import GroupResult

from kvbackends.protocol import waiting
from tests.backend.bench import Bench
from tests.backend.tasks import add_tasks
from tests.support.raw_redis import Raw

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
VALUE = {"a": [1, 2.5, None, True], "b": "ü€😀", "long": "x" * 300}
LARGE = "ü" * 60_000
NEVER = (60, 60, 1)

Pair = tuple[Celery, Celery]


class Clock(datetime):
    """A clock that stands still: the time when a task has ended is in its record."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOW.astimezone(tz)


@pytest.fixture
def pairs(redis_url) -> Iterator[Callable[..., Pair]]:
    """Makes an app with Celery's backend and one with ours, of the same settings."""
    made: list[Celery] = []
    before = _state._tls.current_app, _state.default_app

    def pair(**conf: Any) -> Pair:
        for url in (redis_url, f"kv+{redis_url}"):
            app = Celery(f"wire-{len(made)}", set_as_current=False, broker="memory://")
            app.conf.update({"result_backend": url, "result_expires": 60, **conf})
            app.bench = Bench(app)
            add_tasks(app)
            made.append(app)
        return made[-2], made[-1]

    yield pair
    for app in made:
        close(app.backend)
        app.close()
    _state._tls.current_app, _state.default_app = before


def close(backend: Any) -> None:
    """Close either; results of Celery's that are collected later would connect again."""
    if hasattr(backend, "waiters"):
        backend.waiters.close()
        backend.store.close()
    else:
        backend.result_consumer.stop()
        backend.result_consumer._pubsub = None
        backend.client.connection_pool.disconnect()


@pytest.fixture
def raw(redis_url) -> Iterator[Raw]:
    """A client that knows nothing of Celery, nor of any driver."""
    with Raw(redis_url) as connection:
        yield connection


def request_of(app: Celery, task_id: str, **more: Any) -> Context:
    """As a worker has it."""
    children = [app.AsyncResult("child-1"), app.GroupResult("g", [app.AsyncResult("child-2")])]
    return Context(
        id=task_id,
        task="echo",
        args=[1, "ü"],
        kwargs={"k": None},
        hostname="worker@here",
        retries=2,
        delivery_info={"routing_key": "celery"},
        _children=children,
        **more,
    )


def store(app: Celery, state: str, task_id: str, value: Any = VALUE, **more: Any) -> None:
    """The calls of a worker at the end of a task, or in its middle."""
    backend, request = app.backend, request_of(app, task_id, **more)
    error = {"traceback": 'Traceback (most recent call last):\n  File "ü.py"', "request": request}
    match state:
        case states.SUCCESS:
            backend.mark_as_done(task_id, value, request=request)
        case states.FAILURE:
            backend.mark_as_failure(task_id, KeyError("key", 1), **error)
        case states.RETRY:
            backend.mark_as_retry(task_id, ValueError("again", {"x": 1}), **error)
        case states.REVOKED:
            backend.mark_as_revoked(task_id, "expired", request=request)
        case _:
            backend.store_result(task_id, {"pid": 7}, state, request=request)


STATES = (states.SUCCESS, states.FAILURE, states.RETRY, states.REVOKED, states.STARTED, "OWN")
SETTINGS: dict[str, dict[str, Any]] = {
    "json": {},
    "pickle": {"result_serializer": "pickle", "result_accept_content": ["pickle"]},
    "msgpack": {"result_serializer": "msgpack", "result_accept_content": ["msgpack"]},
    "yaml": {"result_serializer": "yaml", "result_accept_content": ["yaml"]},
    "gzip": {"result_compression": "gzip"},
    "bzip2 of pickle": {
        "result_compression": "bzip2",
        "result_serializer": "pickle",
        "result_accept_content": ["pickle"],
    },
    "extended": {"result_extended": True},
    "prefix": {"result_backend_transport_options": {"global_keyprefix": "ours:"}},
    "time zone": {"timezone": "Europe/Berlin"},
    "for ever": {"result_expires": 0},
    "failures": {"result_failure_expires": 33},
}


@pytest.fixture(params=SETTINGS)
def pair(request, pairs, monkeypatch) -> Pair:
    """Both, with settings that change what is stored, at one moment."""
    monkeypatch.setattr("celery.app.base.datetime", Clock)
    nanoseconds = int(NOW.timestamp()) * 10**9 + NOW.microsecond * 1000
    monkeypatch.setattr("kvbackends.backend.encoding.time_ns", lambda: nanoseconds)
    return pairs(**SETTINGS[request.param])


@contextmanager
def heard(raw: Raw, *keys: str) -> Iterator[list[bytes]]:
    """The messages published on the channels of these names during the block."""
    messages: list[bytes] = []
    with Raw(raw.url) as listener:
        listener.ask("SUBSCRIBE", *keys)
        yield messages
        messages += listener.messages()


@pytest.mark.parametrize(
    ("state", "value"), [*((each, VALUE) for each in STATES), (states.SUCCESS, LARGE)]
)
def test_stored_and_published_bytes_are_celerys(pair, raw, state, value):
    """Also the time that they live."""
    task_id, seen = str(uuid.uuid4()), []
    key = pair[0].backend.get_key_for_task(task_id).decode()
    for app in pair:
        with heard(raw, key) as messages:
            store(app, state, task_id, value, parent_id="parent", group="group")
        stored, left = raw.ask("GET", key), raw.ask("PTTL", key)
        assert messages == [stored]
        seen.append((stored, round(left / 1000)))
        assert raw.ask("DEL", key) == 1
    assert seen[0] == seen[1]


def test_a_task_without_parent_and_children(pair, raw):
    stored = []
    for app in pair:
        app.backend.store_result("bare", None, states.SUCCESS)
        stored.append(raw.ask("GET", app.backend.get_key_for_task("bare").decode()))
        raw.ask("DEL", app.backend.get_key_for_task("bare").decode())
    assert stored[0] == stored[1] != None  # noqa: E711 - one comparison tells both


def without_body(records):
    """The records without the id of the body, which Celery does not store and does not mind."""
    return [each.replace(b'"chord": "the-body", ', b"") for each in records]


def test_the_results_of_a_chord_are_celerys(pair, raw):
    """The header's, which here are stored together with their parts, and the body's."""
    seen = []
    for app in pair:
        app.set_current()
        header = [app.tasks[name].s(3).set(task_id=f"part-{name}") for name in ("echo", "add")]
        keys = [f"part-{name}" for name in ("echo", "add")] + ["the-body"]
        keys = [app.backend.get_key_for_task(each).decode() for each in keys]
        with heard(raw, *keys) as messages:
            chord(header, app=app)(app.tasks["total"].s().set(task_id="the-body"))
            group_id = app.bench.sent[-1].request["group"]
            app.bench.run_all()
        stored = [raw.ask("GET", key) for key in keys]
        left = [round(raw.ask("PTTL", key) / 1000) for key in keys]
        assert sorted(messages) == sorted(stored)
        seen.append((stored, left, group_id))
        raw.ask("DEL", *keys)
    (of_celery, lives, group), (ours, our_lives, our_group) = seen
    if b"part" in of_celery[0]:  # not compressed: the group's id is each chord's own
        same = [each.replace(our_group.encode(), group.encode()) for each in without_body(ours)]
        assert same == of_celery
    assert our_lives == lives


def test_a_group_is_stored_as_celerys_and_restored_by_the_other(pair, raw):
    """Celery publishes a group, too, where nobody can listen; we do not."""
    seen = []
    for writer, reader in itertools.permutations(pair):
        group = writer.GroupResult("g-1", [writer.AsyncResult("a"), writer.AsyncResult("b")])
        key = writer.backend.get_key_for_group(group.id).decode()
        with heard(raw, key) as messages:
            group.save()
        seen.append((raw.ask("GET", key), round(raw.ask("PTTL", key) / 1000)))
        assert messages == ([seen[0][0]] if writer is pair[0] else [])
        restored = GroupResult.restore("g-1", app=reader)
        assert restored.as_tuple() == group.as_tuple()
        assert restored.results[0].backend is reader.backend
        restored.delete()
        assert raw.ask("EXISTS", key) == 0
    assert seen[0] == seen[1]


@pytest.fixture(params=["Celery stores", "we store"])
def both(request, pairs, monkeypatch) -> tuple[Celery, Celery]:
    """A store by one backend and a wait by the other: woken by the message, or not at all."""
    monkeypatch.setattr(waiting, "SAFETY", NEVER)
    celerys, ours = pairs()
    return (celerys, ours) if request.param == "Celery stores" else (ours, celerys)


@contextmanager
def waited(raw: Raw, app: Celery, ids: list[str], make: Callable[[], Any]) -> Iterator[list[Any]]:
    """Waits in a thread for what `make` makes; holds it, and what it got.

    In that thread, because Celery's backend belongs to one.
    """
    held: list[Any] = []

    def wait() -> None:
        held.append(make())
        held.append(held[0].get(timeout=20, propagate=False))
        if app.backend is not own:
            close(app.backend)

    own, thread = app.backend, threading.Thread(target=wait)
    thread.start()
    until(lambda: listeners(raw, ids) == [1] * len(ids))
    time.sleep(0.1)  # what is read once after the subscription has been read
    yield held
    thread.join(20)
    until(lambda: listeners(raw, ids) == [0] * len(ids))


def listeners(raw: Raw, ids: list[str]) -> list[int]:
    """How many listen to each of these tasks."""
    return raw.ask("PUBSUB", "NUMSUB", *(f"celery-task-meta-{each}" for each in ids))[1::2]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("value", [VALUE, LARGE], ids=["small", "large"])
def test_a_client_is_woken_by_the_others_worker(both, raw, value):
    """It waits on through STARTED and RETRY, and takes what is published last."""
    writer, reader = both
    task_id = str(uuid.uuid4())
    with waited(raw, reader, [task_id], lambda: reader.AsyncResult(task_id)) as held:
        for state in (states.STARTED, states.RETRY):
            store(writer, state, task_id)
        time.sleep(0.1)
        assert len(held) == 1
        store(writer, states.SUCCESS, task_id, value)
    result, got = held
    assert got == value
    assert result.state == writer.AsyncResult(task_id).state == states.SUCCESS
    assert [child.id for child in result.children] == ["child-1", "g"]


def test_a_failure_wakes_the_others_client(both, raw):
    writer, reader = both
    task_id = str(uuid.uuid4())
    with waited(raw, reader, [task_id], lambda: reader.AsyncResult(task_id)) as held:
        store(writer, states.FAILURE, task_id)
    result, got = held
    assert isinstance(got, KeyError)
    assert got.args == ("key", 1)
    assert result.traceback.startswith("Traceback")


def test_a_group_of_results_wakes_the_others_client(both, raw):
    """Some are there when the wait begins."""
    writer, reader = both
    ids = [str(uuid.uuid4()) for _ in range(40)]

    def group() -> GroupResult:
        return reader.GroupResult("g", [reader.AsyncResult(each) for each in ids])

    for number, each in enumerate(ids[:10]):
        store(writer, states.SUCCESS, each, number)
    with waited(raw, reader, ids[10:], group) as held:
        for number, each in enumerate(ids[10:], 10):
            store(writer, states.SUCCESS, each, number)
    assert held[1] == list(range(40))


def test_ours_does_not_replace_a_success_of_celerys(pairs, raw):
    """Nor the other way round: both look at what is stored."""
    for first, second in itertools.permutations(pairs()):
        task_id = str(uuid.uuid4())
        key = f"celery-task-meta-{task_id}"
        store(first, states.SUCCESS, task_id, 1)
        stored = raw.ask("GET", key)
        with heard(raw, key) as messages:
            for state in (states.STARTED, states.RETRY, states.FAILURE, states.SUCCESS):
                store(second, state, task_id, 2)
        assert raw.ask("GET", key) == stored
        assert not messages


def test_what_one_forgets_the_other_does_not_find(pairs):
    celerys, ours = pairs()
    for writer, reader in ((celerys, ours), (ours, celerys)):
        task_id = str(uuid.uuid4())
        store(writer, states.SUCCESS, task_id)
        assert reader.AsyncResult(task_id).get(timeout=5) == VALUE
        reader.AsyncResult(task_id).forget()
        assert writer.backend.get_task_meta(task_id, cache=False)["status"] == states.PENDING


SIZE = 4
STARTERS = ["Celery begins", "we begin"]


@pytest.mark.parametrize("starting", [0, 1], ids=["Celery begins", "we begin in its books"])
@pytest.mark.parametrize("of_the_other", range(1, SIZE + 1))
@pytest.mark.parametrize("failing", [False, True], ids=["succeeds", "fails"])
def test_a_chord_in_celerys_books_ends_on_workers_of_both(pairs, starting, of_the_other, failing):
    """Whichever worker runs a header task, its part returns to the books of the chord, once."""
    apps = pairs(result_backend_transport_options={"chords": "celery"} if starting else {})
    starter, other = apps[starting], apps[1 - starting]
    result = started_chord(starter, "fail" if failing else "echo")
    header = [starter.bench.take() for _ in range(SIZE)]
    for place, message in enumerate(header):
        runner = other if place < of_the_other else starter
        runner.set_current()
        runner.bench.run(message)
        runner.bench.run(message, redelivered=True)
    sent = [(app, app.bench.take("total")) for app in apps if app.bench.queue]
    if not failing:
        [(app, message)] = sent
        app.bench.run(message)
    assert not any(app.bench.queue for app in apps)
    for app in apps:
        waited = app.AsyncResult(result.id)
        if failing:
            assert isinstance(waited.get(timeout=5, propagate=False), ChordError)
        else:
            assert waited.get(timeout=5) == 6


@pytest.mark.parametrize("of_the_other", range(1, SIZE + 1))
def test_a_chord_of_ours_does_not_end_on_celerys_workers(pairs, raw, of_the_other):
    """Celery's own class does not know our books: the body is never sent, the results are there.

    `docs/moving-in.md` says what to do.  Nothing of it is kept for ever.
    """
    other, starter = apps = pairs(result_chord_expires=30)
    before = set(raw.ask("KEYS", "*"))
    result = started_chord(starter)
    header = [starter.bench.take() for _ in range(SIZE)]
    for place, message in enumerate(header):
        runner = other if place < of_the_other else starter
        runner.set_current()
        runner.bench.run(message)
    for app in apps:
        assert not app.bench.queue
        assert app.AsyncResult(result.id).state == states.PENDING
        values = [app.AsyncResult(each.id).get(timeout=5) for each in header]
        assert values == [0, 1, 2, 3]
    left = set(raw.ask("KEYS", "*")) - before
    assert all(0 < raw.ask("TTL", key) <= 60 for key in left), left
    # What a person may do: send the body with the values.
    starter.set_current()
    starter.tasks["total"].s(values).set(task_id=result.id).delay()
    starter.bench.run_all()
    assert result.get(timeout=5) == 6


@pytest.mark.parametrize("starting", [0, 1], ids=STARTERS)
def test_a_chord_of_one_ends_for_the_others_client(pairs, starting):
    """Begun and run by one; the other only waits for its result."""
    apps = pairs()
    result = started_chord(apps[starting])
    apps[starting].bench.run_all()
    assert apps[1 - starting].AsyncResult(result.id).get(timeout=5) == 6


def started_chord(app: Celery, name: str = "echo") -> Any:
    """The result of its body; the header waits for a worker."""
    app.set_current()
    header = [app.tasks[name].s(number) for number in range(SIZE)]
    return chord(header, app=app)(app.tasks["total"].s())
