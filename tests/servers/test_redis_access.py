"""Redis servers with access control: permitted clients connect, all others are refused."""

import contextlib
import socket
import ssl

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers import redis_acl_server, redis_server, redis_socket_server, redis_tls_server
from tests.servers.process import HOST, eventually
from tests.servers.round_trips import redis_round_trip

ONCE = Retry(NoBackoff(), 0)


@pytest.fixture(scope="module")
def tls():
    with redis_tls_server() as server:
        yield server


@pytest.fixture(scope="module")
def acl():
    with redis_acl_server() as server:
        yield server


def refused(url: str, **arguments) -> str:
    """The errors for a client that is refused."""
    with (
        redis.Redis.from_url(url, retry=ONCE, **arguments) as client,
        pytest.raises((redis.RedisError, OSError)) as failure,
    ):
        client.ping()
    return str(failure.value)


def test_a_client_without_a_certificate_is_refused(tls):
    """With TLS 1.3 the client may see no more than an end: the server's own words are sure."""
    assert refused(f"rediss://{HOST}:{tls.port}/0", ssl_ca_certs=f"{tls.folder}/ca.pem")
    assert eventually(lambda: "peer did not return a certificate" in tls.output())


def test_a_client_with_a_strangers_certificate_is_refused(tls):
    assert refused(f"rediss://{HOST}:{tls.port}/0{tls.query_with('stranger')}")
    assert eventually(lambda: "certificate verify failed" in tls.output())


def test_a_client_that_does_not_know_the_authority_refuses_the_server(tls):
    assert "CERTIFICATE_VERIFY_FAILED" in refused(f"rediss://{HOST}:{tls.port}/0")


def test_the_servers_certificate_is_good_for_its_names_only(tls):
    context = ssl.create_default_context(cafile=tls.folder / "ca.pem")
    context.load_cert_chain(tls.folder / "client.pem", tls.folder / "client.key")
    for name in (HOST, "localhost"):
        with (
            socket.create_connection((HOST, tls.port)) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            assert connection.version() == "TLSv1.3"
    with (
        socket.create_connection((HOST, tls.port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="mismatch"),
    ):
        context.wrap_socket(plain, server_hostname="elsewhere")


def test_nothing_is_said_without_tls(tls):
    assert refused(f"redis://{HOST}:{tls.port}/0")


def test_a_socket_is_the_only_way_in():
    with redis_socket_server() as server:
        assert redis_round_trip(server.url)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, server.port))


def test_a_user_may_not_do_more_than_is_needed(acl):
    with redis.Redis.from_url(acl.url, protocol=2) as client:
        assert client.set("key", b"value")
        for command in (
            "FLUSHALL",
            "KEYS *",
            "CONFIG GET port",
            "SHUTDOWN",
            "CLUSTER RESET",
            "REPLICAOF NO ONE",
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


@pytest.mark.parametrize("credentials", ["", "kv:wrong@", ":wrong@"])
def test_nobody_gets_in_without_the_password(acl, credentials):
    assert refused(f"redis://{credentials}{HOST}:{acl.port}/0")


def test_a_password_of_the_default_user():
    server = redis_server()
    server.password = "secret"
    with server:
        assert server.url == f"redis://:secret@{HOST}:{server.port}/0"
        assert redis_round_trip(server.url)
        with contextlib.closing(server.connect()) as connection:
            connection.sendall(b"GET key\r\n")
            assert connection.recv(100).startswith(b"-NOAUTH")
