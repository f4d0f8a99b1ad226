"""URLs as people have them: of Celery's backends, from environment files, with wrong passwords."""

import logging
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.exceptions import ImproperlyConfigured
from celery.exceptions import TimeoutError as ResultTimeout
from celery.signals import before_task_publish, task_received, worker_ready
from click.testing import CliRunner

from kvbackends.cli import in_celery

SETTINGS = {
    "cassandra_servers": ["node"],
    "cassandra_keyspace": "results",
    "redis_host": "cache-1",
    "redis_password": "hidden",
}
BY_NAME = ["cassandra", "elasticsearch", "memory", "mongodb", "opensearch", "redis", "sentinel"]
SERVERS = {
    "cassandra": "cassandra://{}node/results",
    "elasticsearch": "elasticsearch://{}node/results",
    "memcached": "memcached://{}node",
    "mongodb": "mongodb://{}node/results",
    "postgresql": "postgresql://{}node/results",
    "redis": "redis://{}node/0",
    "sentinel": "sentinel://{}node/0",
}


def opened(url, **conf):
    """The backend of a new app."""
    app = Celery("urls", set_as_current=False, broker="memory://")
    app.conf.update(SETTINGS, result_backend=url, **conf)
    return app.backend


@pytest.mark.parametrize("store", BY_NAME)
def test_settings_alone_describe_a_store(store):
    """``kv+mongodb`` and ``kv+mongodb://`` are the store that Celery's settings describe."""
    assert opened(f"kv+{store}").as_uri() == f"kv+{store}://"
    assert opened(f"kv+{store}://").as_uri() == f"kv+{store}://"


def test_the_settings_of_redis_are_used_without_a_host():
    """As Celery's own backend does."""
    arguments = opened("kv+redis").client.connection_pool.connection_kwargs
    assert (arguments["host"], arguments["password"]) == ("cache-1", "hidden")


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("kv+db+sqlite:///x.db", "kv+sqlite:////"),
        ("kv+db+mysql+pymysql://u:hunter2@h/d", "kv+postgresql://"),
        ("kv+file:///mnt/results", "kv+sqlite:////"),
        ("kv+django-db://", "kv+redis://"),
        ("kv+cache+memory://", "kv+memory://"),
        ("kv+dynamodb://@eu-west-1/results", "kv+redis://"),
        ("kv+rpc://", "kv+redis://"),
    ],
)
def test_a_backend_without_an_adapter_names_those_that_take_its_place(url, instead):
    with pytest.raises(ImproperlyConfigured, match="use instead: ") as raised:
        opened(url)
    assert instead in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize("password", ["hun#ter2", "hun%ter2", "hun@ter2", "hun/ter2", "hun?ter2"])
def test_an_unescaped_password_is_told_how_to_be_written(url, password):
    with pytest.raises(ImproperlyConfigured, match=r"# as %23, % as %25, .* @ as %40") as raised:
        opened("kv+" + url.format(f"user:{password}@"))
    assert "ter2" not in f"{raised.value!r} {raised.value.__context__!r}"


@pytest.mark.parametrize("url", SERVERS.values(), ids=SERVERS)
def test_line_breaks_and_blanks_after_a_url_are_ignored(url):
    assert opened(f"kv+{url.format('')} \r\n").as_uri() == f"kv+{url.format('')}"


@pytest.mark.parametrize("url", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize(
    ("host", "told"),
    [("::1", "brackets"), ("::1:6379", "brackets"), ("h:1:3", "weight"), ("unix:/s", "socket")],
)
def test_an_address_that_is_none_is_told_how_to_be_written(url, host, told):
    with pytest.raises(ImproperlyConfigured, match=told):
        opened(f"kv+{url.format('').replace('node', host)}")


class TestOptions:
    @pytest.mark.parametrize("name", ["retrytimeout", "retry_timout", "claimlease", "UnpackedMB"])
    def test_a_name_that_is_nearly_an_option_is_warned_about(self, name, caplog):
        """On every store; what no option is like is Celery's, or another program's."""
        unlike = {"retry_policy": {}, "global_keyprefix": "x", "visibility_timeout": 1, "other": 2}
        opened("kv+memory://", result_backend_transport_options={name: 1, **unlike})
        [record] = caplog.records
        assert f"{name!r}, which is ignored; did you mean " in record.message

    @pytest.mark.parametrize("name", ["sockettimeout", "socketTimeout", "max-connections"])
    def test_so_is_one_of_the_adapter(self, name, caplog):
        opened("kv+redis://", result_backend_transport_options={name: 1})
        assert "did you mean" in caplog.text


class TestRelativePaths:
    @pytest.fixture(autouse=True)
    def there(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_the_resolved_path_is_shown(self, there):
        """In the worker's banner, in reports, and in the message of a timeout."""
        backend = opened("kv+sqlite:///results.db?synchronous=FULL")
        whole = f"kv+sqlite:///{there}/results.db?synchronous=FULL"
        assert backend.as_uri() == whole
        path, _, _ = whole.partition("?")  # Celery 5.6 leaves the options out
        assert path in backend.app.bugreport()
        with pytest.raises(ResultTimeout, match="timed out; results are read from") as raised:
            backend.app.AsyncResult("none").get(timeout=0)
        assert whole in str(raised.value)

    def test_the_backend_of_a_reported_setting_is_the_same(self, there, monkeypatch):
        """An app that is opened again in another directory keeps its file."""
        app = opened("kv+sqlite:///results.db").app
        (there / "other").mkdir()
        monkeypatch.chdir(there / "other")
        again = Celery("again", set_as_current=False, backend=app.conf.result_backend)
        assert again.backend.as_uri() == app.backend.as_uri()

    def test_a_worker_says_where_results_are_stored(self, there, caplog):
        caplog.set_level(logging.INFO, "kvbackends")
        backend = opened("kv+sqlite:///results.db")
        start(backend, SoloPool)
        assert caplog.messages == [f"results are stored in kv+sqlite:///{there}/results.db"]

    @pytest.mark.parametrize(("folder", "warned"), [("other", True), (".", False), ("link", False)])
    def test_another_file_than_the_clients_is_warned_about(
        self, folder, warned, there, caplog, monkeypatch
    ):
        """Once; the same folder under another path is fine."""
        (there / "other").mkdir()
        (there / "link").symlink_to(there)
        headers = sent_by(opened("kv+sqlite:///results.db"))
        monkeypatch.chdir(there / folder)
        worker = opened(f"kv+sqlite:///{Path.cwd()}/results.db")
        receive(worker, headers)
        receive(worker, headers)
        assert [record.name for record in caplog.records].count("kvbackends") == warned
        if warned:
            assert f"reads results from kv+sqlite:///{there}/results.db" in caplog.text
            assert f"in kv+sqlite:///{there}/other/results.db, which is another" in caplog.text

    def test_other_apps_and_stores_tell_no_file(self):
        """The header is that of the app which sends the task."""
        kept = opened("kv+sqlite:///results.db")
        assert "kvbackends_file" in sent_by(kept)
        assert "kvbackends_file" not in sent_by(opened("kv+memory://"))


@pytest.mark.parametrize(("pool", "warned"), [(PreforkPool, True), (SoloPool, False)])
def test_memory_in_a_prefork_worker_is_warned_about(pool, warned, caplog):
    """Its results stay in the pool's processes."""
    start(opened("kv+memory://"), pool)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    assert not warned or "kv+sqlite:////var/lib/app/results.db or a server" in caplog.text


class Consumer:
    """The part of a worker that its signals name."""

    def __init__(self, app, pool=None):
        self.app = app
        self.pool = pool


def start(backend, pool):
    """Let a worker with such a pool be ready."""
    worker_ready.send(sender=Consumer(backend.app, object.__new__(pool)))


def sent_by(backend):
    """The headers of a task's message."""
    found = {}

    def keep(headers, **_):
        found.update(headers)

    before_task_publish.connect(keep)
    try:
        backend.app.send_task("nothing")
    finally:
        before_task_publish.disconnect(keep)
    return found


def receive(backend, headers):
    """Let the app's worker receive a message with these headers."""
    request = SimpleNamespace(request_dict=headers)
    task_received.send(sender=Consumer(backend.app), request=request)


def test_celery_report_shows_the_path_and_no_secret(tmp_path, monkeypatch):
    """Though it does not open the backend itself; a backend that cannot be opened is no error."""
    monkeypatch.chdir(tmp_path)
    app = Celery("urls", set_as_current=False, backend="kv+sqlite:///a.db?retry_timeout=1")
    in_celery.open_first(app)
    assert f"results:kv+sqlite:///{tmp_path}/a.db" in app.bugreport()
    broken = Celery("broken", set_as_current=False, backend="kv+nothing://")
    in_celery.open_first(broken)
    assert "results:kv+nothing:/" in broken.bugreport()


def test_a_command_of_celerys_asks_the_store(tmp_path):
    """``celery results``: the command is installed, prints the URL, and the store answers."""
    [entry] = entry_points(group="celery.commands", name="results")
    app = opened(f"kv+sqlite:///{tmp_path}/results.db").app
    done = CliRunner().invoke(entry.load(), obj=SimpleNamespace(app=app))
    assert done.output == f"kv+sqlite:///{tmp_path}/results.db\nthe store answers\n"
    app.backend.store.close()
