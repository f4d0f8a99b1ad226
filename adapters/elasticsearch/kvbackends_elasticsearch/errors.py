"""What the server and the transport say, as errors that tell whether to try again."""

import re
import ssl
from collections.abc import Iterator

import msgspec
from elastic_transport import ConnectionTimeout, TlsError, TransportError

from kvbackends import ConfigurationError, KVBackendsError, StoreError, ValueTooLarge


class Unavailable(StoreError):
    """No answer, or one that may be another the next time; the outcome is unknown."""


class TimedOut(Unavailable):
    """No answer in time."""


class Cause(msgspec.Struct):
    """What an error's body says of it."""

    type: str = "unknown error"
    reason: str | None = None

    @property
    def never_fits(self) -> bool:
        """True for an operation that is too large for the server, however idle that is.

        Above a tenth of the heap, and on 9.2 a document counts five times; the server answers 429.
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
"""Too much at once, a node that is being closed, no gateway, no shard at the moment."""

_HINTS = {
    401: "look at the user and password, api_key or bearer_auth",
    403: "the user needs the privileges `read`, `write`, `maintenance`, `view_index_metadata` and, "
    "for an index that is not there yet, `create_index` and `manage`",
    413: "it is above the server's http.max_content_length",
}
_decode = msgspec.json.Decoder(_Refusal).decode


def refused(status: int, data: bytes) -> StoreError:
    """The error for an answer of `status`."""
    try:
        error = _decode(data).error
    except msgspec.MsgspecError:  # a proxy's page
        error = "no JSON"
    return refused_item(status, Cause(error) if isinstance(error, str) else error)


def refused_item(status: int, cause: Cause) -> StoreError:
    """The error for one item of a bulk request.

    The server's own text may quote values, so only the kind of error is shown.
    """
    text = f"Elasticsearch answered {status} ({cause.type})"
    if cause.never_fits:
        return ValueTooLarge(f"{text}: it is too large for the server's heap")
    if status in TRANSIENT:
        return Unavailable(text)
    hint = _HINTS.get(status)
    make = ValueTooLarge if status == 413 else StoreError
    return make(f"{text}: {hint}" if hint else text)


def failed(error: TransportError, host: str) -> KVBackendsError:
    """The error for a request without an answer."""
    if isinstance(error, ConnectionTimeout):
        return TimedOut(f"Elasticsearch at {host} did not answer in time")
    if isinstance(error, TlsError) and any(map(_is_about_certificates, _causes(error))):
        return ConfigurationError(
            f"the certificate of Elasticsearch at {host} is not trusted: give its authority's file "
            "as ca_certs, or its SHA-256 as ssl_assert_fingerprint"
        )
    return Unavailable(f"Elasticsearch at {host} cannot be reached ({type(error).__name__})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_about_certificates(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError) or "ingerprint" in str(error)
