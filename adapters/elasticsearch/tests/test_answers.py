"""Answers of other programs than Elasticsearch, such as a proxy in front of it."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kvbackends_elasticsearch.errors import Unavailable
from kvbackends_elasticsearch.requests import Answer

from kvbackends import StoreError, open_store


class Proxy(BaseHTTPRequestHandler):
    """Knows no way to any server."""

    protocol_version = "HTTP/1.1"
    status, body = 404, b"<p>Not found."

    def answer(self):
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.send_response(self.status)
        if self.protocol_version == "HTTP/1.1":
            self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_):
        pass


@pytest.fixture
def handler():
    return Proxy


@pytest.fixture
def store(handler):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, contextlib.ExitStack() as stack:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        store = open_store(f"elasticsearch://127.0.0.1:{server.server_port}/x?retry=0")
        stack.callback(store.close)
        yield store


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.get("key"),
        lambda store: store.get_batch(["key"]),
        lambda store: store.delete("key"),
    ],
    ids=["get", "get_batch", "delete"],
)
def test_a_404_without_json_does_not_mean_absent(read, store):
    """Waiters would wait for ever."""
    with pytest.raises(Unavailable, match="404 is not JSON; another program gave it"):
        read(store)


@pytest.mark.parametrize("data", [b'{"found":false}', b' {"error":{"type":"index_not_found"}}'])
def test_a_404_of_the_server_means_absent(data):
    assert Answer(404, data, "http://h").is_absent
    assert not Answer(200, data, "http://h").is_absent


class TestHTTP10:
    """The end of the connection is the end of each answer."""

    @pytest.fixture
    def handler(self):
        body = b'{"found":false}' + b" " * 300_000  # more than a socket's buffer
        return type("Old", (Proxy,), {"protocol_version": "HTTP/1.0", "body": body})

    def test_answers_are_read_to_their_end(self, store):
        assert [store.get("key") for _ in range(3)] == [None] * 3


class TestBadRequest:
    """A 400 that is not the server's."""

    @pytest.fixture
    def handler(self):
        return type("Bad", (Proxy,), {"status": 400})

    def test_a_400_without_json_names_its_giver(self, store):
        with pytest.raises(StoreError, match=r"answered 400 \(no JSON\): another program"):
            store.set("key", b"value")


@pytest.mark.parametrize("error", ["cluster_block_exception", "master_not_discovered_exception"])
def test_a_host_that_is_cut_off_is_not_asked_again_at_once(
    open_one, recorder, other_recorder, error
):
    """It answers quickly, and would be asked in its turn; the other hosts may have a master."""
    recorder.status, other_recorder.status = 503, 404
    recorder.body = b'{"error":{"type":"%s"},"status":503}' % error.encode()
    store = open_one(f"elasticsearch://{recorder.host},{other_recorder.host}")
    for _ in range(12):
        with contextlib.suppress(Unavailable):
            store.get("key")
    assert 1 <= len(recorder.asked) <= 3
