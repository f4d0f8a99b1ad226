"""Chords whose books, kept by Celery's own Redis backend, have expired before the last part."""

import logging

import pytest
from celery import chord
from celery.backends.redis import RedisBackend

from kvbackends.backend import expired
from kvbackends.backend.expired import Expired
from tests.backend.versions import needs_57


@pytest.fixture
def looks(monkeypatch):
    """What would be looked at later, to be called."""
    later = []
    monkeypatch.setattr(expired, "PATIENCE", 0)
    monkeypatch.setattr(
        Expired, "_look_later", lambda self, celerys, _: later.append(lambda: self.look(celerys))
    )
    return later


@pytest.fixture
def app(make_app, redis_url):
    options = {"global_keyprefix": "books-", "chords": "celery"}
    app = make_app(url=redis_url, result_backend_transport_options=options)
    yield app
    client = app.backend.client
    client.delete(*client.keys("books-*"), "books-")


@pytest.fixture
def begun(app):
    """A chord of two tasks; its result."""
    return chord([app.tasks["echo"].s(n) for n in range(2)], app=app)(app.tasks["total"].s())


def warnings(caplog):
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def test_expired_books_are_told_once(app, begun, looks, caplog):
    """The chord, its body and what to do are named; a second process does not repeat it."""
    first, last = list(app.bench.queue)
    app.bench.run(first)
    assert not looks
    client = app.backend.client
    client.delete(*client.keys(f"*{begun.parent.id}*"))
    app.bench.run(last)
    for _ in range(2):
        looks.pop()()
        app.bench.run(last, redelivered=True)
    [warning] = warnings(caplog)
    told = (last.id, begun.parent.id, begun.id, "result_chord_expires")
    assert all(each in warning for each in told)


def test_a_header_that_is_still_being_sent_is_not_told(app, begun, looks, caplog):
    """Its size is set after its first part has returned, and the chord ends."""
    client = app.backend.client
    [size] = client.keys(f"*{begun.parent.id}.s")
    client.rename(size, "books-")
    app.bench.run(app.bench.take())
    client.rename("books-", size)
    looks.pop()()
    app.bench.run_all()
    assert not looks
    assert not warnings(caplog)
    assert begun.get(timeout=10) == 1


@pytest.mark.parametrize(
    ("kept", "seconds"),
    [
        pytest.param({"result_chord_expires": 10}, 5, marks=needs_57),
        ({"result_chord_expires": 1000}, 60),
        ({"result_expires": 10}, 5),
        ({"result_expires": None}, 60),
    ],
)
def test_it_is_looked_for_before_the_late_part_expires(make_app, redis_url, kept, seconds):
    """The books that the late part has begun are kept no longer than the others."""
    app = make_app()
    app.conf.update(kept)
    assert expired._patience(RedisBackend(app=app, url=redis_url)) == seconds
