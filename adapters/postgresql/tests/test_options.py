"""URLs and Celery's settings become libpq's arguments; no test connects."""

import pytest
from kvbackends_postgresql.options import PostgreSQLOptions, target

from kvbackends import ConfigurationError, InvalidOption, open_store
from kvbackends.contract import Feature, StoreURL
from kvbackends.contract.options import fill


def read(url, **settings):
    """The target of a URL and Celery's settings."""
    parsed = StoreURL.parse(url)
    return target(parsed, fill(PostgreSQLOptions, parsed.query, settings))


@pytest.mark.parametrize(
    "scheme",
    ["postgresql", "postgres", "db+postgresql", "postgresql+psycopg2", "db+postgresql+psycopg"],
)
def test_every_spelling_is_the_same_server(scheme):
    found = read(f"kv+{scheme}://ann:p%40ss@a:5433/app?sslmode=require&schema=results").parameters
    ours = {"user": "ann", "password": "p@ss", "host": "a", "port": "5433", "dbname": "app"}
    assert ours.items() <= found.items()
    assert found["sslmode"] == "require"
    assert "schema" not in found
    assert open_store(f"kv+{scheme}://a/app")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql:///app?host=/run/postgresql", [("/run/postgresql", "5432", None)]),
        ("postgresql://%2Frun%2Fpg/app", [("/run/pg", "5432", None)]),
        (
            "postgresql://127.0.0.1,127.0.0.2:5433/app",
            [("127.0.0.1", "5432", "127.0.0.1"), ("127.0.0.2", "5433", "127.0.0.2")],
        ),
        ("postgresql://?service=results", [(None, None, None)]),
    ],
)
def test_each_server_is_tried_by_itself(url, expected):
    from psycopg.conninfo import conninfo_to_dict

    tried = [conninfo_to_dict(each.decode()) for each in read(url).attempts()]
    assert [(t.get("host"), t.get("port"), t.get("hostaddr")) for t in tried] == expected


def test_of_several_servers_the_one_that_writes_is_wanted():
    assert read("postgresql://a,b/app").parameters["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in read("postgresql://a/app").parameters


def test_celerys_settings_keep_their_meaning():
    found = read(
        "db+postgresql://a/app",
        database_engine_options={
            "pool_size": 3,
            "max_overflow": 4,
            "pool_recycle": 60,
            "pool_timeout": 2,
            "echo": True,
            "connect_args": {"application_name": "shop", "connect_timeout": 7},
        },
        database_table_names={"task": "myapp_taskmeta", "group": "myapp_groupmeta"},
        database_table_schemas={"task": "celery"},
    )
    assert found.max_connections == 7
    assert (found.max_idle, found.timeout, found.connect_timeout) == (60, 2, 7)
    assert found.parameters["application_name"] == "shop"
    assert found.names.of("entry") == '"celery"."myapp_taskmeta_kv_entry"'


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://a/app?sslmod=require", "sslmod"),
        ("postgresql://a/app?sslrootcert=/nowhere.pem", r"sslrootcert.*/nowhere\.pem"),
        ("postgresql://a/app?timeout=0", "timeout"),
        ("postgresql://a/app?listen=u%3As3cret%40b", "listen"),
        ("postgresql://a,b,c/app?port=1,2", "port"),
    ],
)
def test_what_can_never_work_is_refused_at_opening(url, message):
    with pytest.raises(InvalidOption, match=message):
        open_store(url)


def test_no_message_shows_a_password():
    for url in ("postgresql://u:s3cr%zzet@a/app", "postgresql://u:s3cret@a:x/app"):
        with pytest.raises(ConfigurationError) as caught:
            open_store(url)
        assert "s3cr" not in str(caught.value)
    assert "s3cret" not in repr(read("postgresql://u:s3cret@a/app?sslpassword=s3cret"))


def test_waiters_behind_a_pooler_listen_to_the_server_itself():
    found = read("postgresql://ann:pw@pooler:6432/app?sslmode=require&listen=server:5433")
    theirs = found.listening.parameters
    assert (theirs["host"], theirs["port"], theirs["dbname"]) == ("server", "5433", "app")
    assert (theirs["user"], theirs["password"], theirs["sslmode"]) == ("ann", "pw", "require")


def test_unlogged_tables_are_not_durable():
    assert Feature.DURABLE in open_store("postgresql://a/app").features
    assert Feature.DURABLE not in open_store("postgresql://a/app?unlogged=1").features
