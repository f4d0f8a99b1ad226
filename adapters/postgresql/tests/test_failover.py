"""Servers that end, hang, or are standbys; and tables that must not grow."""

import threading
import time
from contextlib import closing

import pytest
from kvbackends_postgresql.link import Statement

from kvbackends import open_store
from kvbackends.contract import Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import offer, rank_of
from tests.servers import pgbouncer, postgresql_server, postgresql_standby
from tests.servers.process import HOST, free_ports

SEVERAL = "postgresql://postgres@{}/postgres?connect_timeout=2&retry_timeout=60"


def test_a_host_that_does_not_answer_is_passed_over(server):
    url = SEVERAL.format(f"{HOST}:{free_ports(1)[0]},{HOST}:{server.port}")
    with closing(open_store(url)) as store:
        store.set("key", b"value")
        assert store.get("key").value == b"value"


def test_a_server_that_is_stopped_at_once_keeps_what_it_confirmed(server):
    """As `pg_ctl -m immediate` stops it; retries last until it is back."""
    with closing(open_store(f"{server.url}?client_retry_timeout=60")) as store:
        for n in range(50):
            store.offer(offer(f"immediate{n}", Rank.SUCCEEDED), rank_of)
        server.restart_at_once()
        assert len(store.get_batch([f"immediate{n}" for n in range(50)])) == 50
        store.offer(offer("immediate50", Rank.SUCCEEDED), rank_of)


def test_a_full_server_is_busy_and_a_slow_statement_is_repeated(server, opened):
    """Both are transient: the errors say what the server said."""
    role = "hurried"
    server.sql(f"CREATE ROLE {role} LOGIN SUPERUSER CONNECTION LIMIT 0")
    store = opened(server.url)
    store.set("key", b"value")
    server.sql("ALTER ROLE hurried NOSUPERUSER")
    limited = innermost(opened(server.url.replace("postgres@", f"{role}@")))
    with pytest.raises(limited.transient_errors, match="too many connections"):
        limited.get("key")
    server.sql(f"ALTER ROLE {role} SUPERUSER CONNECTION LIMIT -1")
    server.sql(f"ALTER ROLE {role} SET statement_timeout = 500")
    hurried = innermost(opened(server.url.replace("postgres@", f"{role}@")))
    hurried.set("key", b"value")
    slow = Statement(b"SELECT pg_sleep(5)", b"slow")
    with pytest.raises(hurried.transient_errors, match="statement timeout"):
        hurried._entries().ask(slow)


@pytest.mark.slow
def test_a_standby_takes_over_and_nothing_is_lost():
    """With a synchronous standby every confirmed result is on it; the store finds it by itself."""
    with postgresql_server() as primary, postgresql_standby(primary) as standby:
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        url = SEVERAL.format(f"{HOST}:{primary.port},{HOST}:{standby.port}")
        confirmed, ended = [], threading.Event()
        with closing(open_store(f"{url}&client_retry_timeout=60")) as store:

            def write(thread):
                n = 0
                while not ended.is_set():
                    key = f"k{thread}-{n}"
                    store.offer(offer(key, Rank.SUCCEEDED), rank_of)
                    confirmed.append(key)
                    n += 1

            threads = [threading.Thread(target=write, args=[n]) for n in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(2)
            primary.kill()
            before = len(confirmed)
            standby.promote()
            until = time.monotonic() + 60
            while len(confirmed) < before + 100 and time.monotonic() < until:
                time.sleep(0.1)
            ended.set()
            for thread in threads:
                thread.join()
            assert len(confirmed) >= before + 100
            assert set(confirmed) <= set(store.scan("k"))


@pytest.mark.slow
def test_tables_stop_growing_once_results_expire_as_fast_as_they_come():
    """For half a minute, as many as one process can write, each for a second."""
    with (
        postgresql_server(autovacuum_naptime="1") as server,
        closing(open_store(f"{server.url}?table=short")) as store,
    ):
        sizes, written = [], 0
        for _ in range(3):
            until = time.monotonic() + 10
            while time.monotonic() < until:
                written += 1
                store.offer(offer(f"k{written}", Rank.SUCCEEDED)._replace(ttl=1.0), rank_of)
            sizes.append(int(server.sql("SELECT pg_total_relation_size('short_entry')")))
        assert written > 1000
        assert sizes[2] < 1.5 * max(sizes[:2])


def test_behind_pgbouncer_waiters_listen_to_the_server_itself(server, opened):
    """Or read again and again, where the URL does not name it."""
    with pgbouncer(server) as pooler:
        for url in (f"{pooler.url}?listen={HOST}:{server.port}", pooler.url):
            store = opened(url)
            subscription = store.subscribe()
            subscription.watch(["bounced"])
            assert store.offer(offer("bounced", Rank.SUCCEEDED), rank_of)
            assert subscription.wait(20) in (["bounced"], None)
            subscription.close()
            store.delete("bounced")
            for n in range(20):  # more than it has connections to the server
                store.set(f"k{n}", b"value")
                assert store.get(f"k{n}").value == b"value"
