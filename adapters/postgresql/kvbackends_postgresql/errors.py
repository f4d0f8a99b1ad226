"""Which errors of the server and of libpq are transient, and what helps against the others."""

import re
import ssl
from typing import Any

from psycopg.pq import DiagnosticField

from kvbackends import ConfigurationError, StoreError

_TRANSIENT_CLASSES = ("08", "40", "57", "55")
"""Classes of SQLSTATE (PostgreSQL's appendix "Error Codes"): the connection, conflicts that roll
back, interventions by an operator, and objects that are in use."""
_TRANSIENT = {
    "25006",  # read-only: a standby, or a primary that has become one
    "53000",
    "53200",  # the server has no memory left
    "53300",  # too many connections
    "54000",  # the queue of notifications is full
    "XX000",  # PgBouncer lost its connection to the server, or a cached plan did not fit
}
_PERMANENT = {"57P04"}  # the database was dropped
MISSING = {"42P01", "42883", "3F000"}
"""A table, function or schema is missing."""
UNPREPARED = {"26000", "42P05"}
"""A prepared statement that a pooler has left on another connection."""
DISK_FULL, TOO_LARGE, NO_RIGHT = "53100", "54000", "42501"
NOT_ACCEPTING = "55000"
"""At connecting: the database does not allow connections."""

_HINTS = {
    DISK_FULL: "; make room on the server's disk",
    NO_RIGHT: "; grant the user the right, or see `python -m kvbackends_postgresql --help`",
    "3D000": "; create the database, or correct the URL",
    "28P01": "; check the user and the password",
    "28000": "; check the user, the database and the server's pg_hba.conf",
    "22P05": "; the database's encoding has no such character",
}

# libpq's own errors and PgBouncer's have no SQLSTATE that tells them, only words.  Where the server
# speaks English its words spare the second attempt that tells the SQLSTATE.
_REFUSED = re.compile(
    r"password authentication failed|authentication failed for user|no password supplied|"
    r'role "[^"]*" does not exist|role "[^"]*" is not permitted to log in|no pg_hba\.conf entry|'
    r'database "[^"]*" does not exist|permission denied for database|no such database|no such user|'
    r"pg_hba\.conf rejects|authentication method .* not supported|server does not support SSL|"
    r"private key file|could not (?:load|read) |could not parse|root certificate file|"
    r"unsupported startup parameter|unrecognized configuration parameter|invalid .* value|"
    r"not currently accepting connections|definition of service .* not found|weak password|"
    r"certificate .* does not match host name|SCRAM|expired|requires a valid client certificate"
)
_NOT_ACCEPTED = re.compile(r"certificate verify failed[^\n]*|does not match host name[^\n]*")


class Unavailable(StoreError):
    """A transient error: the same request may succeed later; the outcome of a write is unknown."""


class Refused(StoreError):
    """The server refuses the request, and would again; not retried."""


class Missing(Unavailable):
    """The tables are not there: they are made, and the request is repeated."""


class Unprepared(StoreError):
    """A pooler does not keep prepared statements; nothing was executed."""


def of_result(result: Any) -> StoreError:
    """The exception for the server's error."""
    state = _field(result, DiagnosticField.SQLSTATE)
    words = _field(result, DiagnosticField.MESSAGE_PRIMARY) or result.get_error_message()
    text = f"PostgreSQL: {words}{_HINTS.get(state, '')}" + (f" ({state})" if state else "")
    if state in UNPREPARED:
        return Unprepared(text)
    if state in MISSING:
        return Missing(text)
    return Unavailable(text) if not state or _is_transient(state) else Refused(text)


def lost(error: Exception) -> Unavailable:
    """The exception for libpq's words about a connection that it has lost."""
    return Unavailable(f"PostgreSQL: {' '.join(str(error).split())}")


def refused_in_words(words: str) -> bool:
    """True if libpq's words, in English, are those of a refusal for good."""
    return bool(_REFUSED.search(words) or _NOT_ACCEPTED.search(words))


def of_connecting(words: str, state: str = "") -> Exception:
    """The exception for libpq's words about a connection that failed.

    Args:
        words: In any language if `state` is given.
        state: The SQLSTATE; empty if the server has sent none, or `words` are enough.
    """
    text = f"PostgreSQL: {' '.join(words.split())}"
    if found := _NOT_ACCEPTED.search(words):
        error = Unavailable(text)
        error.__cause__ = ssl.SSLCertVerificationError(1, found[0])
        return error
    if _REFUSED.search(words) or state == NOT_ACCEPTING or (state and not _is_transient(state)):
        return ConfigurationError(f"{text}{_HINTS.get(state) or _hint(words)}")
    return Unavailable(text)


def _is_transient(state: str) -> bool:
    if state in _TRANSIENT:
        return True
    return state[:2] in _TRANSIENT_CLASSES and state not in _PERMANENT


def _hint(words: str) -> str:
    for state, part in (("28P01", "authentication failed"), ("3D000", "database"), ("28000", "")):
        if part in words and "FATAL" in words:
            return _HINTS[state]
    return ""


def _field(result: Any, field: DiagnosticField) -> str:
    found = result.error_field(field)
    return found.decode(errors="replace") if found else ""
