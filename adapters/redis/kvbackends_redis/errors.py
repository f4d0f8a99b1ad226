"""Which of the driver's errors are worth another attempt, and which are for a person."""

import re
import ssl

from redis import exceptions

from kvbackends import StoreError
from kvbackends_redis.advice import advised


class Unavailable(exceptions.RedisError):
    """The server could not be asked, or could not do it now; the outcome is unknown."""


class UnknownScript(exceptions.RedisError):
    """The server does not know the script: it is new, or has forgotten."""


class Refused(StoreError):
    """The server refuses: credentials, permissions, certificates, memory, a key of another kind.

    Repeating does not help; a person has to.  Nothing was changed, but where only the notice to
    waiters is forbidden: the result is stored before it.
    """


class Redirected(Refused):
    """Another node of the cluster has to be asked; `__cause__` says which.  Nothing was done."""


_FOR_A_PERSON = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.AuthenticationWrongNumberOfArgsError,
)
"""Among them are subclasses of the driver's ConnectionError."""

_PASSING = re.compile(
    r"(?:^|-)(?:READONLY|LOADING|BUSY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|UNBLOCKED)\b"
)
"""Codes of states that pass by themselves: a failover, a start, a resharding, another's script.

Redis 6.2 puts the code of an error in a script behind the script's own: "ERR Error running script
… -READONLY …".  `OOM` and `MISCONF` (no memory, no disk) are not among them: they last until
somebody does something, and a worker that waits for it does nothing else meanwhile.
"""

_OWN_CLASSES = (
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)
"""Where the driver has taken the code off the message."""


def translated(error: Exception) -> Exception:
    """What the adapter raises in place of the driver's `error`."""
    if isinstance(error, exceptions.NoScriptError):
        return UnknownScript(str(error))
    if isinstance(error, exceptions.AskError):  # MOVED, too
        return Redirected(_refusal(error))
    if isinstance(error, exceptions.ResponseError):
        passes = isinstance(error, _OWN_CLASSES) or _PASSING.search(str(error))
        return Unavailable(str(error)) if passes else Refused(_refusal(error))
    if isinstance(error, _FOR_A_PERSON):
        return Refused(_refusal(error))
    if isinstance(error.__context__, ssl.SSLCertVerificationError):
        return Refused(f"the server's certificate is not trusted: {error}")
    return Unavailable(str(error))


def _refusal(error: Exception) -> str:
    return f"Redis refuses: {advised(str(error))}"
