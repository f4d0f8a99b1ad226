"""A server that ends the connection in the middle of its answer."""

import contextlib
import socket
import threading
import time

import pytest

from kvbackends import StoreUnavailable, open_store

CUT = bytes.fromhex("84 00 00 00 06 00")
"""The beginning of an answer's head."""


def test_an_answer_that_is_cut_is_a_lost_connection():
    """At once: the driver would wait until the connecting has taken too long."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        client.recv(4096)
                        client.sendall(CUT)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        store = open_store(f"cassandra://127.0.0.1:{port}/x?connect_timeout=30&retry_attempts=0")
        began = time.monotonic()
        with contextlib.closing(store), pytest.raises(StoreUnavailable):
            store.get("key")
        took = time.monotonic() - began
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert took < 15
