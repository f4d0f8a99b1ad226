"""What the retry layer knows and says of a store that does not answer."""

import logging
import math
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kvbackends.contract.records import ServerAddress
from kvbackends.contract.url import StoreURL
from kvbackends.errors import ConfigurationError, UnknownHost
from kvbackends.layers.probing import wrong_scheme

logger = logging.getLogger("kvbackends")

SHORTEST = 1.0
"""Seconds that an operation has at least, so that one that is not retried can succeed."""
CALM = 5.0
"""After an outage, a shorter one within these seconds is not told: servers recover one by one."""
UNKNOWN_HOST = 1.0
"""Seconds for which a host name that does not exist is looked up again."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")
"""OpenSSL's words for an answer that is not TLS."""
_CORRECT = "Correct the port, or the scheme or the TLS options of the URL."
_UNREACHED = (ConnectionRefusedError, socket.gaierror)
_NO_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Outage:
    """Logs one warning when an outage of the store begins, and one message when it is over."""

    def __init__(self, url: StoreURL | None, server: ServerAddress | None = None) -> None:
        self._url = url
        self._server = server
        self.since: dict[int, float] = {}
        """Empty while the store answers; else under 0 when the outage began."""
        self._told: dict[int, float] = {}
        """Empty until the outage was told; then under 0 when."""
        self._over = -math.inf
        """When the outage before ended."""
        self._repeated: dict[object, None] = {}
        """One key for each operation that is being repeated."""

    @contextmanager
    def lasting(self, name: str, error: BaseException, seconds: float) -> Iterator[None]:
        """Let the outage last until the end of the block, in which an operation is repeated.

        Where the store has several servers, operations on the others succeed meanwhile.
        """
        operation = object()
        self._repeated[operation] = None
        try:
            self.since.setdefault(0, time.monotonic())
            self.warn(name, error, seconds)
            yield
        finally:
            del self._repeated[operation]

    def warn(self, name: str, error: BaseException, seconds: float) -> None:
        """Warn of the outage, once, unless it is short and follows another one."""
        now = time.monotonic()
        if now < self._over + CALM and now < self.since.get(0, now) + CALM:
            return
        if self._told.setdefault(0, now) is now:  # a single step: one thread warns
            logger.warning(
                "%s does not answer `%s` (%s); operations are retried for %g s",
                *(self._store, name, self._words(error), seconds),
            )

    def ends(self) -> None:
        """Say that the store answers again, unless an operation still fails."""
        if self._repeated:
            return
        since = self.since.pop(0, None)
        if since is None:
            return
        self._over = time.monotonic()
        if self._told.pop(0, None) is not None:
            logger.info("%s answers again, after %.1f s", self._store, self._over - since)

    def check(self, error: BaseException, seconds: float) -> None:
        """Raise if repeating cannot help; `seconds` is for how long it has been tried."""
        for cause in _causes(error):
            if isinstance(cause, socket.gaierror) and cause.errno in _NO_NAME:
                if seconds >= UNKNOWN_HOST:
                    raise UnknownHost(
                        f"{self._store}: the host name does not exist ({self._words(cause)}). "
                        "Correct the URL, or the name service that this machine asks."
                    ) from error
            elif isinstance(cause, ssl.SSLError) and (reason := _reason(cause)):
                raise ConfigurationError(f"{self._store}: {reason}") from error

    def check_scheme(self, error: BaseException) -> None:
        """Raise if the URL's scheme is wrong for the server; asks the server once.

        After a wrong scheme it asks again, since the server may be mended.
        """
        server, self._server = self._server, None
        if server is None:
            return
        if any(isinstance(each, _UNREACHED) for each in _causes(error)):
            self._server = server
        elif (reason := wrong_scheme(server)) is not None:
            self._server = server
            raise ConfigurationError(f"{self._store}: {reason}. {_CORRECT}") from error

    def told(self, name: str, attempts: int, seconds: float, error: BaseException) -> str:
        """The message for an operation that is given up."""
        return (
            f"{self._store} did not answer for {seconds:.1f} s ({attempts} "
            f"attempt{'s' if attempts > 1 else ''} of `{name}`; last error: {self._words(error)}). "
            "Check that the server runs and is reachable from here; `retry_timeout` sets how long "
            "operations are retried."
        )

    @property
    def _store(self) -> str:
        return "the store" if self._url is None else str(self._url)

    def _words(self, error: BaseException) -> str:
        words = str(error) or type(error).__name__
        return self._url.redacted(words) if self._url else words


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()  # an error that is raised again may be among its own causes
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _reason(error: ssl.SSLError) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        verdict = getattr(error, "verify_message", None) or str(error)
        return (
            f"the server's certificate is not accepted ({verdict}). Name the file of "
            "its authority among the URL's options, and the host as the certificate does."
        )
    if error.reason in _NO_TLS:
        return f"the server does not speak TLS on this port. {_CORRECT}"
    return None
