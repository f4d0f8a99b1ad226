"""Servers that are silent, or answer byte by byte: every call ends in its time."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
from celery import Celery, uuid
from celery.exceptions import BackendGetMetaError, BackendStoreError
from celery.exceptions import TimeoutError as ResultTimeout

from kvbackends.contract import StoreURL
from tests.servers.proxy import FaultProxy
from tests.support.suites import java_is_slow

URLS = {
    "redis": "redis://127.0.0.1:{}/0",
    "mongodb": "mongodb://127.0.0.1:{}/results",
    "postgresql": "postgresql://postgres@127.0.0.1:{}/postgres",
    "elasticsearch": "elasticsearch://127.0.0.1:{}/results",
    "cassandra": "cassandra://127.0.0.1:{}/results",
    "memcached": "memcached://127.0.0.1:{}",
}
BOUND = 1.0
"""Seconds that each call is given."""
SLACK = 2.5
"""Seconds more: one that is promised, and a busy machine.  Drivers by themselves wait 5 to 15."""


def celery(url: str) -> Celery:
    app = Celery(broker="memory://", backend=f"kv+{url}", set_as_current=False)
    app.conf.result_backend_transport_options = {"retry_timeout": BOUND}
    return app


def get(app: Celery) -> None:
    with pytest.raises(ResultTimeout, match="answer"):
        app.AsyncResult(uuid()).get(timeout=BOUND)


def look(app: Celery) -> None:
    with pytest.raises(ResultTimeout):
        app.AsyncResult(uuid()).get(timeout=0)


def state(app: Celery) -> None:
    with pytest.raises(BackendGetMetaError, match=r"127\.0\.0\.1.* did not answer .*`get`"):
        app.AsyncResult(uuid()).state  # noqa: B018


def store(app: Celery) -> None:
    with pytest.raises(BackendStoreError, match=r"127\.0\.0\.1.* did not answer .*`offer`"):
        app.backend.store_result(uuid(), 1, "SUCCESS")


CALLS = get, look, state, store


def seconds_of(call: Callable[[Celery], None], app: Celery) -> float:
    began = time.monotonic()
    call(app)
    return time.monotonic() - began


def too_long(apps: dict[str, Celery]) -> dict[str, float]:
    """The calls that take longer than they may; all at once, because they only wait."""
    with ThreadPoolExecutor(len(apps) * len(CALLS)) as threads:
        took = {
            f"{name}: {call.__name__}": threads.submit(seconds_of, call, app)
            for name, app in apps.items()
            for call in CALLS
        }
        seconds = {name: future.result() for name, future in took.items()}
    return {name: each for name, each in seconds.items() if each > BOUND + SLACK}


@contextmanager
def dripping() -> Iterator[socket.socket]:
    """A server that answers everything with a line that never ends, a byte five times a second."""
    clients: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                clients.append(listener.accept()[0])

    def drip() -> None:
        while not ended.wait(0.2):
            for client in tuple(clients):
                with suppress(OSError):
                    client.sendall(b"+")

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [threading.Thread(target=each, daemon=True) for each in (accept, drip)]
        for thread in threads:
            thread.start()
        yield listener
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()


@pytest.mark.parametrize("server", [lambda: socket.create_server(("127.0.0.1", 0)), dripping])
def test_a_server_that_never_answers(server):
    """Connections are accepted, and no answer comes, or one that never ends."""
    with ExitStack() as stack:
        apps = {}
        for name, url in URLS.items():
            port = stack.enter_context(server()).getsockname()[1]
            apps[name] = celery(url.format(port))
            # The drivers are imported by the main thread: Cassandra's imports eventlet.
            stack.enter_context(closing(apps[name].backend.store))
        assert too_long(apps) == {}


@pytest.mark.parametrize(
    "name",
    java_is_slow(URLS),
)
def test_a_server_that_falls_silent(name, request):
    """Calls end in their time, a longer wait outlives it, and then all is as before."""
    url = request.getfixturevalue(f"{name}_url")
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy("127.0.0.1", StoreURL.parse(url).hosts[0].port))
        app, awaited = celery(proxy.url_of(url)), uuid()
        stack.enter_context(closing(app.backend.store))
        until_it_answers(app)
        threads = stack.enter_context(ThreadPoolExecutor(1))
        proxy.pause()
        waiting = threads.submit(lambda: app.AsyncResult(awaited).get(timeout=60))
        assert too_long({name: app}) == {}
        proxy.resume()
        until_it_answers(app)
        app.backend.store_result(awaited, "value", "SUCCESS")
        assert waiting.result() == "value"


def until_it_answers(app: Celery) -> None:
    """A server that has just started, or the first connection to it, may take its time."""
    until = time.monotonic() + 60
    while True:
        try:
            app.backend.store_result(uuid(), 1, "SUCCESS")
            return
        except BackendStoreError:
            if time.monotonic() > until:
                raise
