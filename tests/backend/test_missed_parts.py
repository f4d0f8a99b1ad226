"""A client that waits for a chord is told that old workers have run tasks of its header."""

import logging

import pytest
from celery import chord, states
from celery.exceptions import TimeoutError as ResultTimeout

from kvbackends.backend import missed


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(missed, "PATIENCE", 0)


@pytest.fixture
def waiting(app):
    """A chord of three, of which one task has run here; its result."""
    result = chord([app.tasks["echo"].s(n) for n in range(3)], app=app)(app.tasks["total"].s())
    app.bench.run(app.bench.take())
    return result


def wait(result):
    with pytest.raises(ResultTimeout):
        result.get(timeout=0.3, interval=0.01)


def warnings(caplog):
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def test_parts_that_old_workers_have_kept_are_named_once(app, waiting, caplog):
    """Their results are stored, and they have not returned to the chord."""
    ids = [message.id for message in app.bench.queue]
    for each in ids:
        app.backend.store_result(each, 1, states.SUCCESS)
    wait(waiting)
    wait(app.AsyncResult(waiting.id, parent=waiting.parent))
    [warning] = warnings(caplog)
    assert all(each in warning for each in [*ids, waiting.id, waiting.parent.id, "chords=celery"])


def test_a_chord_whose_header_runs_is_not_told(waiting, caplog):
    wait(waiting)
    assert not warnings(caplog)


def test_a_chord_whose_body_is_on_its_way_is_not_told(app, waiting, caplog):
    for message in list(app.bench.queue):
        app.bench.run(message)
    wait(waiting)
    assert not warnings(caplog)
