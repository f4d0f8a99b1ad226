"""The time in a record is spelled as `datetime.isoformat` spells it."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from kvbackends.backend.encoding import Clock

SECOND = 10**9
ZONES = [UTC, timezone(timedelta(hours=-3, minutes=-30)), ZoneInfo("Europe/Berlin")]
BACK = 1_792_890_000
"""The second at which summer time ends in Berlin in 2026."""


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_every_fraction_around_a_change_of_the_clocks(zone, monkeypatch):
    clock = Clock(zone)
    for second in (BACK - 1, BACK, BACK - 1, SECOND, BACK + 3600):
        for micros in (0, 1, 999, 1_000, 10_000, 500_000, 999_999):
            now = second * SECOND + micros * 1000 + 999
            monkeypatch.setattr("kvbackends.backend.encoding.time_ns", lambda now=now: now)
            moment = datetime.fromtimestamp(second, zone).replace(microsecond=micros)
            assert clock() == moment.isoformat()


def test_it_is_now():
    before, told, after = datetime.now(UTC), Clock(UTC)(), datetime.now(UTC)
    assert (
        before - timedelta(seconds=1) < datetime.fromisoformat(told) < after + timedelta(seconds=1)
    )
