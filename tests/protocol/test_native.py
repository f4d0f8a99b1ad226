"""Each server's own barrier, request by request: lost answers, half requests and deaths.

A few seconds of histories by chance for each; the properties are those of `test_chord.py`.
"""

import random
import time

import pytest

from tests.protocol.native import SERVERS, NativeWorld
from tests.protocol.world import Plan, by_bytes
from tests.support.suites import java_is_slow

SECONDS = 6.0
"""For each server; one history at least."""
DECISIONS = 600
PLANS = [
    Plan(faults=2, crashes=1, duplicates=1),
    Plan(adds=1, faults=2, crashes=1),
    Plan(parts=3, workers=4, adds=2, crashes=2, faults=3, duplicates=2, shared_ack=False),
    Plan(adds=2, duplicates=2),
    Plan(parts=3, workers=4),
    Plan(crashes=2, trusts_success=False),
    Plan(fails=True, crashes=1, duplicates=1, faults=1),
]


@pytest.mark.parametrize("name", java_is_slow(SERVERS))
def test_any_order_of_requests(name: str, request: pytest.FixtureRequest):
    """Published once or with an excuse, with the right values; nothing is lost or kept for ever."""
    server = SERVERS[name](request.getfixturevalue(f"{name}_url"))
    chance, until, done = random.Random(3), time.monotonic() + SECONDS, 0
    try:
        with server.caught():
            while not done or time.monotonic() < until:
                plan = PLANS[done % len(PLANS)]
                world = NativeWorld(server, plan, by_bytes(chance.randbytes(DECISIONS)))
                try:
                    world.run()
                except Exception as error:
                    error.add_note("\n".join([str(plan), *world.history]))
                    raise
                done += 1
    finally:
        server.close()
