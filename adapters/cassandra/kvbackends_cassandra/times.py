"""Times to live in Cassandra's units."""

import math
import time

LONGEST_TTL = 630_720_000
"""Seconds.  Cassandra's limit: 20 years."""
LAST_EXPIRY = 2**31 - 86_400
"""Seconds since 1970.  By default servers refuse what expires later, in January 2038."""


def seconds(ttl: float | None) -> int:
    """The ttl for ``USING TTL``, in whole seconds; 0 means for ever.

    Cassandra counts from the beginning of the current second.  One second is added, so that nothing
    expires early; nothing lives two seconds longer.  A ttl beyond Cassandra's limits becomes 0.
    """
    if ttl is None:
        return 0
    whole = math.ceil(ttl) + 1
    return 0 if whole > min(LONGEST_TTL, LAST_EXPIRY - time.time()) else whole
