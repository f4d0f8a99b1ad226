"""Servers that refuse a connection, in any language, or a write: for good, or for a while."""

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from kvbackends import ConfigurationError, StoreError, StoreUnavailable
from kvbackends.layers.layer import innermost
from tests.servers import postgresql_server
from tests.servers.postgresql import given_to_nobody

TRANSLATIONS = Path("/usr/share/locale/de/LC_MESSAGES/postgres-15.mo")


@pytest.fixture
def refusing():
    """A function that starts a server which refuses each connection; it returns the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads, seen = [], []

    def start(state, words, severity="VERHÄNGNISVOLL"):
        fields = (f"S{severity}", "VFATAL", f"C{state}", f"M{words}", "")
        body = b"".join(field.encode() + b"\0" for field in fields)
        answer = b"E" + (len(body) + 4).to_bytes(4, "big") + body
        threads.append(threading.Thread(target=refuse, args=[answer]))
        threads[-1].start()
        port = listener.getsockname()[1]
        return f"postgresql://ann:pw@127.0.0.1:{port}/app?sslmode=disable&gssencmode=disable"

    def refuse(answer):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                seen.append(1)
                connection.sendall(answer)

    start.seen = seen
    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("state", "words", "hint"),
    [
        ("28P01", "Passwort-Authentifizierung fehlgeschlagen", "check the user and the password"),
        ("3D000", "Datenbank »app« existiert nicht", "create the database"),
        ("28000", "kein pg_hba.conf-Eintrag", "pg_hba.conf"),
        ("55000", "Datenbank »app« akzeptiert gegenwärtig keine Verbindungen", "keine"),
    ],
)
def test_a_refusal_for_good_is_told_in_any_language(refusing, opened, state, words, hint):
    store = opened(refusing(state, words))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=hint) as caught:
            store.get("key")
        assert words in str(caught.value)
    assert len(refusing.seen) == 3  # the words are known then


@pytest.mark.parametrize("state", ["57P03", "53300"])
def test_so_is_one_for_a_while_not_taken_for_one_for_good(refusing, opened, state):
    store = innermost(opened(refusing(state, f"das Datenbanksystem startet ({state})")))
    with pytest.raises(store.transient_errors, match="startet"):
        store.get("key")


def test_english_words_need_no_second_attempt(refusing, opened):
    url = refusing("28P01", 'password authentication failed for user "ann"', "FATAL")
    with pytest.raises(ConfigurationError, match="check the user"):
        opened(url).get("key")
    assert len(refusing.seen) == 1


def test_a_server_that_speaks_german(opened, monkeypatch):
    """A wrong password and a missing database are told, and so is what the server refuses later."""
    if not TRANSLATIONS.exists():
        pytest.skip("Debian's translations are not installed")
    monkeypatch.setenv("LANGUAGE", "de")
    with postgresql_server(lc_messages="C.UTF-8") as server:
        server.sql("CREATE ROLE ann LOGIN PASSWORD 'right'")
        rules = "host all ann all scram-sha-256\nhost all postgres all trust\n"
        (server.folder / "data" / "pg_hba.conf").write_text(rules)
        server.restart()
        wrong = server.url.replace("postgres@", "ann:wrong@")
        with pytest.raises(ConfigurationError, match="fehlgeschlagen; check the user"):
            opened(wrong).get("key")
        with pytest.raises(ConfigurationError, match="existiert nicht; create the database"):
            opened(f"{server.url}x").get("key")
        with pytest.raises(ConfigurationError, match="administrator"):
            opened(wrong.replace("wrong", "right")).get("key")


@pytest.fixture
def small_disk(tmp_path_factory):
    """A folder for 1 MB."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("may not mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_at_once(small_disk, opened):
    """It is not repeated, reads go on, and writes when there is room again."""
    given_to_nobody(small_disk)
    with postgresql_server() as server:
        server.sql(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
        server.sql("ALTER ROLE postgres SET default_tablespace = small")
        store = opened(server.url, retry=True, client_retry_timeout=300)
        server.sql(
            "CREATE TABLE filling AS SELECT n, repeat('x', 900) FROM generate_series(1, 300) n"
        )
        store.set("first", b"value")
        with pytest.raises(StoreError, match="make room on the server's disk") as caught:
            fill(store)
        assert not isinstance(caught.value, StoreUnavailable)
        assert store.get("first").value == b"value"
        server.sql("DROP TABLE filling")
        store.set("last", b"value")


def fill(store):
    for n in range(1000):
        store.set(f"k{n}", os.urandom(10_000))
