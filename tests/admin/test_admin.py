"""What operators see and do, on every store that lists."""

import datetime as dt
import time

import pytest
from celery import chord, group, states
from celery.exceptions import ChordError

from kvbackends import NotSupported
from kvbackends.admin import Admin, Wanted
from kvbackends.backend.chords import new_delivery
from kvbackends.backend.deliveries import started_at
from kvbackends.contract import Outcome

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def admin(app):
    admin = Admin(app)
    yield admin
    for each in admin.chords():
        admin.abandon(each.id)
    admin.delete(Wanted())


def ran(app, *names):
    """Run a task of each name; their results."""
    results = [app.tasks[name].delay(1) for name in names]
    app.bench.run_all()
    return results


def applied(app, body="total"):
    """A chord of three parts, two of which have arrived; its group's id and its body's result."""
    result = chord([app.tasks["echo"].s(n) for n in range(3)], app=app)(app.tasks[body].s())
    for _ in range(2):
        app.bench.run(app.bench.take())
    return result.parent.id, result


class TestResults:
    def test_listed_and_counted(self, app, admin):
        """Results are listed newest first, in pages, and counted by state and by task."""
        done = ran(app, "echo", "fail", "echo", "echo", "fail")
        pages, cursor = [], None
        while True:
            page = admin.results(limit=2, cursor=cursor)
            pages.append([each.id for each in page.results])
            if (cursor := page.cursor) is None:
                break
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [each for page in pages for each in page] == [each.id for each in reversed(done)]
        assert admin.count() == {"SUCCESS": 3, "FAILURE": 2}
        assert admin.count("task") == {"echo": 3, "fail": 2}

    @pytest.mark.parametrize(
        ("wanted", "count"),
        [
            ({"state": "FAILURE"}, 1),
            ({"task": "echo"}, 2),
            ({"task": "echo", "state": "FAILURE"}, 0),
            ({"worker": "bench@here"}, 3),
            ({"worker": "bench@there"}, 0),
            ({"since": NOW - dt.timedelta(hours=1)}, 3),
            ({"until": NOW - dt.timedelta(hours=1)}, 0),
        ],
    )
    def test_filtered(self, app, admin, wanted, count):
        """Results are filtered by state, task, worker and time."""
        ran(app, "echo", "fail", "echo")
        assert len(admin.results(**wanted).results) == count

    def test_one(self, app, admin):
        """One result has its record, its expiry and the tree of its children with their states."""
        (result,) = ran(app, "add")
        detail = admin.result(result.id)
        assert detail.info.state == states.SUCCESS
        assert detail.record["args"] == [1]
        assert 0 < detail.expires_in <= 86400 + 3
        assert admin.result("absent") is None
        parent = app.tasks["add"].apply_async(
            (1,), link=group(app.tasks["echo"].s(), app.tasks["fail"].s())
        )
        app.bench.run_all()
        (grouped,) = admin.result(parent.id).children
        assert grouped.is_group
        assert sorted(each.state for each in grouped.children) == ["FAILURE", "SUCCESS"]

    def test_deleted(self, app, admin):
        """Exactly the wanted results are deleted; a dry run only counts them."""
        kept, lost, other = ran(app, "echo", "fail", "fail")
        assert admin.delete(Wanted(state="FAILURE"), dry_run=True) == 2
        assert admin.delete(Wanted(state="FAILURE")) == 2
        assert (kept.state, lost.state, other.state) == ("SUCCESS", "PENDING", "PENDING")
        assert admin.delete(ids=[kept.id]) == 1
        assert admin.count() == {}
        with pytest.raises(ValueError, match="which results"):
            admin.delete()


class TestChords:
    def test_in_flight(self, app, admin):
        """A chord in flight shows its age, how many parts are in, and which one is missing."""
        group_id, body = applied(app)
        (listed,) = admin.chords()
        assert (listed.id, listed.body, listed.body_task) == (group_id, body.id, "total")
        assert (listed.done, listed.total, listed.holder) == (2, 3, None)
        assert 0 <= listed.age < 300
        missing = app.bench.queue[-1]
        assert [each.id for each in listed.missing] == [missing.id]
        app.backend.store_result(
            missing.id, None, states.STARTED, request=app.bench.app.tasks[missing.name].request
        )
        assert [each.state for each in admin.chord(group_id).missing] == [states.STARTED]
        app.bench.run_all()
        assert list(admin.chords()) == []
        assert admin.chord(group_id) is None

    def test_dispatched(self, app, admin):
        """A complete chord whose dispatcher was lost is dispatched, with its values."""
        group_id, body = applied(app)
        assert admin.dispatch(group_id) is Outcome.WAITING
        lost = app.bench.take()
        publish, app.amqp.send_task_message = app.amqp.send_task_message, _lost
        with pytest.raises(_Lost):
            app.bench.run(lost)
        app.amqp.send_task_message = publish
        (stuck,) = admin.chords()
        assert stuck.is_complete
        assert stuck.missing == []
        assert stuck.holder.task_id == lost.id
        assert 0 <= stuck.holder.seconds < 300
        app.backend.times.chord = app.backend.times.chord._replace(lease=0.01)
        assert admin.dispatch(group_id) is Outcome.CLAIMED
        app.bench.run_all()
        assert body.get(timeout=5) == 3

    def test_abandoned(self, app, admin):
        """An abandoned chord fails its body; the last part finds it closed."""
        group_id, body = applied(app)
        assert admin.abandon(group_id, "the queue was purged")
        assert not admin.abandon(group_id)
        assert list(admin.chords()) == []
        app.bench.run_all()
        with pytest.raises(ChordError, match="the queue was purged"):
            body.get(timeout=5)
        assert "total" not in app.bench.names()

    def test_after_its_end(self, app, admin):
        """The body leads to its header, whose failed parts come first, and a part to the body."""
        header = [app.tasks[name].s(1) for name in ("echo", "fail", "echo")]
        body = chord(header, app=app)(app.tasks["total"].s())
        failed = body.parent.results[1].id
        app.bench.run_all()
        detail = admin.result(body.id)
        assert (detail.info.state, detail.parent) == ("FAILURE", failed)
        assert detail.header == body.parent.id
        ended = admin.ended(detail.header)
        assert ended.body == body.id
        assert [each.state for each in ended.parts] == ["FAILURE", "SUCCESS", "SUCCESS"]
        assert ended.parts[0].id == failed
        assert admin.result(failed).chord == body.id
        assert admin.ended("absent") is None

    def test_after_its_success(self, app, admin):
        """A body that ran leads to its header, too; a part that was abandoned leads nowhere."""
        group_id, body = applied(app)
        app.bench.run_all()
        assert admin.result(body.id).header == group_id
        assert {each.task for each in admin.ended(group_id).parts} == {"echo"}
        given_up, body = applied(app)
        admin.abandon(given_up)
        assert (admin.result(body.id).parent, admin.result(body.id).header) == ("", "")


class _Lost(BaseException):
    """Kills the process in the middle of a dispatch, as far as the store can see."""


def _lost(*_, **__):
    raise _Lost


class TestHealth:
    def test_works(self, app, admin):
        """Everything that a worker needs is tried, and nothing is left behind."""
        assert admin.health(30).ok
        written = admin.health(30, write=True)
        assert {each.name for each in written.checks} >= {"connection", "list", "write", "delete"}
        assert written.ok, written
        told = {each.name for each in written.checks}
        assert "server" in told or app.backend.as_uri().startswith("kv+memory")
        assert admin.count() == {}


def test_a_store_that_cannot_be_reached(make_app):
    """The probe fails within its time, and says why."""
    app = make_app(url="away://")
    health = Admin(app).health(timeout=1)
    assert not health.ok
    assert "ConnectionError" in health.checks[0].said


def test_a_store_that_cannot_list(make_app):
    """Listing raises NotSupported with the reason; single results are found all the same."""
    app = make_app("five")
    (result,) = ran(app, "echo")
    admin = Admin(app)
    assert admin.result(result.id).info.state == states.SUCCESS
    group_id, _ = applied(app)
    assert admin.chord(group_id).done == 2
    for call in (admin.results, lambda: list(admin.chords())):
        with pytest.raises(NotSupported, match="cannot list"):
            call()


def test_deliveries_tell_their_time():
    """A delivery's id has its time; one of an older kvbackends has none."""
    assert abs(started_at(new_delivery()) - time.time()) < 60
    assert started_at("f" * 32) is None
    assert started_at("recovery") is None
