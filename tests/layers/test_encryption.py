"""The example of a plugin: results that can be read with the key only."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.encryption import plugin
from examples.encryption.layer import CannotDecrypt, Encrypted
from kvbackends import ConfigurationError, open_store, register, unregister
from kvbackends.contract import Rank
from tests.support.chords import offer, rank_of

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
OTHER = base64.urlsafe_b64encode(bytes(range(100, 132))).decode()

CHORD = """
from celery import chord
from examples.encryption.app import app, diagnose, report
from tests.backend.bench import Bench

bench = Bench(app)
answer = chord([diagnose.s("Mr Black"), diagnose.s("Ms White")])(report.s())
bench.run_all()
print(answer.id)
print(answer.get(timeout=10))
"""
READ = """
import sys
from examples.encryption.app import app

print(app.AsyncResult(sys.argv[1]).get(timeout=10))
"""


@pytest.fixture
def registered() -> Iterator[None]:
    register(plugin)
    yield
    unregister(plugin)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/results.db"


def run(code: str, url: str, keys: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "RESULT_URL": f"kv+{url}",
        "RESULT_KEYS": keys,
        "BROKER_URL": "memory://",
    }
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True
    )


def test_a_chord_works_and_nothing_readable_reaches_the_file(url: str, tmp_path: Path):
    """Results, the chord's parts and its body are not readable in the store's files."""
    ended = run(CHORD, url, KEY)
    assert ended.returncode == 0, ended.stderr
    task_id, answer = ended.stdout.splitlines()
    assert answer == "Mr Black: a secret admirer; Ms White: a secret admirer"
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert task_id.encode() in stored
    for plain in (b"admirer", b"Black", b"White", b"SUCCESS", b"status", b"report", b"patient"):
        assert plain not in stored


def test_another_key_is_a_clear_error_that_shows_no_key(url: str):
    """The error says that the key is another one, and shows neither key."""
    task_id = run(CHORD, url, KEY).stdout.splitlines()[0]
    ended = run(READ, url, OTHER, task_id)
    assert ended.returncode == 1
    assert "CannotDecrypt: a stored value cannot be decrypted" in ended.stderr
    for shown in (KEY, OTHER):
        assert shown not in ended.stderr + ended.stdout


def test_without_a_key_nothing_is_opened(url: str, tmp_path: Path):
    """Without a key the application fails before it stores anything."""
    ended = run(CHORD, url, "")
    assert ended.returncode == 1
    assert "RESULT_KEYS has no key" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_new_key_in_front_reads_what_the_old_one_wrote(
    url: str, registered: None, monkeypatch: pytest.MonkeyPatch
):
    """Keys can be changed without losing results."""
    monkeypatch.setenv("RESULT_KEYS", KEY)
    open_store(url).set("k", b"old")
    monkeypatch.setenv("RESULT_KEYS", f"{OTHER},{KEY}")
    store = open_store(url)
    assert store.get("k").value == b"old"
    store.set("k", b"new")
    monkeypatch.setenv("RESULT_KEYS", OTHER)
    assert open_store(url).get("k").value == b"new"


def test_what_was_not_encrypted_is_refused(
    url: str, registered: None, monkeypatch: pytest.MonkeyPatch
):
    """A plain value in the store is never taken for a result."""
    unregister(plugin)
    open_store(url).set("k", b"plain")
    register(plugin)
    monkeypatch.setenv("RESULT_KEYS", KEY)
    with pytest.raises(CannotDecrypt, match="not encrypted"):
        open_store(url).get("k")


def test_changed_bytes_are_refused():
    """A value is authenticated, not only hidden."""
    layer = Encrypted(open_store("memory://encryption-changed"), [bytes(32)])
    layer.set("k", b"value")
    stored = bytearray(layer.inner.get("k").value)
    stored[-1] ^= 1
    layer.inner.set("k", bytes(stored))
    with pytest.raises(CannotDecrypt):
        layer.get("k")
    with pytest.raises(CannotDecrypt):
        layer.offer(offer("k", Rank.FAILED), rank_of)


@pytest.mark.parametrize("text", ["tooshort", "not base64 !!!", KEY[:-4], f"{KEY},{OTHER[:-8]}"])
def test_a_malformed_key_is_named_by_its_place_only(text: str):
    """The message has the number of the wrong key and no part of it."""
    with pytest.raises(ConfigurationError, match=r"key [12] is not base64 of 32 bytes") as caught:
        plugin.keys_from(text)
    assert text not in str(caught.value)


def test_encrypted_values_are_as_long_as_declared():
    """`overhead` is the number of bytes that encryption adds."""
    layer = Encrypted(open_store("memory://encryption-length"), [bytes(32)])
    for value in (b"", b"x" * 1000):
        assert len(layer.encode(value)) == len(value) + layer.overhead
