"""Fixtures: stores on a real server, recorded requests, and a server with scripted answers."""

import contextlib
import ssl
import subprocess
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import pytest
from kvbackends_elasticsearch.requests import Sender

from kvbackends import open_store

NO_RETRY = {"result_backend_transport_options": {"retry": False}}


@pytest.fixture(scope="session")
def matching_url(request):
    """The URL of a server of the version that the installed client is for."""
    if version("elastic-transport").startswith("8."):
        return request.getfixturevalue("elasticsearch_url")
    return request.getfixturevalue("elasticsearch9_url")


@pytest.fixture(scope="session")
def server_url(matching_url):
    """The URL of that server, without an index."""
    return matching_url.rpartition("/")[0]


@pytest.fixture
def index_url(server_url):
    """The URL of an index that does not exist."""
    return f"{server_url}/own-{uuid.uuid4().hex}"


@pytest.fixture
def open_one():
    """A function that opens a store; the stores are closed after the test."""
    with contextlib.ExitStack() as stack:

        def opened(url, settings=NO_RETRY):
            store = open_store(url, settings)
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(open_one, index_url):
    """A store whose index exists."""
    opened = open_one(index_url)
    opened.set("made", b"")
    return opened


class Requests:
    """Records the requests that are sent; each one is a round trip."""

    def __init__(self):
        self.lines = []

    def of(self, call, *args):
        """Method and API of each request that `call` sends."""
        del self.lines[:]
        call(*args)
        return list(self.lines)


@pytest.fixture
def requests(monkeypatch):
    seen, send = Requests(), Sender.send

    def record(self, method, target, body=None):
        seen.lines.append(f"{method} {target.split('?')[0].split('/')[2]}")
        return send(self, method, target, body)

    monkeypatch.setattr(Sender, "send", record)
    return seen


class QuietServer(ThreadingHTTPServer):
    """A server that does not print errors of clients that reject its certificate."""

    def handle_error(self, request, client_address):
        pass


class Recorder:
    """A server on 127.0.0.1 that records requests in `asked` and answers `status` and `body`."""

    def __init__(self, context=None):
        self.status, self.body, self.asked = 200, b"{}", []
        self.script = None
        """Returns status and body for a method and a path, instead of `status` and `body`."""
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                recorder.asked.append((self.command, self.path, dict(self.headers)))
                status, body = recorder.status, recorder.body
                if recorder.script:
                    status, body = recorder.script(self.command, self.path)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the base class asks

            def log_message(self, *_):
                pass

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def recorder():
    with contextlib.closing(Recorder()) as server:
        yield server


@pytest.fixture
def other_recorder():
    with contextlib.closing(Recorder()) as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=test", "-out", files[0], "-keyout", files[1]),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return files


@pytest.fixture
def tls_recorder(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with contextlib.closing(Recorder(context)) as server:
        yield server
