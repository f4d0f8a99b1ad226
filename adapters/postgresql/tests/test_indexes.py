"""Which statements read by an index: the planner of a real server tells."""

from uuid import uuid4

import psycopg
import pytest

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
