"""Recognises a URL with the wrong scheme: TLS for a port without it, or the other way round.

Both look like a server that is away: it closes the connection, or waits for more.
"""

import socket
import ssl
from contextlib import closing

from kvbackends.contract.deadline import seconds_left
from kvbackends.contract.process import delays_forks
from kvbackends.contract.records import ServerAddress

LONGEST = 1.0
"""Seconds for a step of a probe."""
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
"""Every server without TLS answers this, be it with an error."""
_ALERT = b"\x15"
"""How an answer in TLS to text begins."""
_BAD_REQUEST = b"HTTP/1.", b" 400 "
"""How servers that do speak TLS may answer text."""


def wrong_scheme(server: ServerAddress) -> str | None:
    """Return what is wrong with the scheme for this server; None if nothing is, or none can tell.

    Nothing is wrong where the server speaks both, or neither.  Cost: one or two connections.
    """
    if server.tls:
        if _speaks_plainly(server) and not _speaks_tls(server):
            return "the server does not speak TLS on this port"
    elif _speaks_tls(server) and not _speaks_plainly(server):
        return "the server speaks TLS on this port, and the URL asks for a connection without it"
    return None


def _speaks_plainly(server: ServerAddress) -> bool:
    try:
        with closing(_connected(server)) as sock:
            sock.sendall(REQUEST)
            answer = sock.recv(64)
    except OSError:
        return False
    begin, status = _BAD_REQUEST
    is_refusal = answer.startswith(begin) and status in answer
    return bool(answer) and not answer.startswith(_ALERT) and not is_refusal


def _speaks_tls(server: ServerAddress) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False  # nothing is sent
    context.verify_mode = ssl.CERT_NONE
    try:
        with closing(_connected(server)) as sock, delays_forks, context.wrap_socket(sock):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it wants another version, or a certificate
    except OSError:
        return False


def _connected(server: ServerAddress) -> socket.socket:
    seconds = min(LONGEST, seconds_left() / 4)
    return socket.create_connection((server.host, server.port), timeout=seconds)
