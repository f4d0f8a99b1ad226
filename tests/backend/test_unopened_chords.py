"""Chords whose barrier is not in the store fail; they never hang in silence."""

import datetime as dt
import logging
import time

import pytest
from celery import chain, chord, group, states
from celery.exceptions import ChordError

from kvbackends.backend.delays import HEADER
from kvbackends.backend.times import CHORD_LONGER
from tests.backend.versions import needs_57

EXPIRES = 0.01
DAY = 86400.0


@pytest.fixture
def app(make_app, kind):
    """An app whose chords expire at once."""
    return make_app(kind, result_chord_expires=EXPIRES)


def applied(app, count=3, name="echo"):
    """Apply a chord, and wait until it has expired."""
    header = [app.tasks["echo"].s(n) for n in range(count)]
    body = app.tasks[name].s().on_error(app.tasks["remember"].s("errback"))
    result = chord(header, app=app)(body)
    time.sleep(2 * EXPIRES)
    return result


def test_the_chord_fails_once(app, caplog):
    """The body fails, its errback is called, an error says what to set."""
    result = applied(app)
    header = [app.AsyncResult(message.id) for message in app.bench.sent]
    app.bench.run_all()
    with pytest.raises(ChordError, match="whose parts are not in"):
        result.get(timeout=1)
    assert len(app.remembered) == 1
    assert [each.levelno for each in caplog.records].count(logging.ERROR) == 1
    assert "`result_chord_expires`" in caplog.text
    assert [each.get(timeout=1) for each in header] == [0, 1, 2]
    assert app.bench.names() == ["echo"] * 3


def test_a_chord_of_another_backend_is_left_alone(app, caplog):
    """Its client may have scheduled `celery.chord_unlock`; one warning says so."""
    result = applied(app)
    for message in app.bench.queue:
        del message.request["chord"]["options"]["headers"][HEADER]
    app.bench.run_all()
    assert not app.remembered
    assert result.state == states.PENDING
    [warning] = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "celery.chord_unlock" in warning.getMessage()


def test_a_failed_part_fails_it_too(app):
    result = chord([app.tasks["fail"].s()], app=app)(app.tasks["echo"].s())
    time.sleep(2 * EXPIRES)
    app.bench.run_all()
    with pytest.raises(ChordError):
        result.get(timeout=1, follow_parents=False)


def test_ignored_results_fail_it_too(app):
    result = chord([app.tasks["quiet"].s(1)], app=app)(app.tasks["echo"].s())
    time.sleep(2 * EXPIRES)
    app.bench.run_all()
    with pytest.raises(ChordError):
        result.get(timeout=1)


@pytest.mark.parametrize("shape", [group, chain])
def test_every_task_of_the_body_fails(app, shape):
    tasks = [app.tasks["echo"].s(), app.tasks["echo"].s()]
    result = chord([app.tasks["echo"].s(1)], app=app)(shape(*tasks))
    time.sleep(2 * EXPIRES)
    app.bench.run_all()
    with pytest.raises(ChordError):
        result.get(timeout=1)
    assert result.failed()


@pytest.mark.parametrize("state", [states.SUCCESS, states.FAILURE, states.STARTED])
def test_a_body_that_has_begun_is_left_alone(app, state):
    """Its tombstone has expired: whatever its header's messages do, it does not fail now."""
    result = applied(app)
    own = ValueError("its own") if state == states.FAILURE else 1
    app.backend.store_result(result.id, own, state)
    app.bench.run_all()
    assert (result.state, app.remembered) == (state, [])


def test_a_redelivered_part_does_not_fail_a_chord_that_it_returned_to(app):
    """Its success is stored after it has returned: the chord was open then."""
    result = applied(app, 1)
    message = app.bench.take()
    app.backend.store_result(message.id, 0, states.SUCCESS)
    app.bench.run(message, redelivered=True)
    assert (result.state, app.remembered) == (states.PENDING, [])


def test_the_part_that_died_while_it_failed_the_chord_fails_it_again(app, monkeypatch):
    result = applied(app, 2)
    first, second = app.bench.take(), app.bench.take()
    with monkeypatch.context() as patch:
        patch.setattr(app.backend.chords._dispatcher, "fail", _dies)
        with pytest.raises(KeyboardInterrupt):
            app.bench.run(first)
    app.bench.run(second)
    assert result.state == states.PENDING
    app.bench.run(first, redelivered=True)
    assert (result.state, len(app.remembered)) == (states.FAILURE, 1)


def _dies(*_):
    raise KeyboardInterrupt


class TestLifetimes:
    """How long barriers are kept."""

    @pytest.mark.parametrize(
        ("conf", "lasts"),
        [
            ({}, DAY + CHORD_LONGER),
            ({"result_expires": 2}, 2 + CHORD_LONGER),
            ({"result_expires": None}, 30 * DAY),
            ({"result_chord_expires": 60}, 60),
            ({"result_chord_expires": 0}, 30 * DAY),
        ],
    )
    def test_by_the_settings(self, make_app, conf, lasts):
        """By default a barrier is kept for longer than results."""
        assert make_app(**conf).backend.times.chord.ttl == lasts

    @pytest.fixture
    def app(self, make_app, kind):
        return make_app(kind, result_chord_expires=DAY)

    @pytest.fixture
    def ttls(self, app, monkeypatch):
        """The lifetimes of the barriers that are opened, sized, and arrived at."""
        make, used = app.backend.chords._barrier, []

        def made(*args):
            barrier = make(*args)
            used.append(round(barrier.ttl - DAY))
            return barrier

        monkeypatch.setattr(app.backend.chords, "_barrier", made)
        return used

    @pytest.mark.parametrize(
        ("delayed", "longer"),
        [
            (lambda task: task.set(countdown=3600), 3600),
            (lambda task: task.set(eta=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)), 3600),
            (lambda task: chain(task.set(countdown=600), task.clone().set(countdown=60)), 660),
            (lambda task: chord([task.clone().set(countdown=60)], task), 60),
            (lambda task: group(task.set(countdown=60), task.clone()), 60),
        ],
        ids=["countdown", "eta", "chain", "chord", "group"],
    )
    def test_the_longest_delay_of_the_header_is_added(self, app, ttls, delayed, longer):
        """A chord lives as long as the delays of its header that are known when it is sent."""
        header = [app.tasks["echo"].si(1), delayed(app.tasks["echo"].si(2))]
        result = chord(header, app=app)(app.tasks["echo"].s())
        app.bench.run(app.bench.take())
        assert (ttls[0], ttls[-1], len(ttls) >= 3) == (longer, longer, True)
        app.bench.run_all()
        assert result.get(timeout=1)

    @needs_57
    def test_a_delay_of_the_whole_chord(self, app, ttls):
        echo = app.tasks["echo"]
        chord([echo.s(1)], echo.s(), app=app).apply_async(countdown=60)
        assert ttls == [60] * 2

    def test_a_lazy_header_is_not_exhausted(self, app, ttls):
        sent = chord(app.tasks["echo"].s(n).set(countdown=60) for n in range(3))
        result = sent(app.tasks["echo"].s())
        app.bench.run_all()
        assert result.get(timeout=1) == [0, 1, 2]
        assert set(ttls) == {0}

    def test_every_part_is_told(self, app):
        chord([app.tasks["echo"].s(1)], app=app)(app.tasks["echo"].s())
        (message,) = app.bench.queue
        told = message.request["chord"]["options"]["headers"][HEADER]
        assert told == app.backend.times.chord.ttl
