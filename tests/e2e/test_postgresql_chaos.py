"""PostgreSQL in every trouble, under tasks and chords: nothing lost, none early.

The short forms are in `test_real_servers` and in the adapter's own tests.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.e2e.deployment import Deployment
from tests.e2e.flood import Flood
from tests.servers import postgresql_server, postgresql_standby
from tests.servers.process import HOST

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TASKS, CHORDS = 300, 30
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


@pytest.fixture
def primary():
    with postgresql_server() as started:
        yield started


@pytest.fixture
def standby(primary):
    """What the primary confirms is on it."""
    with postgresql_standby(primary) as started:
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        yield started


@pytest.fixture
def deployment(deploy, primary, standby) -> Deployment:
    """Its broker is another server."""
    url = f"postgresql://postgres@{HOST}:{primary.port},{HOST}:{standby.port}/postgres"
    query = "connect_timeout=2&retry_timeout=90&client_retry_timeout=90"
    deployment = deploy("redis", url=url, query=query, task_track_started=True)
    deployment.worker("-c", "2", "-I", "tests.e2e.reports")
    return deployment


@contextmanager
def killed_sessions(url: str) -> Iterator[list[int]]:
    """Terminates every session, ten times a second; yields a list of how many each time."""
    ended, killed = threading.Event(), []

    def kill() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not ended.wait(0.1):
                killed.append(len(connection.execute(KILL).fetchall()))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def test_nothing_is_lost_and_nothing_is_early(deployment, primary, standby):
    """Every result is waited for by a thread, and each chord's body is watched."""
    with Flood(deployment) as flood:
        flood.send_before_work(TASKS, CHORDS)
        with killed_sessions(primary.url) as killed:
            time.sleep(5)
        assert sum(killed) > 20
        flood.settles()
        flood.send_before_work(TASKS, CHORDS)
        primary.pause()
        time.sleep(2)
        primary.resume()
        flood.settles()
        flood.send_before_work(TASKS, CHORDS)
        primary.restart_at_once()
        flood.settles()
        flood.send_before_work(TASKS, CHORDS)
        primary.kill()
        standby.promote()
        flood.settles()
        store = deployment.app.backend.store
        flood.nothing_is_lost(lambda keys: [*map(store.get_batch(keys).get, keys)])
        flood.nothing_is_early()
