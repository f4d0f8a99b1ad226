"""Which statements read by an index: the planner of a real server tells."""

from uuid import uuid4

import psycopg
import pytest

from kvbackends import open_store
from kvbackends.layers.layer import innermost


@pytest.fixture
def plan(server, opened):
    """A function that tells how the server reads for a statement, rather than the whole table."""
    store = innermost(opened(f"{server.url}?table=t{uuid4().hex[:12]}"))
    store.set("made", b"")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        connection.execute("SET plan_cache_mode = force_generic_plan")

        def ask(name, *values):
            text = getattr(store._statements, name).text.decode()
            connection.execute(f"PREPARE {name} AS {text}")
            given = ", ".join(map(str, values))
            return str(connection.execute(f"EXPLAIN EXECUTE {name} ({given})").fetchall())

        yield ask


@pytest.mark.parametrize("table", ["entries", "barriers"])
def test_removal_does_not_read_what_has_not_expired(plan, table):
    """However many rows there are: each process removes after 100 writes."""
    steps = plan(f"sweep_{table}", 200)
    assert "_expires" in steps
    assert "Seq Scan" not in steps


@pytest.mark.parametrize(
    ("facets", "index"),
    [
        ({"state": "FAILURE"}, "_entry_states"),
        ({"state": "SUCCESS"}, "_entry_pkey"),
        ({"task": "rare"}, "_entry_tasks"),
        ({"state": "FAILURE", "task": "rare"}, "_entry_"),
        ({"worker": "rare"}, "_entry_workers"),
        ({"worker": "w"}, "_entry_pkey"),
    ],
)
def test_few_results_are_found_by_their_facets_and_many_by_their_keys(filled, facets, index):
    """The server knows how many there are, since it plans with the values."""
    store, url = filled
    for _ in range(3):
        found = list(store.find(facets))
    connections = store._entries().connections
    prepared = connections._free[-1].link.run("SELECT statement FROM pg_prepared_statements")
    text = store._statements.find(tuple(sorted(facets))).text.decode()
    assert text.encode() not in [each for (each,) in prepared]
    for number, value in enumerate(["", *(facets[name] for name in sorted(facets)), 1000], 1):
        text = text.replace(f"${number}", f"'{value}'")
    with psycopg.connect(url) as connection:
        steps = str(connection.execute(f"EXPLAIN {text}").fetchall())
    assert index in steps
    assert "Seq Scan" not in steps
    assert len(found) == (10 if index != "_entry_pkey" else 19_990)


@pytest.fixture(scope="module")
def filled(server):
    """A store with 20,000 results, of which 10 failed, and the server's URL."""
    store = innermost(open_store(f"{server.url}?table=filled"))
    store.set("made", b"")
    server.sql(
        "INSERT INTO filled_entry (key, value, expires, rank, state, task, worker) "
        "SELECT convert_to(md5(n::text), 'UTF8'), 'v', 'infinity', 3, 'SUCCESS', 't', 'w' "
        "FROM generate_series(1, 19990) n;"
        "INSERT INTO filled_entry (key, value, expires, rank, state, task, worker) "
        "SELECT convert_to('f' || n, 'UTF8'), 'v', 'infinity', 2, 'FAILURE', 'rare', 'rare' "
        "FROM generate_series(1, 10) n; ANALYZE filled_entry"
    )
    yield store, server.url
    store.close()
