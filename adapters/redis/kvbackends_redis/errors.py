"""Maps redis-py's errors to those that are retried and those that are reported at once."""

import re
import ssl

from redis import exceptions

from kvbackends import StoreError


class Unavailable(exceptions.RedisError):
    """A transient error: no connection, no answer, or a state that passes; outcome unknown."""


class UnknownScript(exceptions.RedisError):
    """The server does not know the script; send its text."""


class Refused(StoreError):
    """The server refuses: credentials, permissions, certificates, memory, a key of another kind.

    Retrying does not help.  Nothing was changed, with one exception: where only publishing is
    forbidden, the result is already stored.
    """


class Redirected(Refused):
    """Another node of the cluster serves the key; `__cause__` names it.  Nothing was done."""


_CREDENTIALS = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.AuthenticationWrongNumberOfArgsError,
)
"""Checked before connection errors: some are subclasses of redis-py's ConnectionError."""

_PASSING = re.compile(
    r"(?:^|-)(?:READONLY|LOADING|BUSY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|UNBLOCKED)\b"
)
"""Codes of transient states: failover, start, resharding, a script that runs for long.

Redis 6.2 puts the code of a script's error inside the message: "ERR Error running script …
-READONLY …".  `OOM` and `MISCONF` (no memory, no disk) are not transient: they last until an
operator acts, and a worker that retried would do nothing else meanwhile.
"""

_OWN_CLASSES = (
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)
"""Classes for which redis-py has removed the code from the message."""

_ADVICE = {
    "maxmemory": "let results expire sooner (result_expires), or give the server more memory",
    "MISCONF": "make room on the server's disk, or let it write there; its log says what failed",
    "Authentication required|without any password": (
        "give the user and the password that the server wants, in the URL or by the settings "
        "redis_username and redis_password"
    ),
    "username-password|invalid password": (
        "correct the user and the password in the URL or in the settings redis_username and "
        "redis_password"
    ),
    "[Nn]o permissions|NOPERM|can't (?:run|access|publish)": (
        "give its user the commands, keys and channels that the adapter's README lists"
    ),
    "DB index": "the server has fewer databases: name another one at the end of the URL",
    "WRONGTYPE": "another program keeps something under this key: remove it there, or choose a "
    "global_keyprefix",
    "cluster support disabled": (
        "this server is not a node of a cluster: name it with redis:// in place of redis+cluster://"
    ),
    "unknown command .?SENTINEL": (
        "this server is not a Sentinel: name it with redis:// in place of sentinel://"
    ),
    r"^\d+ \S+:\d+$|CROSSSLOT|hash to the same slot": (
        "this server is one node of a cluster: name it with redis+cluster:// in place of redis://"
    ),
}
"""Advice by a pattern in the message; redis-py removes the code from some messages."""


def translated(error: Exception) -> Exception:
    """The exception that the adapter raises in place of redis-py's `error`."""
    if isinstance(error, exceptions.NoScriptError):
        return UnknownScript(str(error))
    if isinstance(error, exceptions.AskError):  # MOVED, too
        return Redirected(_refusal(error))
    if isinstance(error, exceptions.ResponseError):
        passes = isinstance(error, _OWN_CLASSES) or _PASSING.search(str(error))
        return Unavailable(str(error)) if passes else Refused(_refusal(error))
    if isinstance(error, _CREDENTIALS):
        return Refused(_refusal(error))
    if isinstance(error.__context__, ssl.SSLCertVerificationError):
        return Refused(f"the server's certificate is not trusted: {error}")
    return Unavailable(str(error))


def _refusal(error: Exception) -> str:
    return f"Redis refuses: {_advised(str(error))}"


def _advised(message: str) -> str:
    """The server's message, and what to do about it."""
    for known, advice in _ADVICE.items():
        if re.search(known, message):
            return f"{message} ({advice})"
    return message
