"""What the server and the transport say, as errors that tell whether to try again."""

import ssl
from collections.abc import Iterator

import msgspec
from elastic_transport import ConnectionTimeout, TlsError, TransportError

from kvbackends import ConfigurationError, KVBackendsError, StoreError, ValueTooLarge


class Unavailable(StoreError):
    """No answer, or one that may be another the next time; the outcome is unknown."""


class TimedOut(Unavailable):
    """No answer in time."""


class _Cause(msgspec.Struct):
    type: str = "unknown error"


class _Refusal(msgspec.Struct):
    error: _Cause | str = "unknown error"


TRANSIENT = frozenset({429, 500, 502, 503, 504})
"""Too much at once, a node that is being closed, no gateway, no shard at the moment."""

_HINTS = {
    401: "look at the user and password, api_key or bearer_auth",
    403: "the user needs the privileges `read`, `write`, `create_index`, `manage` or at least "
    "`view_index_metadata` and `maintenance` for this index",
    413: "it is above the server's http.max_content_length",
}
_decode = msgspec.json.Decoder(_Refusal).decode


def refused(status: int, data: bytes) -> StoreError:
    """The error for an answer of `status`.  The server's own text may quote values: not shown."""
    return _of_kind(status, _kind(data))


def item_refused(status: int, kind: str) -> StoreError:
    """The error for one item of a bulk request."""
    return _of_kind(status, kind)


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


def _of_kind(status: int, kind: str) -> StoreError:
    text = f"Elasticsearch answered {status} ({kind})"
    if status in TRANSIENT:
        return Unavailable(text)
    hint = _HINTS.get(status)
    make = ValueTooLarge if status == 413 else StoreError
    return make(f"{text}: {hint}" if hint else text)


def _kind(data: bytes) -> str:
    try:
        error = _decode(data).error
    except msgspec.MsgspecError:  # a proxy's page
        return "no JSON"
    return error if isinstance(error, str) else error.type


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_about_certificates(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError) or "ingerprint" in str(error)
