"""The adapter's exceptions for error answers and failed connections."""

import re
import ssl
from collections.abc import Iterator

import msgspec
from elastic_transport import ConnectionTimeout, TlsError, TransportError

from kvbackends import ConfigurationError, KVBackendsError, StoreError, ValueTooLarge


class Unavailable(StoreError):
    """A transient error: the same request may succeed later; the outcome of a write is unknown."""


class TimedOut(Unavailable):
    """The server did not answer within the option `timeout`."""


class Cause(msgspec.Struct):
    """The description of an error in the server's answer."""

    type: str = "unknown error"
    reason: str | None = None

    @property
    def never_fits(self) -> bool:
        """True for an operation that is too large even for an idle server.

        The limit is a tenth of the heap, and server 9.2 counts a document five times.  The server
        answers 429, as it does when it is busy; only the numbers in the reason differ.
        """
        found = _TOO_LARGE.search(self.reason or "")
        if found is None:
            return False
        kind, operation, limit = found.groups()
        counted = int(operation) * 5 // 4 if kind == "primary" else int(operation)
        return counted > int(limit)


class _Refusal(msgspec.Struct):
    error: Cause | str = msgspec.field(default_factory=Cause)


_TOO_LARGE = re.compile(
    r"\b(primary|coordinating)_operation_bytes=(\d+).*\bmax_\1_bytes=(\d+)", re.DOTALL
)
TRANSIENT = frozenset({429, 500, 502, 503, 504})
"""Status codes of a server that is busy, stopping, behind a failing proxy, or without a shard."""

_HINTS = {
    401: "check the URL's user and password, api_key or bearer_token",
    403: "the user needs the privileges `read`, `write`, `maintenance`, `view_index_metadata` and, "
    "for an index that does not exist, `create_index` and `manage`",
    413: "the request is above the server's http.max_content_length",
}
_BLOCKED = (
    "the index has a block: remove it (`index.blocks` in its settings), or the cause for which the "
    "server has set it, such as a full disk"
)
_NO_JSON = "no JSON"
_OF_TYPE = {
    "cluster_block_exception": _BLOCKED,
    _NO_JSON: "another program, such as a proxy, gave this answer: check the URL",
}
_decode = msgspec.json.Decoder(_Refusal).decode


def error_type(data: bytes) -> str:
    """The type of the error in the server's answer."""
    return _cause(data).type


def refused(status: int, data: bytes, url: str) -> StoreError:
    """The exception for an answer with an error `status`."""
    return refused_item(status, _cause(data), url)


def _cause(data: bytes) -> Cause:
    try:
        error = _decode(data).error
    except msgspec.MsgspecError:  # a proxy's error page
        error = _NO_JSON
    return Cause(error) if isinstance(error, str) else error


def refused_item(status: int, cause: Cause, url: str) -> StoreError:
    """The exception for a failed item of a bulk request.

    Its message shows only the type of the error, because the server's reason may quote values.
    """
    text = f"Elasticsearch at {url} answered {status} ({cause.type})"
    if cause.never_fits:
        return ValueTooLarge(f"{text}: the value is too large for the server's heap")
    hint = _OF_TYPE.get(cause.type) or _HINTS.get(status)
    make: type[StoreError] = ValueTooLarge if status == 413 else StoreError
    if status in TRANSIENT:
        make = Unavailable
    return make(f"{text}: {hint}" if hint else text)


def failed(error: TransportError, url: str) -> KVBackendsError:
    """The exception for a request that got no answer from the host at `url`."""
    if isinstance(error, ConnectionTimeout):
        return TimedOut(f"Elasticsearch at {url} did not answer in time")
    if isinstance(error, TlsError) and any(map(_is_about_certificates, _causes(error))):
        return ConfigurationError(
            f"the certificate of Elasticsearch at {url} is not trusted: set ca_certs to the file "
            "of its authority, or ssl_assert_fingerprint to its SHA-256 fingerprint"
        )
    return Unavailable(f"Elasticsearch at {url} cannot be reached ({error})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_about_certificates(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError) or "ingerprint" in str(error)
