"""Versions that know what they came after.

Cassandra may answer that it does not know what became of a lightweight transaction.  The same
statement, sent again, then finds the row as it is: with our version in front, or behind it if
somebody else has written since.  So each version carries the beginnings of those it replaced.
"""

import os

OWN = 16
"""Bytes of a version that are its own."""
BEGINNING = 8
MOST = 40
"""How many earlier versions are remembered: more than other writers can add while we ask again."""


def first() -> bytes:
    """A version that replaces whatever is there."""
    return os.urandom(OWN)


def after(version: bytes | None) -> bytes:
    """A version that replaces `version` (None: nothing)."""
    if version is None:
        return first()
    earlier = version[:BEGINNING] + version[OWN:]
    return first() + earlier[: MOST * BEGINNING]


def includes(version: bytes | None, mine: bytes) -> bool:
    """True if `version` is mine, or came after it."""
    if version is None:
        return False
    earlier = range(OWN, len(version), BEGINNING)
    return version[:OWN] == mine[:OWN] or any(
        version[at : at + BEGINNING] == mine[:BEGINNING] for at in earlier
    )
