"""What a broken or hostile writer stores fails the waits for its own key, with a reason."""

import json
import sqlite3
import threading
import time
import urllib.request
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
from celery import Celery
from celery.exceptions import TimeoutError as WaitedTooLong

from kvbackends.contract import Offer, Rank
from kvbackends.layers.layer import innermost

WAIT = 30
ZIPPED = b"\0celery-compressed\0application/x-gzip\0"
BOMB = b'{"status": "%s", "result": "' + b"a" * (3 << 20) + b'"}'

RECORDS: Mapping[str, bytes] = {
    "empty": b"",
    "a list": b"[]",
    "no status": b'{"result": 1}',
    "no result": b'{"status": "SUCCESS"}',
    "a status that is a number": b'{"status": 5, "result": 1}',
    "cut": b'{"status": "SUCCESS", "result": ',
    "nested": b'{"status": "SUCCESS", "result": %s' % (b"[" * 100_000),
    "no text": b'{"status": "SUCCESS", "result": "\xff\xfe"}',
    "zeros": b"\0" * 100,
    "a manifest": b'\0kvbackends chunks\0["0123456789abcdef",1000000000,5,3]',
    "cut zip": ZIPPED + zlib.compress(b'{"status": "SUCCESS"}')[:-5],
    "zip of a zip": ZIPPED + zlib.compress(ZIPPED + zlib.compress(BOMB)),
    "a final bomb": ZIPPED + zlib.compress(BOMB % b"SUCCESS"),
    "an unready bomb": ZIPPED + zlib.compress(BOMB % b"STARTED"),
}
"""Bytes that any store can hold.  The bombs are above the limit of the test's app."""


class Waiting(threading.Thread):
    """A thread that waits for one task."""

    def __init__(self, app: Any) -> None:
        super().__init__(daemon=True)
        self.result = app.AsyncResult(str(uuid.uuid4()))
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self.result.get(timeout=WAIT)
        except Exception as error:
            self.outcome = error


@pytest.fixture
def app(any_url: str) -> Iterator[Any]:
    limit = "&unpacked_mb=1" if "?" in any_url else "?unpacked_mb=1"
    app = Celery("app", broker="memory://", backend=f"kv+{any_url}{limit}", set_as_current=False)
    app.conf.result_expires = 600
    app.backend.store_result(str(uuid.uuid4()), 1, "SUCCESS")  # makes table or index
    yield app
    app.backend.waiters.close()
    app.backend.store.close()
    app.close()


def test_a_bad_record_fails_its_own_wait_only(app, any_url):
    """Waits that begin before it is stored; those for good records return as ever."""
    if app.backend.supports_result_compression and not hasattr(app.backend, "compression"):
        pytest.skip("this Celery has no compression")
    raw, writers = innermost(app.backend.store), raw_writers(any_url)
    bad = {name: Waiting(app) for name in (*RECORDS, *writers)}
    good = [Waiting(app) for _ in range(3)]
    time.sleep(0.2)
    for name, each in bad.items():
        key = app.backend.key_of(each.result.id)
        if name in writers:
            writers[name](key)
        else:
            rank = Rank.UNREADY if "unready" in name else Rank.SUCCEEDED
            raw.offer(Offer(key, RECORDS[name], rank, 600.0), app.backend.ranks.rank_of)
    for n, each in enumerate(good):
        app.backend.store_result(each.result.id, n, "SUCCESS")
    for each in (*bad.values(), *good):
        each.join(WAIT + 10)
    assert [each.outcome for each in good] == [0, 1, 2]
    silent = (WaitedTooLong, type(None), int, str)
    assert {n: each.outcome for n, each in bad.items() if isinstance(each.outcome, silent)} == {}


def raw_writers(url: str) -> dict[str, Callable[[str], object]]:
    """Writers of what only this store can hold: values of other types."""
    make = {"sqlite": _sqlite, "mongodb": _mongodb, "elasticsearch": _elasticsearch}
    scheme = url.partition(":")[0]
    return make[scheme](url) if scheme in make else {}


def _sqlite(url: str) -> dict[str, Callable[[str], object]]:
    def row(value: object) -> Callable[[str], object]:
        def write(key: str) -> None:
            with sqlite3.connect(urlsplit(url).path[1:], timeout=20) as database:
                values = (key, time.time() + 600, value)
                database.execute("INSERT INTO entry VALUES (?, 3, ?, ?)", values)
            database.close()

        return write

    return {"TEXT": row("zzz"), "INTEGER": row(5), "REAL": row(1.5)}


def _mongodb(url: str) -> dict[str, Callable[[str], object]]:
    def document(**fields: object) -> Callable[[str], object]:
        def write(key: str) -> None:
            with pymongo.MongoClient(url) as client:
                entries = client.get_default_database()["celery_taskmeta_kv"]
                expiry = {"expires": {"$add": ["$$NOW", 600_000]}, "rank": 3}
                fresh = {"$replaceWith": {"_id": key, **expiry, **fields}}
                entries.update_one({"_id": key}, [fresh], upsert=True)

        return write

    return {
        "a number": document(value=5),
        "an array": document(value=["a"]),
        "null": document(value=None),
        "no value": document(),
    }


def _elasticsearch(url: str) -> dict[str, Callable[[str], object]]:
    at = urlsplit(url)

    def document(**fields: object) -> Callable[[str], object]:
        def write(key: str) -> None:
            index = at.path.strip("/") or "celery"
            request = urllib.request.Request(
                f"http://{at.netloc}/{index}/_doc/{key}",
                json.dumps(fields).encode(),
                {"Content-Type": "application/json"},
                method="PUT",
            )
            urllib.request.urlopen(request).close()

        return write

    return {
        "a number": document(result=5),
        "an array": document(result=[1]),
        "an object": document(result={"a": 1}),
        "nothing": document(),
        "binary of a number": document(binary={"a": 5}),
    }
