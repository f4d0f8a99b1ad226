"""The conformance suite leaves nothing behind on a server."""

import time

import pytest
import redis

from kvbackends.testing import run

CHECKS = ["methods", "ranks.advisory", "threads.one_claims", "closing", "processes", "backend"]


@pytest.mark.parametrize("keep", [False, True], ids=["removed", "kept"])
def test_nothing_is_left(redis_url: str, keep: bool):
    """Keys, results and barriers are removed at the end, those of children and workers too.

    With `keep` they stay, to be looked at.
    """
    url = f"{redis_url.partition('?')[0].removesuffix('/0')}/9"
    with redis.Redis.from_url(url) as client:
        report = run([url], checks=CHECKS[: 2 if keep else None], quick=True, keep=keep)
        assert (report.exit_code, report.left) == (0, []), report.problem
        until = time.monotonic() + 30
        while client.dbsize() and not keep and time.monotonic() < until:
            time.sleep(0.05)  # tombstones expire
        left = client.keys()
        client.flushdb()
    assert (len(left) > 30) if keep else left == []
