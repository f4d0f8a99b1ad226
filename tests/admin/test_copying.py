"""``kvbackends copy``: from stores, and from Celery's own backends."""

import datetime as dt
import itertools
import threading
import time

import pytest
import redis
from celery import Celery, group, states

from kvbackends.admin import Admin, Wanted, sources
from kvbackends.admin.copying import Copy
from kvbackends.backend.foreign import close
from tests.backend.stores import LARGEST, new_url
from tests.servers.process import eventually
from tests.support.celerys import old_cassandra, old_postgresql
from tests.support.suites import java_is_slow

_names = itertools.count()


@pytest.fixture
def target(make_app):
    return make_app(url=f"memory://copied-{next(_names)}", result_extended=True)


def source_of(app):
    return app.backend.as_uri(include_password=True)


def test_everything_is_kept(app, target):
    """Records, groups and times to live arrive as they are; again finds them present."""
    done = app.tasks["echo"].delay(1)
    failed = app.tasks["fail"].delay()
    app.bench.run_all()
    grouped = group(app.tasks["echo"].s(n) for n in range(2)).apply_async()
    grouped.save()
    app.bench.run_all()
    app.backend.store.touch(app.backend.key_of(done.id), 1000)
    target.conf.result_backend_transport_options = app.conf.result_backend_transport_options
    first = Copy(target.backend, verify=True).run(source_of(app), Wanted())
    assert (first.copied, first.refused, first.differ) == (5, 0, 0)
    assert target.AsyncResult(done.id).get() == 1
    assert target.AsyncResult(failed.id).state == states.FAILURE
    restored = target.backend.restore_group(grouped.id)
    assert [each.id for each in restored.results] == [each.id for each in grouped.results]
    assert 900 < Admin(target).result(done.id).expires_in <= 1003
    again = Copy(target.backend).run(source_of(app), Wanted())
    assert (again.copied, again.present) == (0, 5)
    Admin(app).delete(Wanted())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_interrupted(make_app, target, kind, monkeypatch):
    """Ctrl-C between two batches: a second copy adds what is missing, and verifies all of it."""
    monkeypatch.setattr(sources, "AT_ONCE", 4)
    app, into = make_app("memory"), target if kind == "memory" else make_app(kind)
    for n in range(10):
        app.backend.store_result(f"task-{n}", n, states.SUCCESS)

    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Copy(into.backend).run(source_of(app), Wanted(), interrupt)
    assert Admin(into).count().total() == 4
    done = Copy(into.backend, verify=True).run(source_of(app), Wanted())
    assert (done.copied, done.present, done.differ) == (6, 4, 0)
    assert {each.id for each in Admin(into).each()} == {f"task-{n}" for n in range(10)}


def test_lost_writes_are_seen(make_app, target, monkeypatch):
    """A target that says it has stored a record and has not: `verify` tells."""
    app = make_app("memory")
    for n in range(3):
        app.backend.store_result(f"task-{n}", n, states.SUCCESS)
    offer = target.backend.store.offer
    lost = target.backend.key_of("task-1")
    lies = lambda one, rank_of: one.key == lost or offer(one, rank_of)  # noqa: E731
    monkeypatch.setattr(target.backend.store, "offer", lies)
    done = Copy(target.backend, verify=True).run(source_of(app), Wanted())
    assert (done.copied, done.differ, done.ok) == (3, 1, False)


def test_servers_are_written_to_by_several_threads(make_app, target, monkeypatch):
    """Two writes are under way at a time."""
    app = make_app("memory")
    for n in range(4):
        app.backend.store_result(f"task-{n}", n, states.SUCCESS)
    offer, two = target.backend.store.offer, threading.Barrier(2)
    waits = lambda *args: (two.wait(60), offer(*args))[1]  # noqa: E731
    monkeypatch.setattr(target.backend.store, "offer", waits)
    assert Copy(target.backend).run(source_of(app), Wanted()).copied == 4


def test_better_records_stay(make_app, target):
    """A record never replaces a better one."""
    app = make_app("memory")
    app.backend.store_result("a", ValueError(), states.FAILURE)
    target.backend.store_result("a", 1, states.SUCCESS)
    done = Copy(target.backend).run(source_of(app), Wanted())
    assert (done.copied, done.present, done.ok) == (0, 1, True)
    assert target.AsyncResult("a").get() == 1


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(state="FAILURE"), 1),
        (Wanted(task="echo"), 2),
        (Wanted(until=dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)), 0),
        (Wanted(since=dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)), 3),
    ],
)
def test_filters(make_app, target, wanted, count):
    """Only wanted results are copied; a dry run copies none."""
    app = make_app("memory", result_extended=True)
    for name in ("echo", "echo", "fail"):
        app.tasks[name].delay(1)
    app.bench.run_all()
    dry = Copy(target.backend, dry_run=True).run(source_of(app), wanted)
    assert dry.copied == count
    assert Admin(target).count() == {}
    assert Copy(target.backend).run(source_of(app), wanted).copied == count
    assert Admin(target).count().total() == count


def test_refused(make_app):
    """What is too large for the target is refused, counted and named."""
    app, small = make_app("memory"), make_app("small")
    app.backend.store_result("large", "x" * 2 * LARGEST, states.SUCCESS)
    app.backend.store_result("fits", 1, states.SUCCESS)
    done = Copy(small.backend).run(source_of(app), Wanted())
    assert (done.copied, done.refused, done.ok) == (1, 1, False)
    assert done.problems[0].startswith("large: ")


def test_expired(make_app, target):
    """What has expired is not copied."""
    app = make_app("memory", result_expires=0.01)
    app.backend.store_result("gone", 1, states.SUCCESS)
    time.sleep(0.02)
    assert Copy(target.backend).run(source_of(app), Wanted()).copied == 0


def celerys(url, **conf):
    """An app on one of Celery's own backends, with a success, a failure and a group in it."""
    app = Celery(set_as_current=False)
    app.conf.update(result_backend=url, **conf)
    app.backend.store_result("done", {"x": 1}, states.SUCCESS)
    try:
        raise ValueError("bad")  # noqa: TRY301
    except ValueError as error:
        app.backend.store_result("failed", error, states.FAILURE, traceback="Traceback")
    grouped = app.GroupResult("grouped", [app.AsyncResult("done"), app.AsyncResult("failed")])
    try:
        grouped.save()
    except AttributeError:
        return app, 2  # Cassandra's saves none
    return app, 3


OWN = java_is_slow(["db", "file", "redis", "mongodb", "postgresql", "elasticsearch", "cassandra"])


@pytest.fixture(params=OWN)
def celerys_own(request, tmp_path, target):
    """The URL of one of Celery's own backends, and how many records it has."""
    kind, conf = request.param, {}
    if kind == "cassandra":
        url, conf = "cassandra://", old_cassandra(request.getfixturevalue("cassandra_url"))
        target.conf.update(conf)
    elif kind == "postgresql":
        url = old_postgresql(request.getfixturevalue("postgresql_url"))
    elif kind == "db":
        url = f"db+sqlite:///{tmp_path}/celery.db"
    elif kind == "file":
        (tmp_path / "files").mkdir()
        url = f"file://{tmp_path}/files"
    else:
        url = request.getfixturevalue(f"{kind}_url")
    if kind == "mongodb":  # whose database other tests fill, too
        url = url.replace("/kvbackends?", "/copied?")
    app, count = celerys(url, **conf)
    yield url, count
    if kind != "cassandra":  # which cannot forget
        app.backend.forget("done")
        app.backend.forget("failed")
        app.backend.delete_group("grouped")
    close(app.backend)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # by Celery's own
def test_celerys_own(celerys_own, target):
    """Results, failures and groups of Celery's own backends are read as before."""
    url, count = celerys_own
    Copy(target.backend, verify=True).run(url, Wanted())
    assert target.AsyncResult("done").get() == {"x": 1}
    failed = target.AsyncResult("failed")
    assert isinstance(failed.result, ValueError)
    assert failed.traceback == "Traceback"
    assert count == (2 if url == "cassandra://" else 3)
    if count == 3:
        restored = target.backend.restore_group("grouped")
        assert [each.id for each in restored.results] == ["done", "failed"]
    again = Copy(target.backend).run(url, Wanted(state="FAILURE"))
    assert again.present == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # by Celery's own
def test_closing_ends_the_connections(redis_url):
    """Celery's Redis client does not end those of a pool that it was given."""
    with redis.Redis.from_url(redis_url) as client:
        before = {each["id"] for each in client.client_list()}
        app, _ = celerys(redis_url)
        opened = {each["id"] for each in client.client_list()} - before
        close(app.backend)
        assert opened
        assert eventually(lambda: not opened & {each["id"] for each in client.client_list()})


def test_a_store_that_cannot_list(tmp_path, target):
    """The reason is told, not a copy of nothing."""
    with pytest.raises(Exception, match="cannot list"):
        Copy(target.backend).run(f"kv+{new_url('five', tmp_path)}", Wanted())
