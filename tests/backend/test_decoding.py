"""Records are decoded at once where they are JSON: what comes out is what Celery makes of them."""

import datetime as dt
import decimal
import math
import uuid

import pytest
from celery import Celery
from celery.backends.base import BaseKeyValueStoreBackend
from hypothesis import given
from hypothesis import strategies as st
from kombu import serialization
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.utils import json as kombu_json

SPECIAL = [
    uuid.UUID(int=7),
    decimal.Decimal("1.10"),
    dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
    dt.date(2026, 1, 2),
    b"\xff\x00",
    2**70,
    1.5e300,
    "ü\u2028😀\ud800",
    {"__type__": "x"},
    [{"status": "x"}],
]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def as_celery_does(backend, payload):
    return BaseKeyValueStoreBackend.decode(backend, payload)


@pytest.mark.parametrize("value", SPECIAL, ids=repr)
def test_every_type_that_kombu_knows(memory_app, value):
    backend = memory_app.backend
    payload = backend.encode({"status": "SUCCESS", "result": value}).encode()
    assert backend.decode(payload) == as_celery_does(backend, payload)
    assert type(backend.decode(payload)["result"]) is type(value)


def test_what_is_no_number(memory_app):
    payload = memory_app.backend.encode({"result": [math.nan, math.inf]}).encode()
    nan, inf = memory_app.backend.decode(payload)["result"]
    assert (math.isnan(nan), inf) == (True, math.inf)


@given(PLAIN)
def test_any_json(value):
    backend = Celery(backend="kv+memory://", set_as_current=False).backend
    payload = backend.encode({"result": value}).encode()
    assert backend.decode(payload) == as_celery_does(backend, payload)


@pytest.mark.parametrize(
    "payload", [b'{"a": ', b"{\xff}", b'{"__type__": "?", "__value__": 1}', b"{"]
)
def test_what_cannot_be_decoded_is_said_as_celery_says_it(memory_app, payload):
    with pytest.raises(DecodeError):
        memory_app.backend.decode(payload)


def test_json_that_is_not_accepted(memory_app):
    memory_app.backend.accept = {"application/x-yaml"}
    with pytest.raises(ContentDisallowed):
        memory_app.backend.decode(b'{"a": 1}')


def test_a_decoder_that_the_application_has_registered(memory_app):
    try:
        serialization.register(
            "json", kombu_json.dumps, lambda _: "mine", "application/json", "utf-8"
        )
        assert memory_app.backend.decode(b'{"a": 1}') == "mine"
    finally:
        serialization.register(
            "json", kombu_json.dumps, kombu_json.loads, "application/json", "utf-8"
        )
    assert memory_app.backend.decode(b'{"a": 1}') == {"a": 1}
