"""Results that are absent here are read in one of Celery's own backends: ``fallback=…``."""

import asyncio
import signal
import threading

import pytest
from celery import states
from celery.exceptions import BackendGetMetaError, ImproperlyConfigured
from celery.exceptions import TimeoutError as ResultTimeout

import kvbackends
from kvbackends.backend import fallback
from tests.backend.old_backends import OldBackend, RowsBackend

OLD = "tests.backend.old_backends:OldBackend"
ROWS = "tests.backend.old_backends:RowsBackend"
LACKING = "tests.backend.old_backends:LackingBackend"


@pytest.fixture(autouse=True)
def old(monkeypatch):
    """Old backends that are empty."""
    monkeypatch.setattr(OldBackend, "values", {})
    monkeypatch.setattr(OldBackend, "calls", [])
    monkeypatch.setattr(RowsBackend, "rows", {})
    monkeypatch.setattr(fallback, "LINGER", 0.01)
    return OldBackend


@pytest.fixture(params=[OLD, ROWS])
def app(make_app, request):
    """An app with an old place, of keys or of rows."""
    app = make_app(result_backend_transport_options={"fallback": request.param})
    yield app
    end(app)


@pytest.fixture
def keys_app(make_app):
    app = make_app(result_backend_transport_options={"fallback": OLD})
    yield app
    end(app)


def end(app):
    """Wait until the thread that reads the old place has ended."""
    thread = app.backend.fallback._reader()._thread
    if thread is not None:
        thread.join(10)


def store_old(app, task_id, value, state=states.SUCCESS):
    """Store a result as an old worker does, in either kind of place."""
    writer = OldBackend(app=app)
    writer.store_result(task_id, value, state)
    meta = writer.get_task_meta(task_id, cache=False)
    RowsBackend.rows[task_id] = meta
    OldBackend.calls.clear()


@pytest.mark.parametrize(
    "read",
    [
        lambda result: result.get(timeout=5),
        lambda result: result.result,
        lambda result: dict(result.backend.get_many([result.id]))[result.id]["result"],
        lambda result: asyncio.run(kvbackends.aget(result, timeout=5)),
        lambda result: result.app.GroupResult("g", [result]).join_native(timeout=5)[0],
        lambda result: asyncio.run(last(kvbackends.achanges(result, timeout=5)))["result"],
    ],
    ids=["get", "state", "get_many", "aget", "join", "achanges"],
)
def test_an_old_result_is_read(app, read):
    store_old(app, "t", {"a": 1})
    assert read(app.AsyncResult("t")) == {"a": 1}


async def last(metas):
    return [each async for each in metas][-1]


def test_an_old_failure_is_raised(app):
    store_old(app, "t", ValueError("old"), states.FAILURE)
    with pytest.raises(ValueError, match="old"):
        app.AsyncResult("t").get(timeout=5)
    assert app.AsyncResult("t").state == states.FAILURE


def test_an_unready_state_is_read(app):
    store_old(app, "t", {"done": 1}, "PROGRESS")
    assert app.AsyncResult("t").state == "PROGRESS"


def test_what_is_here_is_not_looked_up(keys_app):
    """Only keys that are absent here are read there, all of them in one request."""
    app = keys_app
    for each in ("a", "b"):
        store_old(app, each, "old")
    app.backend.store_result("c", "new", states.SUCCESS)
    app.backend.store_result("b", "new", states.SUCCESS)
    found = dict(app.backend.get_many(["a", "b", "c", "d"], max_iterations=1))
    values = {each: meta["result"] for each, meta in found.items()}
    assert values == {"a": "old", "b": "new", "c": "new"}
    a, b, c, d = (f"celery-task-meta-{each}".encode() for each in "abcd")
    # Waits of other tests may still look there for keys of their own.
    asked = [(name, set(each)) for name, each in OldBackend.calls if {a, b, c, d} & set(each)]
    assert asked == [("mget", {a, d})]


def test_nothing_is_written_there(keys_app):
    app = keys_app
    app.tasks["echo"].delay(1)
    app.bench.run_all()
    app.AsyncResult("absent").forget()
    assert not OldBackend.values


def test_old_groups_are_restored(keys_app):
    app = keys_app
    store_old(app, "t", 1)
    OldBackend(app=app).save_group("g", app.GroupResult("g", [app.AsyncResult("t")]))
    assert app.GroupResult.restore("g", app=app).get(timeout=5) == [1]
    assert app.GroupResult.restore("absent", app=app) is None


def test_a_place_without_groups(make_app):
    app = make_app(result_backend_transport_options={"fallback": ROWS})
    assert app.GroupResult.restore("absent", app=app) is None
    end(app)


def test_a_group_that_mongodb_gives_as_a_list_is_a_group(keys_app, monkeypatch):
    app = keys_app
    found = {"task_id": "g", "result": [app.AsyncResult("t")]}
    monkeypatch.setattr(OldBackend, "_restore_group", lambda *_: dict(found))
    restored = app.GroupResult.restore("g", app=app)
    assert (restored.id, [each.id for each in restored.results]) == ("g", ["t"])


def test_a_wait_finds_what_an_old_worker_stores_meanwhile(app, monkeypatch):
    monkeypatch.setattr(fallback, "INTERVAL", 0.01)
    result = app.AsyncResult("t")
    asked = []

    def on_interval():
        asked.append(1)
        if len(asked) == 2:
            store_old(app, "t", 7)

    meta = app.backend.wait_for("t", timeout=30, interval=0.01, on_interval=on_interval)
    assert (meta["result"], result.get(timeout=5)) == (7, 7)


def test_a_wait_under_asyncio_finds_it_too(app, monkeypatch):
    monkeypatch.setattr("kvbackends.backend.aio.OLD_INTERVAL", 0.01)
    monkeypatch.setattr(fallback, "INTERVAL", 0.01)

    async def run():
        waiting = asyncio.create_task(kvbackends.aget(app.AsyncResult("t"), timeout=30))
        await asyncio.sleep(0.05)
        store_old(app, "t", 7)
        return await waiting

    assert asyncio.run(run()) == 7


def test_a_wait_reads_the_old_place_once_in_each_interval(keys_app, monkeypatch):
    """However often its parents are looked at."""
    assert fallback.INTERVAL >= 1
    monkeypatch.setattr(fallback, "INTERVAL", 3600)
    result = keys_app.AsyncResult("t", parent=keys_app.AsyncResult("p"))
    with pytest.raises(ResultTimeout):
        result.get(timeout=0.3, interval=0.01)
    # Celery asks for the parent's error before it waits; then for the result, and its parent.
    assert [name for name, _ in OldBackend.calls] == ["get", "mget", "mget"]


class TestAnOldPlaceThatIsAway:
    @pytest.fixture(autouse=True)
    def away(self, monkeypatch):
        monkeypatch.setattr(OldBackend, "away", True)

    def test_a_single_read_says_so(self, keys_app):
        """A result that may be there is never told to be pending."""
        with pytest.raises(BackendGetMetaError, match="which the option `fallback` names"):
            keys_app.AsyncResult("t").state  # noqa: B018 - a property that reads

    def test_a_wait_goes_on_and_warns_once(self, keys_app, caplog):
        with pytest.raises(ResultTimeout):
            keys_app.AsyncResult("t").get(timeout=0)
        with pytest.raises(ResultTimeout):
            keys_app.AsyncResult("t").get(timeout=0)
        assert caplog.text.count("could not be read: ConnectionError: away") == 1

    def test_what_is_here_is_read(self, keys_app):
        keys_app.backend.store_result("t", 1, states.SUCCESS)
        assert keys_app.AsyncResult("t").get(timeout=5) == 1


def test_a_silent_old_place_does_not_hold_up_a_read(keys_app, monkeypatch):
    """Celery's classes keep no time limit."""
    import threading

    silent = threading.Event()
    monkeypatch.setattr(fallback, "LONGEST", 0.01)
    monkeypatch.setattr(OldBackend, "get", lambda *_: silent.wait(60))
    try:
        with pytest.raises(BackendGetMetaError, match="did not answer"):
            keys_app.AsyncResult("t").state  # noqa: B018
    finally:
        silent.set()


def test_without_a_driver_the_read_says_so(make_app):
    app = make_app(result_backend_transport_options={"fallback": LACKING})
    with pytest.raises(BackendGetMetaError, match="install its driver"):
        app.AsyncResult("t").state  # noqa: B018
    end(app)


def test_an_unknown_backend_is_told_when_ours_is_opened(make_app):
    app = make_app(result_backend_transport_options={"fallback": "nonsense"})
    with pytest.raises(ImproperlyConfigured, match="nonsense"):
        app.backend  # noqa: B018


def test_one_of_ours_is_refused(make_app):
    app = make_app(result_backend_transport_options={"fallback": "kv+redis://host"})
    with pytest.raises(ImproperlyConfigured, match=r"'fallback'.*without kv\+"):
        app.backend  # noqa: B018


def test_without_the_option_nothing_is_looked_up(make_app):
    app = make_app()
    assert app.backend.fallback is None
    assert app.AsyncResult("t").state == states.PENDING


@pytest.mark.parametrize("in_url", [False, True])
def test_the_address_is_printed_without_its_password(make_app, in_url):
    """Neither the settings nor a message shows it; each backend of the app has it."""
    pytest.importorskip("sqlalchemy")
    url = "db+postgresql://user:s3cret@host/results"
    conf = {} if in_url else {"result_backend_transport_options": {"fallback": url}}
    app = make_app(query=f"?fallback={url}" if in_url else "", **conf)
    for backend in (app.backend, app._get_backend()):
        assert "s3cret" not in backend.as_uri()
        assert "s3cret" not in str(backend.books._place)
        assert backend.books._place._url == url
    shown = app.conf.result_backend + str(app.conf.result_backend_transport_options)
    assert "s3cret" not in shown


def test_a_handler_that_asks_starts_no_second_reader(monkeypatch):
    """Celery's backends are not for two threads; the handler's own question is answered, too."""
    reader, answers, started = fallback._Reader(object), [], []

    class Interrupted(threading.Thread):
        def start(self):
            started.append(self)
            signal.raise_signal(signal.SIGUSR1)
            super().start()

    def ask(*_):
        answers.append(reader.ask(type))

    monkeypatch.setattr(fallback.threading, "Thread", Interrupted)
    before = signal.signal(signal.SIGUSR1, ask)
    try:
        ask()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [each.result(30) for each in answers] == [object, object]
    assert len(started) == 1
    started[0].join(30)
