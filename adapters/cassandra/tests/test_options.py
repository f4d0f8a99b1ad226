"""URLs and Celery's settings become the driver's arguments; no test connects."""

import cassandra.auth
import pytest
from cassandra import ConsistencyLevel
from kvbackends_cassandra import CassandraOptions, CassandraStore, options
from kvbackends_cassandra.times import seconds

from kvbackends import ConfigurationError, InvalidOption, open_store
from kvbackends.contract import StoreURL
from kvbackends.contract.options import fill

CELERY = {
    "cassandra_servers": ["one", "two"],
    "cassandra_port": "9142",
    "cassandra_keyspace": "results",
    "cassandra_table": "tasks",
    "cassandra_read_consistency": "QUORUM",
    "cassandra_write_consistency": "ALL",
    "cassandra_entry_ttl": 86400.0,
    "cassandra_auth_provider": "PlainTextAuthProvider",
    "cassandra_auth_kwargs": {"username": "celery", "password": "s3cr3t"},
    "cassandra_options": {"protocol_version": 5, "compression": False},
}


def read(url="cassandra://", settings=None):
    parsed = StoreURL.parse(url)
    return parsed, fill(CassandraOptions, parsed.query, settings or {})


def test_celerys_settings_are_used():
    url, found = read(settings=CELERY)
    assert options.contact(url, found) == {"contact_points": ["one", "two"], "port": 9142}
    assert options.keyspace(url, found) == "results"
    assert options.table(found) == "tasks"
    assert (found.read_consistency, found.write_consistency) == ("QUORUM", "ALL")
    assert found.entry_ttl == 86400
    assert found.driver == {"protocol_version": 5, "compression": False}
    provider = options.credentials(url, found)
    assert isinstance(provider, cassandra.auth.PlainTextAuthProvider)
    assert (provider.username, provider.password) == ("celery", "s3cr3t")


def test_the_url_overrides_the_settings():
    url, found = read(
        "cassandra://me:p%40ss@a,b:9043/mine?table=t&read_consistency=ONE&timeout=3", CELERY
    )
    assert options.contact(url, found)["contact_points"] == ["a", ("b", 9043)]
    assert options.keyspace(url, found) == "mine"
    assert (found.table, found.read_consistency, found.timeout) == ("t", "ONE", 3)


def test_the_url_holds_credentials():
    provider = options.credentials(*read("cassandra://me:p%40ss@a/k"))
    assert (provider.username, provider.password) == ("me", "p@ss")
    assert options.credentials(*read("cassandra://a/k")) is None


@pytest.mark.parametrize("name", ["secure_bundle_path", "bundle_path"])
def test_a_bundle_replaces_servers(name):
    settings = {f"cassandra_{name}": "/a.zip", "cassandra_keyspace": "k"}
    assert options.contact(*read(settings=settings)) == {
        "cloud": {"secure_connect_bundle": "/a.zip"}
    }
    with pytest.raises(ConfigurationError, match="either servers or"):
        options.contact(*read(settings=CELERY | settings))


@pytest.mark.parametrize(
    ("query", "level"),
    [
        ("", "LOCAL_SERIAL"),
        ("?read_consistency=QUORUM", "SERIAL"),
        ("?write_consistency=EACH_QUORUM", "SERIAL"),
        ("?serial_consistency=SERIAL", "SERIAL"),
    ],
)
def test_serial_consistency_follows_the_other_levels(query, level):
    _, found = read(f"cassandra://a/k{query}")
    assert options.serial(found) == getattr(ConsistencyLevel, level)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("cassandra://a", "names no keyspace"),
        ("cassandra:///k", "names no Cassandra servers"),
        ("cassandra://a/k-1", "keyspace 'k-1'"),
        ("cassandra://a/k?table=a;b", "table 'a;b'"),
        ("cassandra://a/k?read_consistency=LOCAL_QUORM", "'LOCAL_QUORUM'"),
        ("cassandra://a/k?read_consistency=EACH_QUORUM", "for writes only"),
        ("cassandra://a/k?timeout=0", "'timeout'"),
        ("cassandra://a/k?auth_provider=Cluster", "no provider 'Cluster'"),
        ("cassandra://a/k?tabel=x", "did you mean 'table'"),
    ],
)
def test_errors_name_what_is_wrong(url, message):
    with pytest.raises(ConfigurationError, match=message):
        open_store(url)


def test_values_of_celerys_settings_are_checked():
    with pytest.raises(InvalidOption, match="write_consistency"):
        open_store("cassandra://a/k", {"cassandra_write_consistency": "local_quorum"})


def test_no_password_shows():
    store = open_store("cassandra://me:s3cr3t@a/k")
    assert isinstance(store.inner.inner, CassandraStore)
    assert "s3cr3t" not in f"{store!r} {store.inner.inner!r}"


def test_ttl_is_rounded_up_and_one_second_is_added():
    """Cassandra counts from the beginning of a second; a ttl beyond its limits is for ever."""
    assert [seconds(ttl) for ttl in (None, 0.1, 1, 1.5, 86400)] == [0, 2, 2, 3, 86401]
    assert seconds(1e9) == seconds(40 * 365 * 86400.0) == 0
