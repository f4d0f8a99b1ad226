"""What this adapter does beyond the contract: its tables, SQL, notifications, and removal."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest
from celery import Celery
from click.testing import CliRunner
from kvbackends_postgresql.connections import Connections
from kvbackends_postgresql.sweeping import STEP, Sweeper

from kvbackends import ConfigurationError, StoreError, open_store
from kvbackends.cli.app import command
from kvbackends.contract import Offer, Rank
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import offer, rank_of
from tests.support.pages import texts
from tests.support.urls import with_options

NO_RETRY = {"result_backend_transport_options": {"retry": False}}


def asked(monkeypatch):
    """The statements that are sent from now on."""
    seen, ask = [], Connections.ask

    def noted(self, statement, *values):
        seen.append(statement.text.split()[0].decode() + " " + statement.text.split()[1].decode())
        return ask(self, statement, *values)

    monkeypatch.setattr(Connections, "ask", noted)
    return seen


def fresh(url):
    """The URL with tables of its own."""
    return with_options(url, f"table=t{uuid4().hex[:12]}")


# -- tables --------------------------------------------------------------------------------------


def test_many_come_at_once_and_one_makes_the_tables(server):
    url = fresh(server.url)
    stores = [open_store(url, NO_RETRY) for _ in range(12)]
    with ThreadPoolExecutor(len(stores)) as threads:
        for done in [threads.submit(s.set, f"k{n}", b"v") for n, s in enumerate(stores)]:
            done.result()
    assert sorted(stores[0].scan("k")) == sorted(f"k{n}" for n in range(12))
    for store in stores:
        store.close()


def test_a_schema_is_made_too(server, opened):
    store = opened(f"{server.url}?schema=s{uuid4().hex[:8]}")
    store.set("key", b"value")
    assert store.get("key").value == b"value"


def test_an_administrator_makes_the_tables(server, opened):
    """The workers' user may not, and is told so; the printed SQL makes them, and gives rights."""
    table = f"t{uuid4().hex[:8]}"
    server.sql(f"CREATE ROLE {table} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    url = f"{server.url.replace('postgres@', f'{table}@')}?table={table}"
    with pytest.raises(ConfigurationError, match=r"administrator.*kvbackends_postgresql"):
        opened(url).set("key", b"value")
    command = [sys.executable, "-m", "kvbackends_postgresql", "--table", table, "--user", table]
    server.sql(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    store = opened(url)
    assert store.offer(offer("key", Rank.SUCCEEDED), rank_of)
    store.barrier("b", 60).open(b"payload")
    assert store.sweep() == 0
    assert server.sql(f"SELECT count(*) FROM {table}_results").split() == ["1"]


def test_check_makes_the_tables(server):
    """`kvbackends check --write` is what an administrator runs who may make them."""
    url = fresh(server.url)
    done = CliRunner().invoke(command, ["check", f"kv+{url}", "--write"])
    assert done.exit_code == 0, done.output
    assert "PostgreSQL 15" in done.output
    assert server.sql(f"SELECT count(*) FROM {url.partition('table=')[2]}_results").split() == ["0"]


def test_tables_that_were_dropped_are_made_again(server):
    with closing(open_store(fresh(server.url))) as store:
        store.set("key", b"value")
        server.sql(f"DROP TABLE {innermost(store)._target.names.of('entry')} CASCADE")
        store.set("key", b"value")
        assert store.get("key").value == b"value"


def test_other_encodings_store_every_text(server, opened):
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    store = opened(server.url.removesuffix("postgres") + "latin")
    for key in ("ключ", "a\0b", "\N{GRINNING FACE}"):
        facets = {"task": key, "state": "SUCCESS"}
        assert store.offer(Offer(key, b"\0\xff", Rank.SUCCEEDED, 60, facets), rank_of)
        assert store.get(key).value == b"\0\xff"
        assert list(store.find({"task": key})) == [key]


# -- SQL -----------------------------------------------------------------------------------------


def test_results_are_rows_for_sql(server):
    url = fresh(server.url)
    app = Celery("shop", broker="memory://", backend=f"kv+{url}", set_as_current=False)
    app.conf.result_extended = True
    good, bad = str(uuid4()), str(uuid4())
    app.backend.store_result(good, {"total": 3}, "SUCCESS")
    app.backend.store_result(bad, ValueError("no"), "FAILURE", traceback="lines")
    store = app.backend.store
    store.offer(Offer("celery-task-meta-odd", b"\xff\0", Rank.SUCCEEDED, 60), rank_of)
    view = innermost(store)._target.names.of("results")
    rows = server.sql(f"SELECT task_id, state, result ->> 'total' FROM {view} ORDER BY state")
    assert rows.split() == sorted([f"{good}|SUCCESS|3", f"{bad}|FAILURE|", "||"], key=rows.index)
    plan = server.sql(
        f"SET enable_seqscan = off; EXPLAIN SELECT state FROM {view} "
        "WHERE key = convert_to('celery-task-meta-' || 'x', 'UTF8')"
    )
    assert "_entry_pkey" in plan
    assert app.AsyncResult(good).date_done is not None
    assert server.sql(
        f"SELECT done > now() - interval '1 hour' FROM {view} WHERE state = 'SUCCESS'"
    )
    server.sql(f"CREATE TABLE orders AS SELECT 7 AS id, '{good}' AS task_id")
    (shown,) = texts("adapters/postgresql/README.md", "sql")
    told = server.sql(shown.replace("kvbackends_results", view)).splitlines()
    assert told == ['7|SUCCESS|{"total": 3}', "|1"]
    app.backend.waiters.close()
    store.close()
    app.close()


# -- requests and notifications --------------------------------------------------------------------


def test_each_operation_is_one_statement(server, opened, monkeypatch):
    store = innermost(opened(fresh(server.url)))
    store.set("made", b"")
    seen = asked(monkeypatch)
    monkeypatch.setattr(Sweeper, "wrote", lambda _: None)

    def statements(call):
        seen.clear()
        call()
        return len(seen)

    barrier = store.barrier("b", 60)
    from kvbackends.testing.tools import part

    store.connections = store._entries().connections
    entries = store._entries()
    entries.ask = entries.connections.ask
    assert statements(lambda: store.offer(offer("k", Rank.SUCCEEDED), rank_of)) == 1
    assert statements(lambda: store.offer(offer("k", Rank.FAILED), rank_of)) == 2
    assert statements(lambda: store.get_batch([f"k{n}" for n in range(1000)])) == 1
    assert statements(lambda: barrier.open(b"")) == 1
    assert statements(lambda: barrier.expect(part(-1, "size"), 2)) == 1
    one, two = part(0), part(1)
    assert statements(lambda: barrier.finish(one, offer("r0", Rank.SUCCEEDED), rank_of)) == 1
    assert statements(lambda: barrier.finish(two, offer("r1", Rank.SUCCEEDED), rank_of)) == 1
    assert statements(lambda: list(barrier.parts())) == 1
    assert statements(lambda: barrier.renew(two)) == 1
    assert statements(lambda: barrier.close(two, offer("r1", Rank.SUCCEEDED), rank_of)) == 2


def test_a_writer_notifies_only_if_somebody_listens(server, opened, monkeypatch):
    store = innermost(opened(fresh(server.url)))
    store.set("made", b"")
    seen = asked(monkeypatch)
    entries = store._entries()
    entries.ask = entries.connections.ask
    store.offer(offer("k1", Rank.FAILED), rank_of)
    assert "SELECT pg_notify($1::text," not in seen
    subscription = store.subscribe()
    subscription.watch(["k1"])
    store.offer(offer("k1", Rank.SUCCEEDED), rank_of)
    assert "SELECT pg_notify($1::text," in seen
    assert subscription.wait(10) == ["k1"]
    subscription.close()


def test_no_wake_up_is_lost_when_listening_and_writing_begin_together(server, opened):
    """Each round a new session begins to listen while a writer stores: read or notified."""
    url = fresh(server.url)
    store, other = innermost(opened(url)), innermost(opened(url))
    other.set("made", b"")
    for round_ in range(60):
        key = f"k{round_}"
        writer = threading.Thread(
            target=lambda key=key: other.offer(offer(key, Rank.SUCCEEDED), rank_of)
        )
        subscription = store.subscribe()
        writer.start()
        subscription.watch([key])
        found = store.get(key) is not None
        assert found or subscription.wait(10) == [key]
        writer.join()
        subscription.close()


# -- removal -------------------------------------------------------------------------------------


def test_writers_remove_what_has_expired(server, opened):
    """Twice as many as they write, so that the table does not grow."""
    url = fresh(server.url)
    store = opened(url)
    for n in range(5 * STEP):
        store.set(f"old{n}", b"v" * 500, 0.001)
    for n in range(STEP):
        store.set(f"new{n}", b"v", 60)
    entry = innermost(store)._target.names.of("entry")
    rows = int(server.sql(f"SELECT count(*) FROM {entry} WHERE expires < now()"))
    assert rows <= STEP


def test_parts_that_a_lost_process_left_are_removed(server, opened):
    store = opened(fresh(server.url))
    names = innermost(store)._target.names
    barrier = store.barrier("b", 0.05)
    barrier.open(b"payload")
    from kvbackends.testing.tools import part

    barrier.arrive(part(0), b"value")
    time.sleep(0.2)
    assert store.sweep() == 1
    for table in ("barrier", "part", "about", "trash"):
        assert server.sql(f"SELECT count(*) FROM {names.of(table)}").split() == ["0"]


# -- troubles ------------------------------------------------------------------------------------


def test_a_full_queue_and_other_permanent_errors_are_told(server, opened):
    store = opened(fresh(server.url))
    store.set("key", b"no number")
    with pytest.raises(StoreError, match="invalid input syntax"):
        store.increment("key", 1, None)


def test_a_stricter_isolation_only_repeats(server):
    role = f"r{uuid4().hex[:8]}"
    server.sql(f"CREATE ROLE {role} LOGIN SUPERUSER")
    server.sql(f"ALTER ROLE {role} SET default_transaction_isolation = 'serializable'")
    with closing(open_store(fresh(server.url).replace("postgres@", f"{role}@"))) as store:
        store.set("made", b"")

        def write(n):
            for i in range(20):
                store.offer(offer(f"k{i}", Rank.FAILED), rank_of)
                store.compare_and_set(f"c{i}", b"%d" % n, None)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, range(4)))
        assert len(list(store.scan(""))) == 41


def test_prepared_statements_that_are_gone_are_not_needed(server, opened):
    """As behind a pooler that gives each statement another connection."""
    store = opened(fresh(server.url))
    for _ in range(3):
        store.set("key", b"value")
    connections = innermost(store)._entries().connections
    connections._free[-1].link.run("DEALLOCATE ALL")
    assert store.get("key").value == b"value"
    store.set("key", b"other")
    store.set("key", b"another")
    assert store.get("key").value == b"another"


def test_killed_sessions_lose_nothing(server):
    """Each is terminated twenty times a second while four threads write."""
    ended, done = threading.Event(), []
    with closing(open_store(fresh(server.url))) as store:
        store.set("made", b"")

        def write(thread):
            for n in range(60):
                key = f"k{thread}-{n}"
                assert store.offer(offer(key, Rank.SUCCEEDED), rank_of)
                done.append(key)

        def kill():
            with psycopg.connect(server.url, autocommit=True) as connection:
                while not ended.wait(0.05):
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                    )

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(write, range(4)))
        finally:
            ended.set()
            killer.join()
        assert len(done) == 240
        assert store.get_batch(done).keys() == set(done)
