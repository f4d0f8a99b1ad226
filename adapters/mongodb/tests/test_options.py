"""URLs and settings: what the driver is given."""

import pytest
from kvbackends_mongodb.options import TIMEOUTS, MongoDBOptions, target

from kvbackends import ConfigurationError, InvalidOption, open_store
from kvbackends.contract import Feature, StoreURL
from kvbackends.contract.options import fill


def read(url, **settings):
    """The target of a URL and Celery's settings for MongoDB."""
    parsed = StoreURL.parse(url)
    told = {"mongodb_backend_settings": settings} if settings else {}
    return target(parsed, fill(MongoDBOptions, parsed.query, told))


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://localhost",
        "mongodb://u:p%40ss@a,b:27018,[::1]:27019/db?appName=my%20app",
        "mongodb://a/?readPreferenceTags=dc:ny&readPreferenceTags=",
        "mongodb+srv://u:p@cluster.example.com/db?retryWrites=false",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/db",
    ],
)
def test_untouched(url):
    """The driver gets the URL as it was written."""
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
def test_without_our_own(url, uri):
    """Options of the core and of this adapter are not the driver's."""
    assert read(url).uri.reveal() == uri


def test_celerys_settings():
    """Each keeps its meaning: they win over the URL, and what is left over is the driver's."""
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
        "maxPoolSize": 20,
        "appName": "settings",
        "tls": True,
        "username": "ann",
        "password": "pw",
    }


def test_hosts_in_the_settings():
    """They take the place of the URL's, whose options stay."""
    found = read("mongodb://a/db?appName=x", host="b", port=27018)
    assert found.arguments["host"] == "mongodb://b:27018"
    assert found.arguments["appName"] == "x"


def test_defaults():
    """A database and a collection that Celery's own backend does not use."""
    found = read("mongodb://h")
    assert (found.database, found.collection) == ("celery", "celery_taskmeta_kv")
    assert found.arguments == TIMEOUTS
    assert read("mongodb://h?collection=mine").collection == "mine"


def test_timeouts_of_the_url():
    """What the URL says of time counts; one for all takes the place of the others."""
    assert "socketTimeoutMS" not in read("mongodb://h?sockettimeoutms=9").arguments
    assert read("mongodb://h?timeoutMS=900").arguments == {}


@pytest.mark.parametrize(
    ("query", "concern", "durable"),
    [
        ("", {"w": "majority", "j": True}, True),
        ("w=1", {"w": 1, "j": True}, False),
        ("journal=false", {"w": "majority", "j": False}, False),
        ("w=majority&wTimeoutMS=900", {"w": "majority", "j": True, "wtimeout": 900}, True),
    ],
)
def test_durability(query, concern, durable):
    """Only what is journaled on a majority is called durable."""
    assert read(f"mongodb://h/?{query}").concern.document == concern
    features = open_store(f"mongodb://h/?{query}").features
    assert bool(features & Feature.DURABLE) is durable


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("w=0", "stored"),
        ("socketTimeoutMS=soon", "sockettimeoutms"),
        ("maxPoolSiz=3", "maxpoolsize"),
        ("collection=", "collection"),
    ],
)
def test_wrong_options(query, told):
    """They are refused when the URL is opened, by name."""
    with pytest.raises(InvalidOption, match=told):
        open_store(f"mongodb://h/?{query}")


def test_wrong_url():
    """What the driver does not accept says so, without a password."""
    with pytest.raises(ConfigurationError) as info:
        open_store("mongodb://user:s3cret%zz:@h:99999/db")
    assert "s3cret" not in str(info.value)


def test_no_password_shows():
    """Not even the settings' one."""
    found = read("mongodb://u:s3cret@h/db", user="ann", password="other-s3cret")
    assert "s3cret" not in f"{found!r} {found!s}"
