"""The driver's connections over libev, without two of its faults.

Raises what the driver raises where it was built without libev.
"""

import atexit
import os
import ssl
import time
from typing import Any

from cassandra import cluster
from cassandra.connection import ConnectionShutdown
from cassandra.io import libevreactor as reactor

ENDING = 5.0
"""Most seconds for which a process that ends waits for the loop's thread."""


class Connection(reactor.LibevConnection):  # type: ignore[misc]
    """Notices that the server has gone in the middle of an answer.

    The driver takes this for another part of the answer, reads it again and again, and lets
    requests wait until their time is over.
    """

    def handle_read(self, watcher: Any, revents: Any, errno: int | None = None) -> None:
        """Read what there is; called by the loop."""
        before = self._iobuf.tell()
        super().handle_read(watcher, revents, errno)
        if before and before == self._iobuf.tell() and not self.is_closed:
            self._read_on()

    def _read_on(self) -> None:
        """Fail all requests if the connection has ended, else take what has come just now."""
        try:
            while part := self._socket.recv(self.in_buffer_size):
                self._iobuf.write(part)
                self.process_io_buffer()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self.defunct(error)
            return
        self.defunct(ConnectionShutdown(f"{self.endpoint} closed the connection in an answer"))


def _end() -> None:
    """Close the clusters, and wait for the end of the loop's thread, before the driver does.

    The driver stops what the loop watches from the main thread, while the loop's thread uses it,
    and waits for that thread for one second only: a process that ended with calls in flight
    crashed now and then, because the thread still ran when the interpreter was gone.
    """
    loop, until = reactor._global_loop, time.monotonic() + ENDING  # noqa: SLF001 - no public one
    if loop is None or loop._pid != os.getpid():  # noqa: SLF001
        return
    cluster._shutdown_clusters()  # noqa: SLF001
    while (loop._new_conns or loop._closed_conns) and time.monotonic() < until:  # noqa: SLF001
        loop.notify()
        time.sleep(0.001)  # the loop's own thread stops watching them
    loop._shutdown = True  # noqa: SLF001
    loop.notify()
    if loop._thread is not None:  # noqa: SLF001
        loop._thread.join(max(until - time.monotonic(), 0.0))  # noqa: SLF001


atexit.register(_end)  # after the driver has registered its own functions, and so before them
