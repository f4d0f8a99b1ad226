"""The driver's exceptions, and which of them are transient."""

from collections.abc import Callable

from cassandra import (
    AuthenticationFailed,
    CoordinationFailure,
    DriverException,
    OperationTimedOut,
    Timeout,
    Unauthorized,
    Unavailable,
    WriteTimeout,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import (
    ErrorMessage,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
)

from kvbackends import StoreError

UNKNOWN_CAS = 0x1700
"""The code of CAS_WRITE_UNKNOWN in native protocol 5; the driver has no class for it."""


class CassandraUnavailable(StoreError):
    """Too few nodes answered in time; the outcome of a write is unknown."""


class CassandraRefused(StoreError):
    """The credentials are wrong, or a permission is missing; retrying cannot help."""


_CONNECTION = (ConnectionException, ConnectionBusy, NoConnectionsAvailable, OSError)

DRIVERS = (DriverException, ErrorMessage, NoHostAvailable, *_CONNECTION)
"""Every exception that the driver raises for a failed request."""

_TRANSIENT = (
    OperationTimedOut,
    Timeout,
    Unavailable,
    CoordinationFailure,
    OverloadedErrorMessage,
    IsBootstrappingErrorMessage,
    *_CONNECTION,
)


def is_ambiguous(error: BaseException) -> bool:
    """True if a node answered that a transaction's outcome is unknown: it can be asked again."""
    return isinstance(error, WriteTimeout) or getattr(error, "code", None) == UNKNOWN_CAS


class Translating:
    """Replaces the driver's exceptions inside a ``with`` block by those of `translated`.

    `lost` is called where no node can be reached.  The same object serves many blocks and threads.
    """

    def __init__(self, lost: Callable[[], None] = lambda: None) -> None:
        self._lost = lost

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NoHostAvailable):
            self._lost()
        instead = translated(error) if isinstance(error, DRIVERS) else None
        if instead is not None:
            raise instead from error


def translated(error: BaseException) -> StoreError | None:
    """The exception to raise instead of the driver's; None if its own says it all."""
    if isinstance(error, NoHostAvailable):
        return _no_host(error)
    if isinstance(error, AuthenticationFailed):
        return _wrong_credentials(error)
    if isinstance(error, Unauthorized):
        return CassandraRefused(f"Cassandra: {error}; grant this permission to the user")
    if isinstance(error, _TRANSIENT) or is_ambiguous(error):
        return CassandraUnavailable(f"Cassandra: {error}")
    return None


def _no_host(error: NoHostAvailable) -> StoreError:
    reasons = list(error.errors.values()) if isinstance(error.errors, dict) else []
    if reasons and all(isinstance(each, AuthenticationFailed) for each in reasons):
        return _wrong_credentials(reasons[0])
    return CassandraUnavailable(f"Cassandra: {error}")


def _wrong_credentials(error: AuthenticationFailed) -> CassandraRefused:
    return CassandraRefused(
        f"Cassandra: {error}; check the URL's user and password, or auth_provider and auth_kwargs"
    )
