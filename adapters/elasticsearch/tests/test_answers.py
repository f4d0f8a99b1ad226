"""Answers of other programs than Elasticsearch, such as a proxy in front of it."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kvbackends_elasticsearch.errors import Unavailable
from kvbackends_elasticsearch.requests import Answer

from kvbackends import open_store


class Proxy(BaseHTTPRequestHandler):
    """Knows no way to any server."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.send_response(404)
        self.send_header("content-length", "13")
        self.end_headers()
        self.wfile.write(b"<p>Not found.")

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_):
        pass


@pytest.fixture
def store():
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server, contextlib.ExitStack() as stack:
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
