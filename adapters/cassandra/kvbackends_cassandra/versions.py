"""Versions that name their predecessors.

Cassandra may answer that the outcome of a lightweight transaction is unknown.  The client then
sends the same statement again.  If the first attempt was applied, the row holds the version that it
wrote, or a later one by another writer.  Each version carries the beginnings of those before it, so
the client recognises its own write in both cases.
"""

import os

OWN_BYTES = 16
"""Length of a version without its predecessors."""
BEGINNING = 8
"""Bytes that are kept of each predecessor."""
PREDECESSORS = 40
"""Most predecessors that a version names: more than other writers add until the client asks again.
"""


def first() -> bytes:
    """A version without predecessors."""
    return os.urandom(OWN_BYTES)


def after(version: bytes | None) -> bytes:
    """A version that replaces `version`; None stands for an absent row."""
    if version is None:
        return first()
    earlier = version[:BEGINNING] + version[OWN_BYTES:]
    return first() + earlier[: PREDECESSORS * BEGINNING]


def includes(version: bytes | None, mine: bytes) -> bool:
    """True if `version` is `mine`, or names it as a predecessor."""
    if version is None:
        return False
    earlier = range(OWN_BYTES, len(version), BEGINNING)
    return version[:OWN_BYTES] == mine[:OWN_BYTES] or any(
        version[at : at + BEGINNING] == mine[:BEGINNING] for at in earlier
    )
