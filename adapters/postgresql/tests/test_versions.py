"""Tables of other versions: older ones work, and are upgraded under way; newer ones are refused."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from kvbackends_postgresql.__main__ import main
from kvbackends_postgresql.options import PostgreSQLOptions, target
from kvbackends_postgresql.versions import upgrade

from kvbackends import ConfigurationError
from kvbackends.contract import Offer, Rank, StoreURL
from kvbackends.contract.options import fill
from kvbackends.layers.layer import innermost
from kvbackends.testing.tools import rank_of
from tests.servers import pgbouncer

VERSION_1 = (Path(__file__).parent / "version1.sql").read_text()
"""What version 1 has made, for the option ``table=old``."""


@pytest.fixture
def older(server):
    """The URL of tables that version 1 has made, in a schema of their own."""
    schema = f"s{uuid4().hex[:8]}"
    server.sql(f"CREATE SCHEMA {schema}; SET search_path = {schema}; {VERSION_1}")
    return f"{server.url}?schema={schema}&table=old"


def target_of(url):
    parsed = StoreURL.parse(url)
    return target(parsed, fill(PostgreSQLOptions, parsed.query, {}))


def schema_of(url):
    return url.partition("schema=")[2].partition("&")[0]


def indexes(server, url):
    """The indexes of results, without those that are broken."""
    text = (
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        f"WHERE indrelid = '{schema_of(url)}.old_entry'::regclass AND indisvalid ORDER BY 1"
    )
    return server.sql(text).split()


def stored(store, key):
    facets = {"task": "t", "state": "FAILURE", "worker": "w"}
    return store.offer(Offer(key, b"value", Rank.FAILED, 60, facets), rank_of)


NEWEST = ["old_entry_expires", "old_entry_pkey", *(f"old_entry_{n}" for n in ("states", "tasks"))]
NEWEST += ["old_entry_workers"]


def test_older_tables_work_as_they_are(server, opened, older):
    store = opened(older)
    assert stored(store, "key")
    assert list(store.find({"task": "t", "state": "FAILURE"})) == ["key"]
    assert indexes(server, older) != NEWEST
    facts = {fact.name: fact for fact in innermost(store).about()}
    assert "--upgrade" in facts["tables"].said


def test_many_upgrade_at_once_while_clients_write(server, opened, older):
    """One of them does it; no write fails, and clients from before go on."""
    store, ended, wrote = opened(older), threading.Event(), []
    stored(store, "first")

    def write():
        while not ended.is_set() or len(wrote) < 20:
            wrote.append(stored(store, f"k{len(wrote)}"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            began = sorted(threads.map(upgrade, [target_of(older)] * 4))
    finally:
        ended.set()
        writer.join()
    assert began == [1, 2, 2, 2]
    assert all(wrote)
    assert indexes(server, older) == NEWEST
    for each in (store, opened(older)):
        assert len(list(each.find({"worker": "w"}))) == len(wrote) + 1
    assert "tables" not in {fact.name for fact in innermost(store).about()}


def test_an_interrupted_upgrade_is_repeated(server, older):
    """It leaves an index that is maintained and never used, and would be taken for made."""
    schema = schema_of(older)
    server.sql(f"CREATE INDEX old_entry_tasks ON {schema}.old_entry (task, state)")
    broken = f"'{schema}.old_entry_tasks'::regclass"
    server.sql(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = {broken}")
    assert upgrade(target_of(older)) == 1
    assert indexes(server, older) == NEWEST


def test_a_user_who_is_not_the_owner_is_told(server, older, monkeypatch, capsys):
    role = schema_of(older)
    server.sql(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {role} TO {role}")
    url = f"kv+{older.replace('postgres@', f'{role}@')}"
    monkeypatch.setattr(sys, "argv", ["kvbackends_postgresql", "--upgrade", url])
    assert main() == 1
    assert "the owner of the tables may" in capsys.readouterr().err


def test_the_command_upgrades(server, older):
    command = [sys.executable, "-m", "kvbackends_postgresql", "--upgrade", f"kv+{older}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "the tables had version 1, and have version 2\n"
    assert indexes(server, older) == NEWEST


def test_a_pooler_is_refused_because_a_lock_would_stay_with_it(server, older):
    with pgbouncer(server) as pooler:
        url = older.replace(f":{server.port}/", f":{pooler.port}/")
        with pytest.raises(ConfigurationError, match="URL of the server itself"):
            upgrade(target_of(url))
        assert upgrade(target_of(f"{url}&listen=127.0.0.1:{server.port}/postgres")) == 1


def test_no_tables_are_not_upgraded(server):
    with pytest.raises(ConfigurationError, match="nothing to upgrade"):
        upgrade(target_of(f"{server.url}?table=missing"))


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("NULL", "made by another program"),
        ("'kvbackends, tables of version 99'", r"newer kvbackends \(version 99\).*upgrade kvb"),
    ],
)
def test_tables_of_another_program_or_a_newer_version_are_refused(server, opened, comment, words):
    table = f"t{uuid4().hex[:8]}"
    server.sql(f"CREATE TABLE {table}_entry (a int); COMMENT ON TABLE {table}_entry IS {comment}")
    url = f"{server.url}?table={table}"
    for use in (lambda: opened(url).set("key", b"value"), lambda: upgrade(target_of(url))):
        with pytest.raises(ConfigurationError, match=words):
            use()
