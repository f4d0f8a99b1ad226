"""Which of the driver's exceptions mean "try again"."""

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
"""Native protocol version 5: CAS_WRITE_UNKNOWN; the driver has no class for it."""


class CassandraUnavailable(StoreError):
    """No node, or too few, answered in time; what became of a write is unknown."""


class CassandraRefused(StoreError):
    """The server refuses: wrong credentials, or no permission."""


_CONNECTION = (ConnectionException, ConnectionBusy, NoConnectionsAvailable, OSError)

DRIVERS = (DriverException, ErrorMessage, NoHostAvailable, *_CONNECTION)
"""What the driver raises."""

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
    """True if a lightweight transaction may have happened, and a node is there to be asked."""
    return isinstance(error, WriteTimeout) or getattr(error, "code", None) == UNKNOWN_CAS


def translated(error: BaseException) -> BaseException:
    """The error to raise instead; the same one where the driver's says it all."""
    if isinstance(error, NoHostAvailable):
        return _nobody(error)
    if isinstance(error, AuthenticationFailed):
        return CassandraRefused(f"Cassandra refuses the credentials: {error}")
    if isinstance(error, Unauthorized):
        return CassandraRefused(f"Cassandra: {error}")
    if isinstance(error, _TRANSIENT) or is_ambiguous(error):
        return CassandraUnavailable(f"Cassandra: {error}")
    return error


def _nobody(error: NoHostAvailable) -> StoreError:
    reasons = list(error.errors.values()) if isinstance(error.errors, dict) else []
    if reasons and all(isinstance(each, AuthenticationFailed) for each in reasons):
        return CassandraRefused(f"Cassandra refuses the credentials: {reasons[0]}")
    return CassandraUnavailable(f"Cassandra: {error}")
