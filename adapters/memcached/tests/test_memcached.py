"""Properties of memcached alone: its protocol, clock, restarts, several servers and options."""

import contextlib
import io
import socket
import ssl
import subprocess
import threading
import time
from functools import partial

import pytest
from celery import Celery
from kvbackends_memcached.store import LATEST, expiry
from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient

from kvbackends import ConfigurationError, StoreUnavailable, ValueTooLarge, open_store
from kvbackends.contract import Offer, Rank
from tests.servers.memcached import memcached_server
from tests.servers.process import HOST, eventually, free_ports
from tests.support.stalls import takes_less

DAY = 86400


@pytest.fixture
def open_one():
    """A function that opens a store by its URL; the stores are closed after the test."""
    with contextlib.ExitStack() as stack:

        def opened(url, settings=None):
            store = open_store(url, settings)
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(memcached_url, open_one):
    return open_one(memcached_url)


@pytest.fixture
def raw(memcached_url):
    """A client of the driver, configured as Celery does."""
    with contextlib.closing(
        Client(memcached_url.removeprefix("memcached://"), default_noreply=False)
    ) as client:
        yield client


class Relay:
    """A TCP relay in front of a server that counts the client's sends.

    It closes a connection that sends `refused`; while `is_silent`, it keeps the answers.
    """

    def __init__(self, url, refused=b"nothing"):
        self.sends = 0
        self.is_silent = False
        self._refused = refused
        self._target = url.removeprefix("memcached://").split(":")
        self._listener = socket.create_server((HOST, free_ports(1)[0]))
        self.url = f"memcached://{HOST}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(self._target)
                threading.Thread(target=self._pass, args=(here, there, 1), daemon=True).start()
                threading.Thread(target=self._pass, args=(there, here, 0), daemon=True).start()

    def _pass(self, source, target, counts):
        with source, target, contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                self.sends += counts
                if data.startswith(self._refused):
                    target.shutdown(socket.SHUT_RDWR)
                    return
                if counts or not self.is_silent:
                    target.sendall(data)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def relayed(memcached_url, open_one):
    """A store behind a relay, and a function that returns the number of sends of a call."""
    with contextlib.closing(Relay(memcached_url)) as relay:
        store = open_one(relay.url)
        store.ping()

        def sends(call, *args):
            before = relay.sends
            call(*args)
            return relay.sends - before

        yield store, sends


def rank_of(value):
    return Rank(int(value[:1]))


class TestProtocol:
    @pytest.mark.parametrize("scheme", ["memcached", "cache+memcached"])
    def test_this_backend_and_celerys_read_each_others_results(self, memcached_url, scheme):
        url = memcached_url.removeprefix("memcached://")
        theirs = Celery(backend=f"cache+memcached://{url}/").backend
        ours = Celery(backend=f"kv+{scheme}://{url}/").backend
        ours.store_result(f"{scheme}-a", {"x": ["ü", 1]}, "SUCCESS")
        theirs.store_result(f"{scheme}-b", {"x": ["ü", 2]}, "SUCCESS")
        assert theirs.get_result(f"{scheme}-a") == {"x": ["ü", 1]}
        assert ours.get_result(f"{scheme}-b") == {"x": ["ü", 2]}
        theirs.client.close()
        ours.client.close()

    def test_values_are_raw_bytes_without_flags(self, store, raw):
        store.offer(Offer("celery-task-meta-1", b'1{"\0"}', Rank.UNREADY, 60), rank_of)
        flags = []
        raw.serde.deserialize = lambda _, value, flag: flags.append(flag) or value
        assert raw.get("celery-task-meta-1") == b'1{"\0"}'
        assert flags == [0]

    def test_key_prefix_of_celerys_setting_is_used(self, memcached_url, open_one, raw):
        settings = {"cache_backend_options": {"key_prefix": b"app-", "behaviors": {"x": 1}}}
        store = open_one(memcached_url, settings)
        store.set("k" * 246, b"v")
        store.add_member("m", "a", 60)
        assert raw.get("app-" + "k" * 246) == b"v"
        assert store.get_batch(["k" * 246, "m"]) == {"k" * 246: b"v", "m": b'["a"]'}
        store.delete_batch(["k" * 246, "m"])
        assert raw.get("app-m") is None


class TestTimes:
    @pytest.mark.parametrize(
        ("ttl", "seconds"), [(0.1, 3), (1, 3), (1.5, 4), (30 * DAY - 2, 30 * DAY)]
    )
    def test_ttl_is_rounded_up_and_two_seconds_are_added(self, ttl, seconds):
        assert expiry(ttl) == seconds

    def test_ttl_above_thirty_days_is_sent_as_a_date(self):
        assert expiry(30 * DAY) - time.time() == pytest.approx(30 * DAY, abs=4)

    def test_ttl_beyond_the_last_date_is_for_ever(self):
        assert expiry(None) == 0
        assert expiry(LATEST) == 0

    def test_the_server_keeps_a_key_with_a_date(self, store, raw):
        store.set("months", b"v", 90 * DAY)
        assert raw.get("months") == b"v"

    def test_no_key_expires_early(self, store):
        """A key lives its whole ttl, whenever in the server's clock tick it was stored."""
        young = []
        for _ in range(5):  # again if the machine stalled until most keys were too old to check
            born = {}
            for i in range(20):
                store.set(f"phase-{i}", b"v", 1.0)
                born[f"phase-{i}"] = time.monotonic()
                time.sleep(0.05)
            time.sleep(max(0, 0.97 - (time.monotonic() - born["phase-10"])))
            young = [key for key, at in born.items() if time.monotonic() - at < 0.99]
            if len(young) > 5:
                break
        assert len(young) > 5
        assert set(store.get_batch(young)) == set(young)


class TestRoundTrips:
    def test_the_five_methods_take_one_each(self, relayed):
        store, sends = relayed
        assert sends(store.set, "one", b"v") == 1
        assert sends(store.get, "one") == 1
        assert sends(store.compare_and_set, "one", b"w", store.get("one").version) == 1
        assert sends(store.touch, "one", 60) == 1
        assert sends(store.delete, "one") == 1

    def test_a_result_takes_two_only_where_it_replaces(self, relayed):
        store, sends = relayed
        key = f"result-{time.time_ns()}"
        assert sends(store.offer, Offer(key, b"1 started", Rank.UNREADY, 60), rank_of) == 1
        assert sends(store.offer, Offer(key, b"3 success", Rank.SUCCEEDED, 60), rank_of) == 2
        assert sends(store.offer, Offer(key, b"1 retry", Rank.UNREADY, 60), rank_of) == 1

    def test_a_batch_takes_one(self, relayed):
        store, sends = relayed
        keys = [f"many-{i}" for i in range(1000)]
        for key in keys[::2]:
            store.set(key, b"v" * 100)
        assert len(store.get_batch(keys)) == 500
        assert sends(store.get_batch, keys) == 1
        assert sends(store.delete_batch, keys) == 1
        assert store.get_batch(keys) == {}

    def test_a_member_takes_one_for_the_first_and_two_for_others(self, relayed):
        store, sends = relayed
        key = f"members-{time.time_ns()}"
        assert sends(store.add_member, key, "a", 60) == 1
        assert sends(store.add_member, key, "b", 60) == 2


class TestRestart:
    def test_versions_of_a_stopped_server_never_match(self, open_one):
        """A restarted server issues the same "cas unique" numbers again."""
        with memcached_server() as server:
            store = open_one(server.url)
            store.set("key", b"before")
            version = store.get("key").version
            server.restart()
            store.set("key", b"after")  # replaces the lost idle connection without an error
            assert store.get("key").version[1] == version[1]
            assert not store.compare_and_set("key", b"mine", version)
            assert store.get("key").value == b"after"

    def test_operations_are_retried_until_the_server_is_back(self, open_one):
        with memcached_server() as server:
            store = open_one(f"{server.url}?retry_timeout=20")
            store.ping()
            server.kill()
            with pytest.raises(store.transient_errors):
                store.ping()
            restart = threading.Timer(0.3, server.restart)
            restart.start()
            try:
                store.set("key", b"v")
                assert store.get("key").value == b"v"
            finally:
                restart.join()  # on a busy machine it may still wait for the server to answer


class TestFailures:
    def test_an_operation_on_a_silent_server_fails_in_time(self, open_one):
        with socket.create_server((HOST, 0)) as silent:
            port = silent.getsockname()[1]
            store = open_one(f"memcached://{HOST}:{port}?timeout=0.2&retry_timeout=0.5")

            def get():
                with pytest.raises(StoreUnavailable):
                    store.get("key")

            assert takes_less(2, get)

    def test_a_truncated_answer_raises_a_transient_error(self, memcached_url, open_one):
        store = open_one(f"{memcached_url}?retry=0")
        store.set("long", b"v" * 100_000)
        (server,) = store.inner._servers().values()
        connection = server._idle[-1]
        whole, connection._file = connection._file, io.BytesIO(b"VALUE long 0 9 1\r\ncut")
        with whole, pytest.raises(store.transient_errors):
            store.get("long")

    def test_a_value_too_large_for_the_server_is_not_retried(self, memcached_url, open_one):
        store = open_one(f"{memcached_url}?item_size_max=2000000")
        with pytest.raises(ValueTooLarge, match="item_size_max"):
            store.set("key", b"v" * 1_500_000)

    def test_the_largest_value_fits_with_the_longest_key(self, store):
        store.set("k" * 250, b"v" * store.limits.value_bytes)
        with pytest.raises(ValueTooLarge, match="above the store's limit"):
            store.set("key", b"v" * (store.limits.value_bytes + 1))

    def test_offers_of_large_values_keep_the_ranks(self, store):
        for rank in (Rank.UNREADY, Rank.SUCCEEDED):
            value = b"%d" % rank + b"v" * 500_000
            assert store.offer(Offer("large", value, rank, 60), rank_of)
        assert not store.offer(Offer("large", b"1" + b"w" * 500_000, Rank.UNREADY, 60), rank_of)
        assert store.get("large").value == value

    def test_one_lost_connection_costs_the_others_nothing(self, memcached_url, open_one):
        """A firewall that forgot one idle connection has forgotten all: they are not tried."""
        with contextlib.closing(Relay(memcached_url)) as relay:
            store = open_one(f"{relay.url}?timeout=0.5")
            (server,) = store.inner.inner._servers().values()
            lost = [server._connect() for _ in range(8)]
            server._idle.extend(lost)
            relay.is_silent = True
            with pytest.raises(TimeoutError):
                store.inner.inner.get("key")
            assert not server._idle
            assert all(connection._file.closed for connection in lost)

    @pytest.mark.parametrize(
        "answer",
        [
            *(b"VALUE\r\n", b"VALUE key 0 x 1\r\n", b"VALUE key 0 9999999999 1\r\n", b"VALUE ke"),
            *(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\xff" * 2000),
        ],
    )
    def test_garbage_and_a_cut_head_are_lost_connections(self, store, answer):
        """So the retry layer repeats the request."""
        store.set("key", b"v")
        (server,) = store.inner.inner._servers().values()
        connection = server._idle[-1]
        whole, connection._file = connection._file, io.BytesIO(answer)
        with whole, pytest.raises(store.transient_errors, match="memcached at"):
            store.inner.inner.get("key")
        with contextlib.closing(server._connect()) as other:
            other._file.close()
            other._file = io.BytesIO(answer)
            with pytest.raises(store.transient_errors, match="memcached at"):
                other.read_status()
        assert store.get("key").value == b"v"

    @pytest.mark.parametrize("answer", [b"STAT\r\nEND\r\n", b"END\r\n", b"SSH-2.0-x\r\n"])
    def test_a_server_of_another_kind_is_named(self, open_one, answer):
        with socket.create_server((HOST, 0)) as listener:

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = listener.accept()
                        with client:
                            client.recv(100)
                            client.sendall(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            port = listener.getsockname()[1]
            store = open_one(f"memcached://{HOST}:{port}?retry_timeout=0.2")
            with pytest.raises(StoreUnavailable, match=f"{port} answers .*not memcached's"):
                store.get("key")
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


class TestProxies:
    """twemproxy closes a connection that sends ``stats``."""

    @pytest.fixture
    def store(self, memcached_url, open_one):
        with contextlib.closing(Relay(memcached_url, refused=b"stats")) as relay:
            yield open_one(relay.url)

    def test_a_proxy_without_stats_works(self, store):
        store.delete("proxied")
        assert store.compare_and_set("proxied", b"1", None)
        old = store.get("proxied").version
        assert store.compare_and_set("proxied", b"2", old)
        assert not store.compare_and_set("proxied", b"3", old)
        assert store.get("proxied").value == b"2"
        assert store.offer(Offer("proxied", b"3", Rank.SUCCEEDED, 60), rank_of)

    def test_equal_numbers_of_another_server_do_not_match(self, store):
        """A restarted server issues the same "cas unique" numbers again, for other values."""
        store.set("proxied", b"after")
        _, unique = store.get("proxied").version
        assert not store.compare_and_set("proxied", b"mine", (b"before", unique))
        assert store.get("proxied").value == b"after"


class TestSeveralServers:
    def test_keys_are_distributed_as_by_the_driver(self, open_one):
        with memcached_server() as one, memcached_server() as two:
            hosts = [url.removeprefix("memcached://") for url in (one.url, two.url)]
            store = open_one(f"memcached://{hosts[0]};{hosts[1]}")
            keys = [f"key-{i}" for i in range(40)]
            for key in keys:
                store.set(key, key.encode())
            with contextlib.closing(HashClient(hosts)) as client:
                assert client.get_many(keys) == {key: key.encode() for key in keys}
            assert len(store.get_batch(keys)) == 40
            counts = []
            for host in hosts:
                with contextlib.closing(Client(host)) as client:
                    counts.append(client.stats()[b"curr_items"])
            assert sum(counts) == 40
            assert min(counts) > 5
            store.delete_batch(keys)
            assert store.get_batch(keys) == {}

    def test_keys_of_a_dead_server_fail_instead_of_moving(self, open_one):
        """If keys moved, processes that still reach the server would not find them."""
        with memcached_server() as one, memcached_server() as two:
            host = two.url.removeprefix("memcached://")
            store = open_one(f"{one.url},{host}?retry=0")
            for i in range(20):
                store.set(f"key-{i}", b"v")
            two.kill()
            lost = 0
            for i in range(20):
                try:
                    assert store.get(f"key-{i}").value == b"v"
                except store.transient_errors:
                    lost += 1
            assert 0 < lost < 20
            with pytest.raises(store.transient_errors):
                store.ping()


@contextlib.contextmanager
def memcached_with(*arguments, address):
    """Run a server with these arguments, which make it listen at `address`."""
    with subprocess.Popen(["memcached", "-u", "root", *arguments]) as process:
        try:
            family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
            assert eventually(partial(accepts, family, address))
            yield
        finally:
            process.kill()


def accepts(family, address):
    with socket.socket(family) as probe, contextlib.suppress(OSError):
        probe.connect(address)
        return True


class TestConnecting:
    def test_a_unix_socket(self, tmp_path, open_one):
        path = str(tmp_path / "mc.sock")
        with memcached_with("-s", path, address=path):
            store = open_one(f"memcached://{path}")
            store.set("key", b"v")
            assert store.get("key").value == b"v"

    def test_a_password_logs_in_and_a_wrong_one_is_not_shown(self, tmp_path, open_one):
        (tmp_path / "users").write_text("ann:s3cr3t\n")
        (port,) = free_ports(1)
        with memcached_with(
            "-l", HOST, "-p", str(port), "-Y", str(tmp_path / "users"), address=(HOST, port)
        ):
            store = open_one(f"memcached://ann:s3cr3t@{HOST}:{port}")
            store.set("key", b"v")
            assert store.get("key").value == b"v"
            wrong = open_one(f"memcached://ann:wr0ng@{HOST}:{port}")
            with pytest.raises(Exception, match="authentication") as error:
                wrong.get("key")
            assert "wr0ng" not in f"{error.value}{vars(wrong.inner.inner)}"
            settings = {"cache_backend_options": {"username": "ann", "password": "s3cr3t"}}
            assert open_one(f"memcached://{HOST}:{port}", settings).get("key").value == b"v"
            with pytest.raises(ConfigurationError, match="user:password@host"):
                open_one(f"memcached://{HOST}:{port}").get("key")

    def test_a_server_of_the_binary_protocol_is_explained(self, open_one):
        (port,) = free_ports(1)
        with memcached_with("-l", HOST, "-p", str(port), "-B", "binary", address=(HOST, port)):
            store = open_one(f"memcached://ann:s3cr3t@{HOST}:{port}?retry_timeout=0.1")
            with pytest.raises(StoreUnavailable, match="auth-file"):
                store.get("key")

    def test_tls(self, tmp_path, open_one):
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        subprocess.run(
            "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost".split()  # noqa: SIM905
            + f"-addext subjectAltName=IP:{HOST} -keyout {key} -out {certificate}".split(),
            check=True,
            capture_output=True,
        )
        (port,) = free_ports(1)
        with memcached_with(
            *("-l", HOST, "-p", str(port), "-Z"),
            *("-o", f"ssl_chain_cert={certificate},ssl_key={key}"),
            address=(HOST, port),
        ):
            url = f"memcached://{HOST}:{port}?tls=1"
            store = open_one(f"{url}&tls_ca_file={certificate}")
            store.set("key", b"v" * 500_000)
            assert store.get("key").value == b"v" * 500_000
            with pytest.raises(ssl.SSLCertVerificationError):
                open_one(f"{url}&retry=0").ping()


class TestOptions:
    @pytest.mark.parametrize(
        ("url", "settings", "says"),
        [
            ("memcached://h?tls=1&tls_ca_file=/no/such", {}, "there is no file '/no/such'"),
            ("memcached://h", {"timeout": "soon"}, "timeout is not a number"),
        ],
    )
    def test_what_can_never_work_is_told_at_once(self, url, settings, says):
        """When the store is opened."""
        with pytest.raises(ConfigurationError, match=says):
            open_store(url, {"cache_backend_options": settings})

    def test_another_serializer_is_refused(self):
        with pytest.raises(ConfigurationError, match="serde"):
            open_store("memcached://h", {"cache_backend_options": {"serde": object()}})

    def test_a_url_without_a_server_is_refused(self):
        with pytest.raises(ConfigurationError, match="memcached://host:11211"):
            open_store("memcached://")

    @pytest.mark.parametrize(
        "prefix", ["a b", "a\r\nflush_all\r\n", "a\t", "a\x7f", "p" * 151, b"\xff"]
    )
    def test_a_prefix_that_is_no_part_of_a_key_is_refused(self, prefix):
        with pytest.raises(ConfigurationError, match="key_prefix must have"):
            open_store("memcached://h", {"cache_backend_options": {"key_prefix": prefix}})

    def test_a_prefix_outside_ascii_counts_its_bytes(self, memcached_url, open_one):
        store = open_one(memcached_url, {"cache_backend_options": {"key_prefix": "ü" * 20}})
        store.set("k" * 210, b"v")
        assert store.get("k" * 210).value == b"v"

    @pytest.mark.parametrize("url", ["memcached://ann@h", "memcached://:pw@h"])
    def test_half_a_login_is_refused(self, url):
        with pytest.raises(ConfigurationError, match="only one of them"):
            open_store(url)

    def test_weights_are_refused(self):
        with pytest.raises(ConfigurationError, match="h:11211:3 looks like host:port:weight"):
            open_store("memcached://h:11211:3")

    def test_timeouts_of_the_url_override_those_of_the_setting(self):
        settings = {"cache_backend_options": {"timeout": 2, "connect_timeout": None}}
        store = open_store("memcached://h?connect_timeout=3", settings).inner.inner
        assert store._driver == {"connect_timeout": 3, "timeout": 2, "no_delay": True}
