"""Answers that are cut, or are no answers: the connection is lost, and the request is repeated."""

import contextlib
import re
import threading
import uuid

import pytest
from celery import Celery

from kvbackends import StoreError
from tests.servers.process import HOST
from tests.support.liar import HTTP, NOISE, Liar
from tests.support.stalls import takes_less, took
from tests.support.suites import java_is_slow
from tests.support.threads import together
from tests.support.urls import with_options

# Their servers take long to start; `make test-all` has them.
STORES = java_is_slow(["redis", "memcached", "mongodb", "postgresql", "elasticsearch", "cassandra"])
PORT = re.compile(rf"{HOST}:(\d+)")
LIES = [HTTP, NOISE, 40]


@pytest.fixture(params=STORES)
def url(request):
    """The URL of a server."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def liar(url):
    with contextlib.closing(Liar(int(PORT.search(url)[1]))) as liar:
        yield liar


@pytest.fixture
def open_backend(url, liar):
    """A function that makes a backend, behind the liar unless it is `direct`."""
    with contextlib.ExitStack() as stack:

        def opened(*, direct=False, **options):
            there = url if direct else PORT.sub(f"{HOST}:{liar.port}", url)
            if url.startswith("mongodb"):
                there = there.replace("replicaSet=rs0", "directConnection=true")
                options["serverSelectionTimeoutMS"] = 1000
            query = "&".join(f"{name}={value}" for name, value in options.items())
            there = with_options(there, query)
            backend = Celery(backend=f"kv+{there}", set_as_current=False).backend
            stack.callback(backend.store.close)
            stack.callback(backend.waiters.close)
            return backend

        yield opened


def test_requests_with_a_wrong_answer_are_repeated(url, open_backend, liar):
    """And waits of the process go on."""
    backend, direct = open_backend(), open_backend(direct=True)
    found, waited = [], str(uuid.uuid4())

    def wait():
        found.append(backend.app.AsyncResult(waited).get(timeout=50))

    thread = threading.Thread(target=wait)
    thread.start()
    for lie in LIES[url.startswith("elasticsearch") :]:  # to which HTTP is no garbage
        name = str(uuid.uuid4())
        liar.lies.append(lie)
        backend.store_result(name, "x" * 100, "SUCCESS")
        liar.lies.append(lie)
        assert backend.get_state(name) == "SUCCESS"
        liar.lies.append(lie)
        assert dict(backend.get_many([name], timeout=20))[name]["result"] == "x" * 100
    direct.store_result(waited, "well", "SUCCESS")
    thread.join()
    assert found == ["well"]


@pytest.mark.parametrize("lie", [HTTP, NOISE, 1], ids=["http", "noise", "cut"])
def test_garbage_that_goes_on_is_an_error_of_ours(open_backend, liar, lie):
    """In time, and with the store's address."""
    backend = open_backend(retry_timeout=0.5)
    backend.store.ping()
    liar.always = lie

    def read():
        with pytest.raises(StoreError, match=HOST):
            backend.store.get("celery-task-meta-x")

    assert takes_less(6, read)


TIMEOUT = {"redis": "socket_timeout", "memcached": "timeout", "postgresql": "timeout"}


@pytest.mark.parametrize("url", TIMEOUT, indirect=True)
def test_connections_that_a_firewall_forgot_cost_one_timeout(url, open_backend, liar):
    """The idle ones are closed when the first one fails.

    Elasticsearch's adapter has a test of its own.  MongoDB's driver cannot do it, so connections
    that are old are not used; Cassandra's has one for each node.
    """
    backend = open_backend(**{TIMEOUT[url.partition(":")[0]]: 1})
    backend.store.ping()
    liar.delay = 0.1
    together([lambda: backend.store.get("celery-task-meta-x")] * 8)
    liar.forget()
    assert took(lambda: backend.store_result("forgotten", 1, "SUCCESS")) < 6  # not 8
