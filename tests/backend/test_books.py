"""Chords in the books of Celery's own backend, with one that only notes what it is told."""

import pytest
from celery import chord
from celery.exceptions import ImproperlyConfigured, Reject

from kvbackends.backend.alone import app_of
from kvbackends.backend.celerys import named, with_chords
from kvbackends.backend.delays import HEADER
from kvbackends.contract import StoreURL
from tests.backend.old_backends import OldBackend
from tests.backend.stores import new_url, wrap
from tests.layers.stores import Scrambled

OLD = "tests.backend.old_backends:OldBackend"


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    monkeypatch.setattr(OldBackend, "values", {})
    monkeypatch.setattr(OldBackend, "calls", [])
    return OldBackend.calls


@pytest.fixture
def app(make_app):
    """Its chords are begun in Celery's books."""
    return make_app(result_backend_transport_options={"fallback": OLD, "chords": "celery"})


def begun(app, *header):
    """A chord with the tasks of these names; its result."""
    return chord([app.tasks[name].s(1) for name in header], app=app)(app.tasks["echo"].s())


@pytest.fixture
def unlocking(monkeypatch):
    """The chords for which `celery.chord_unlock` is sent."""
    sent = []
    monkeypatch.setattr(OldBackend, "fallback_chord_unlock", lambda *args, **_: sent.append(args))
    return sent


def test_a_chord_is_begun_there_and_its_parts_return_there(app, calls, unlocking):
    begun(app, "echo", "fail")
    assert len(unlocking) == 1
    ids = [message.id for message in app.bench.sent]
    app.bench.run_all()
    parts = [what for name, what in calls if name == "part"]
    assert parts == [(ids[0], "SUCCESS"), (ids[1], "FAILURE")]
    assert [app.AsyncResult(each).state for each in ids] == ["SUCCESS", "FAILURE"]


def test_its_body_does_not_say_that_it_is_ours(app, unlocking):
    """Not even when it was begun here before, or its chord is the body of one of ours."""
    body = app.tasks["echo"].s().set(headers={HEADER: 60.0, "own": 1})
    chord([app.tasks["echo"].s(1)], app=app)(body)
    (message,) = app.bench.queue
    assert message.request["chord"]["options"]["headers"] == {"own": 1}


def test_a_part_is_added_there(app, calls, unlocking):
    result = begun(app, "grows")
    app.bench.run(app.bench.take())
    assert [name for name, _ in calls if name in {"add", "part"}] == ["add", "part"]
    assert result.parent.id in {what for name, what in calls if name == "add"}


def test_the_result_is_stored_before_the_part_returns(app, monkeypatch, unlocking):
    """Celery's class joins a header of groups: it has to find the last result."""
    states = []

    def part_returns(self, request, *_):
        states.append(app.backend.get_task_meta(request.id, cache=False)["status"])

    monkeypatch.setattr(OldBackend, "on_chord_part_return", part_returns)
    begun(app, "echo", "quiet")
    app.bench.run_all()
    assert states == ["SUCCESS", "PENDING"]


def test_an_outage_rejects_a_part_that_is_acknowledged_late(app, monkeypatch, unlocking):
    """It is delivered again."""
    begun(app, "echo")
    monkeypatch.setattr(OldBackend, "away", True)
    message = app.bench.take()
    monkeypatch.setattr(app.tasks["echo"], "acks_late", True)
    with pytest.raises(Reject):
        app.bench.run(message)
    monkeypatch.setattr(OldBackend, "away", False)
    app.bench.run(message, redelivered=True)
    assert [what for name, what in OldBackend.calls if name == "part"][-1] == (
        message.id,
        "SUCCESS",
    )


@pytest.mark.parametrize("scheme", ["memory", "kept"])
def test_where_celery_keeps_no_chords_the_option_is_refused(make_app, scheme):
    app = make_app(scheme, query="?chords=celery")
    with pytest.raises(ImproperlyConfigured, match=rf"'chords'.*{scheme}://.*`fallback`"):
        app.backend  # noqa: B018 - a property that opens it


def test_behind_a_layer_that_encodes_values_the_option_is_refused(make_app, tmp_path):
    """Celery's books would have them as they are."""
    url = new_url("memory", tmp_path, "?chords=celery")
    wrap(url, Scrambled)
    app = make_app(url=url, result_backend_transport_options={"fallback": OLD})
    with pytest.raises(ImproperlyConfigured, match=r"'chords'.*Scrambled"):
        app.backend  # noqa: B018


URLS = {
    "redis://:pw@host:6379/1?retry=0&socket_timeout=3": "redis://:pw@host:6379/1?socket_timeout=3",
    "rediss://host/0?ssl_cert_reqs=none&wait_replicas=1": "rediss://host/0?ssl_cert_reqs=none",
    "unix:///run/r.sock?virtual_host=2": "redis+socket:///run/r.sock?virtual_host=2",
    "sentinel://:pw@a:1;b:2/3?master_name=m": "sentinel://:pw@a:1/3;sentinel://:pw@b:2/3",
    "memcached://a:1;b:2?retry=0": "cache+memcached://a:1;b:2",
    "cache+memcached://a:1": "cache+memcached://a:1",
}


@pytest.mark.parametrize("url", URLS)
def test_celerys_url_for_the_same_server(memory_app, url):
    """The options of kvbackends are left out: Celery hands all it does not know to the driver."""
    assert with_chords(memory_app, StoreURL.parse(url))._url == URLS[url]


@pytest.mark.parametrize(
    "url",
    [
        *("redis+cluster://host", "sqlite:///x.db", "memory://", "mongodb://host/x"),
        "postgresql://host/x",
        *("memcached://user:pw@host", "memcached://host?key_prefix=x"),
    ],
)
def test_where_celery_keeps_no_chords(memory_app, url):
    assert with_chords(memory_app, StoreURL.parse(url)) is None


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("mongodb://host/x?retry=0&w=1", "mongodb", "mongodb://host/x?w=1"),
        ("mongodb+srv://host/x", "mongodb", "mongodb+srv://host/x"),
        (
            "elasticsearch://host:9200/index?timeout=3",
            "elasticsearch",
            "elasticsearch://host:9200/index",
        ),
        ("cassandra://host/keyspace", "cassandra", "cassandra"),
        ("redis://host", "cassandra", "cassandra"),
        ("redis://host", "db sqlite:///x.db", "db+sqlite:///x.db"),
    ],
)
def test_the_place_that_the_option_names(memory_app, url, name, expected):
    """Beside the store if it has that name, else where Celery's settings say; a blank was a +."""
    driver = {"mongodb": "pymongo", "db sqlite": "sqlalchemy"}.get(name.partition(":")[0])
    if driver:
        pytest.importorskip(driver)
    assert named(memory_app, name, StoreURL.parse(url))._url == expected


def test_an_operators_other_store_is_not_that_of_the_fleet(app):
    """`app_of` has the settings of an app, but not how its fleet changes over."""
    backend = app_of("memory://elsewhere", like=app).backend
    assert (backend.fallback, backend.books.opens) == (None, False)
    backend.store.close()
