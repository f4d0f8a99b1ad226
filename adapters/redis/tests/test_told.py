"""A success is taken from the message that brings it; all else is read."""

import math
import threading
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeout

from kvbackends.protocol import waiting
from tests.servers import redis_server


@pytest.fixture
def url() -> Iterator[str]:
    """A server that nobody else uses."""
    with redis_server() as server:
        yield server.url


@pytest.fixture
def settings() -> dict[str, object]:
    return {}


@pytest.fixture
def app(url, settings, monkeypatch) -> Iterator[Celery]:
    """After a wait's first read nothing is read without being told."""
    monkeypatch.setattr(waiting, "SAFETY", (60, 60, 1))
    yield from opened(url, settings)


def opened(url: str, settings: dict[str, object]) -> Iterator[Celery]:
    app = Celery("app", broker="memory://", backend=f"kv+{url}", set_as_current=False)
    app.conf.update(settings)
    yield app
    app.backend.waiters.close()
    app.backend.store.close()


@pytest.fixture
def reads(app, monkeypatch) -> list[str]:
    """The keys that were read one by one."""
    asked: list[str] = []
    get = app.backend.store.get
    monkeypatch.setattr(app.backend.store, "get", lambda key: asked.append(key) or get(key))
    return asked


class Waiting(threading.Thread):
    """Waits for a result, and listens by itself as soon as this is made."""

    def __init__(self, app: Celery, task_id: str) -> None:
        super().__init__(daemon=True)
        self.seen: list[object] = []
        self._result = app.AsyncResult(task_id)
        self.start()
        deadline = time.monotonic() + 10
        while not self._leader():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def run(self) -> None:
        try:
            self.seen.append(self._result.get(timeout=10, propagate=False))
        except ResultTimeout:
            self.seen.append(None)

    def _leader(self):
        lead = self._result.backend.waiters()._lead
        return lead.leader.get(0) if lead.back_by < math.inf else None

    def value(self) -> object:
        self.join(20)
        return self.seen[0]


@pytest.mark.parametrize("size", [200, 100_000])
def test_a_success_is_not_read(app, reads, size):
    """A large one is stored by another script, and told as well."""
    task_id = str(uuid.uuid4())
    waits = Waiting(app, task_id)
    before = len(reads)
    app.backend.mark_as_done(task_id, "x" * size)
    assert waits.value() == "x" * size
    assert len(reads) == before


def test_a_failure_is_read(app, reads):
    """Another run of the task may have replaced it by now."""
    task_id = str(uuid.uuid4())
    waits = Waiting(app, task_id)
    before = len(reads)
    app.backend.mark_as_failure(task_id, KeyError("why"))
    assert isinstance(waits.value(), KeyError)
    assert len(reads) == before + 1


@pytest.mark.parametrize("settings", [{"result_compression": "gzip"}])
def test_what_is_compressed_is_read(app, reads):
    task_id = str(uuid.uuid4())
    waits = Waiting(app, task_id)
    before = len(reads)
    app.backend.mark_as_done(task_id, "x" * 1000)
    assert waits.value() == "x" * 1000
    assert len(reads) == before + 1


def test_another_database_is_not_taken_for_ours(app, url):
    """Channels are shared by the databases of a server; ids that somebody chose may be, too."""
    other = urlsplit(url)._replace(path="/5").geturl()
    waits = Waiting(app, "daily-report")
    for elsewhere in opened(other, {}):
        elsewhere.backend.mark_as_done("daily-report", "of the other database")
    time.sleep(0.1)
    app.backend.mark_as_done("daily-report", "ours")
    assert waits.value() == "ours"


def test_what_was_forgotten_is_not_told_to_the_next_wait(app):
    """A message may have been on its way since the wait before."""
    task_id = str(uuid.uuid4())
    with pytest.raises(ResultTimeout):
        app.AsyncResult(task_id).get(timeout=0.05)
    app.backend.mark_as_done(task_id, "old")
    app.backend.forget(task_id)
    with pytest.raises(ResultTimeout):
        app.AsyncResult(task_id).get(timeout=0.2)
    waits = Waiting(app, task_id)
    app.backend.mark_as_done(task_id, "new")
    assert waits.value() == "new"


def test_a_message_from_before_the_latest_watch_names_its_key_only(app):
    """A message before the confirmation may belong to the watch before."""
    task_id = str(uuid.uuid4())
    key, subscription = app.backend.key_of(task_id), app.backend.store.subscribe()
    subscription.watch([key])
    app.backend.mark_as_done(task_id, "old")
    time.sleep(0.1)  # it has come, and nobody has heard it
    subscription.watch([key])
    assert subscription.wait(5) == {key: None}
    app.backend.forget(task_id)
    app.backend.mark_as_done(task_id, "new")
    assert subscription.wait(5) == {key: app.backend.store.get(key).value}
    subscription.close()
