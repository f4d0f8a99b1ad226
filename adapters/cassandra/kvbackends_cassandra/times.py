"""Times to live as Cassandra counts them."""

import math
import time

LONGEST_TTL = 630_720_000
"""Seconds: Cassandra's limit, 20 years."""
LAST_EXPIRY = 2**31 - 86_400
"""Seconds since 1970: servers refuse what expires after January 2038, unless told otherwise."""


def seconds(ttl: float | None) -> int:
    """The ttl as Cassandra counts it; 0 is for ever.

    It counts from the beginning of the present second, so one second more: nothing dies early, and
    nothing lives two seconds longer.  What would live longer than servers can count is kept.
    """
    if ttl is None:
        return 0
    whole = math.ceil(ttl) + 1
    return 0 if whole > min(LONGEST_TTL, LAST_EXPIRY - time.time()) else whole
