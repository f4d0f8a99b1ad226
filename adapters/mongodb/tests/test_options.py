"""URLs and Celery's settings become the driver's arguments; no test connects."""

import re

import pytest
from kvbackends_mongodb.options import IDLE, TIMEOUTS, MongoDBOptions, target

from kvbackends import ConfigurationError, InvalidOption, open_store
from kvbackends.contract import Feature, StoreURL
from kvbackends.contract.options import fill


def read(url, **settings):
    """The target of a URL and Celery's settings for MongoDB."""
    parsed = StoreURL.parse(url)
    celerys = {"mongodb_backend_settings": settings} if settings else {}
    return target(parsed, fill(MongoDBOptions, parsed.query, celerys))


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://localhost",
        "mongodb://u:p%40ss@a,b:27018,[::1]:27019/db?appName=my%20app",
        "mongodb://a/?readPreference=nearest&readPreferenceTags=dc:ny&readPreferenceTags=",
        "mongodb+srv://u:p@cluster.example.com/db?retryWrites=false",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/db",
    ],
)
def test_the_driver_gets_the_url_unchanged(url):
    assert read(f"kv+{url}").uri.reveal() == url


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("mongodb://", "mongodb://localhost/"),
        ("mongodb://h/db?retry=0&w=majority&chunk=1", "mongodb://h/db?w=majority"),
        ("mongodb://h?claim_lease=5&collection=mine", "mongodb://h"),
        ("mongodb://h?tls=true", "mongodb://h/?tls=true"),
    ],
)
def test_the_driver_gets_only_its_own_options(url, uri):
    """Options of the core and of this adapter are removed from the URL."""
    assert read(url).uri.reveal() == uri


def test_celerys_settings_keep_their_meaning():
    """Settings override the URL, and unknown ones go to the driver."""
    found = read(
        "mongodb://a/db?appName=url&maxPoolSize=3",
        database="theirs",
        taskmeta_collection="results",
        groupmeta_collection="groups",
        max_pool_size=20,
        user="ann",
        password="pw",
        options={"appName": "settings"},
        tls=True,
    )
    assert (found.database, found.collection) == ("theirs", "results_kv")
    assert found.arguments == {
        **TIMEOUTS,
        **IDLE,
        "maxPoolSize": 20,
        "appName": "settings",
        "tls": True,
        "username": "ann",
        "password": "pw",
    }


def test_hosts_in_the_settings_replace_those_of_the_url():
    """The URL's options stay."""
    found = read("mongodb://a/db?appName=x", host="b", port=27018)
    assert found.arguments["host"] == "mongodb://b:27018"
    assert found.arguments["appName"] == "x"


def test_defaults_are_not_celerys_collections():
    """The default collection is not one of Celery's own backend, in the same default database."""
    found = read("mongodb://h")
    assert (found.database, found.collection) == ("celery", "celery_taskmeta_kv")
    assert found.arguments == TIMEOUTS | IDLE
    assert read("mongodb://h?collection=mine").collection == "mine"


def test_timeouts_of_the_url_replace_the_defaults():
    """`timeoutMS` replaces all of them; the idle time is none."""
    assert "socketTimeoutMS" not in read("mongodb://h?sockettimeoutms=9").arguments
    assert read("mongodb://h?timeoutMS=900").arguments == IDLE


@pytest.mark.parametrize(
    ("query", "concern", "durable"),
    [
        ("", {"w": "majority", "j": True}, True),
        ("w=1", {"w": 1, "j": True}, False),
        ("journal=false", {"w": "majority", "j": False}, False),
        ("w=majority&wTimeoutMS=900", {"w": "majority", "j": True, "wtimeout": 900}, True),
    ],
)
def test_durable_means_journaled_by_a_majority(query, concern, durable):
    """DURABLE follows from the write concern."""
    assert read(f"mongodb://h/?{query}").concern.document == concern
    features = open_store(f"mongodb://h/?{query}").features
    assert bool(features & Feature.DURABLE) is durable


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("w=0", "stored"),
        ("socketTimeoutMS=soon", "sockettimeoutms"),
        ("maxPoolSiz=3", "maxpoolsize"),
        ("collection=", "collection"),
    ],
)
def test_wrong_options_are_refused_by_name(query, message):
    """The URL is checked when the store is opened, before it connects."""
    with pytest.raises(InvalidOption, match=message):
        open_store(f"mongodb://h/?{query}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"options": {"auto_start_request": True}}, "auto_start_request"),
        ({"socketTimeoutMS": "soon"}, "socketTimeoutMS"),
        ({"taskmeta_collection": "a$b"}, "collection"),
        ({"database": "a b"}, "database"),
        ({"tls": True, "tlsCAFile": "/no/such"}, "/no/such"),
        ({"tlsCertificateKeyFilePassword": "s3cret", "tlsCAFile": "/no/s3cret"}, "/no/"),
    ],
)
def test_wrong_settings_are_refused_when_the_store_is_opened(settings, message):
    """By the driver's words, without a secret; not at the first result."""
    with pytest.raises(InvalidOption, match=re.escape(message)) as info:
        open_store("mongodb://h/db", {"mongodb_backend_settings": settings})
    assert "s3cret" not in str(info.value)


def test_a_file_that_is_missing_is_refused():
    with pytest.raises(InvalidOption, match="/no/such"):
        open_store("mongodb://h/db?tls=true&tlsCAFile=/no/such")


def test_the_urls_user_stays_for_hosts_of_the_settings():
    """As in Celery, unless the settings name another one."""
    found = read("mongodb://ann:pw@a/db", mongo_host=["b:1"]).arguments
    assert (found["username"], found["password"]) == ("ann", "pw")
    assert (
        read("mongodb://ann:pw@a/db", mongo_host=["b:1"], user="bob").arguments["username"] == "bob"
    )


def test_a_wrong_url_is_refused_without_showing_its_password():
    with pytest.raises(ConfigurationError) as info:
        open_store("mongodb://user:s3cret%zz:@h:99999/db")
    assert "s3cret" not in str(info.value)


def test_the_target_shows_no_password():
    """Neither the URL's nor that of the settings."""
    found = read("mongodb://u:s3cret@h/db", user="ann", password="other-s3cret")
    assert "s3cret" not in f"{found!r} {found!s}"
