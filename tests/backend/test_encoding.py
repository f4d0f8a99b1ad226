"""JSON records are encoded in one step, to the bytes that Celery writes."""

import datetime as dt
import decimal
import enum
import math
import uuid

import pytest
from celery import Celery
from celery.backends.base import BaseKeyValueStoreBackend
from hypothesis import example, given
from hypothesis import strategies as st
from kombu import serialization
from kombu.exceptions import EncodeError
from kombu.utils import json as kombu_json

from tests.backend.test_decoding import PLAIN, SPECIAL


class Own:
    """Defines its own encoding."""

    def __json__(self):
        return {"own": 1}

    def __repr__(self):
        return "own"


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


MORE = [
    *SPECIAL,
    Own(),
    Colour.RED,
    Text("x"),
    dt.time(1, 2),
    math.nan,
    -math.inf,
    (1, 2),
    {1: 2, None: 3, False: 4, 1.5: 5},
    b"abc",
    [uuid.UUID(int=1), {"a": decimal.Decimal("NaN")}],
    '</script>"\\\x00\x7f',
]


def as_celery_does(backend, data):
    return BaseKeyValueStoreBackend.encode(backend, data)


@pytest.mark.parametrize("value", MORE, ids=repr)
def test_every_type_of_kombus_is_encoded_like_celery(memory_app, value):
    data = {"status": "SUCCESS", "result": value}
    encoded = memory_app.backend.encode(data)
    assert encoded == as_celery_does(memory_app.backend, data)
    assert type(encoded) is str


@given(PLAIN | st.floats() | st.binary() | st.datetimes() | st.uuids() | st.decimals())
def test_any_value_is_encoded_like_celery(value):
    backend = Celery(backend="kv+memory://", set_as_current=False).backend
    assert backend.encode({"result": value}) == as_celery_does(backend, {"result": value})


IDS = st.sampled_from([None, "plain", "ü", Text("own"), uuid.UUID(int=1), "\x7f", "\\u007f"])


@given(
    state=st.sampled_from(["SUCCESS", "FAILURE", Text("OWN"), "ü"]),
    result=PLAIN | st.text() | st.text(st.characters(max_codepoint=127)) | st.floats() | st.uuids(),
    traceback=st.none() | st.text(max_size=9),
    children=st.just([]) | st.just([(("a", None), None)]) | st.none(),
    ids=st.tuples(IDS, IDS, IDS),
)
@example("SUCCESS", [], None, [], (None, None, "t"))
@example("SUCCESS", [1, 2], None, [], (None, None, "t"))
@example("SUCCESS", 2**70, None, [], (None, None, "t"))
@example("SUCCESS", "\ud800", None, [], (None, None, "t"))
@example("SUCCESS", "\x7f", None, [], (None, None, "t"))
@example("SUCCESS", "", None, [], (None, None, "\x7f"))
@example("SUCCESS", "".join(map(chr, range(127))), None, [], (None, None, "t"))
def test_any_record_is_encoded_like_celery(state, result, traceback, children, ids):
    backend = Celery(backend="kv+memory://", set_as_current=False).backend
    record = {"status": state, "result": result, "traceback": traceback, "children": children}
    record |= dict(zip(("group_id", "parent_id", "task_id"), ids, strict=True))
    assert backend._payload(record) == as_celery_does(backend, record).encode()


def test_an_overridden_encode_is_used(memory_app):
    class Own(type(memory_app.backend)):
        def encode(self, data):
            return f"own {data['status']}"

    backend = Own(memory_app, url="memory://")
    backend.mark_as_done("t", "x")
    assert backend.get(backend.get_key_for_task("t")) == b"own SUCCESS"


def circular():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [object(), {object(): 1}, circular()], ids=["object", "key", "o"])
def test_an_unencodable_value_raises_celerys_error(memory_app, value):
    with pytest.raises(EncodeError) as ours:
        memory_app.backend.encode({"result": value})
    with pytest.raises(EncodeError) as theirs:
        as_celery_does(memory_app.backend, {"result": value})
    assert type(ours.value) is type(theirs.value)


@pytest.mark.parametrize("serializer", ["pickle", "yaml"])
def test_other_serializers_are_encoded_like_celery(make_app, serializer):
    app = make_app("memory", result_serializer=serializer, accept_content=[serializer])
    assert app.backend.encode({"a": 1}) == as_celery_does(app.backend, {"a": 1})


def test_compressed_results_are_encoded_like_celery(make_app):
    app = make_app("memory", result_compression="zlib")
    if getattr(app.backend, "compression", None):
        data = {"result": "x" * 10_000}
        assert app.backend.encode(data) == as_celery_does(app.backend, data)
        assert len(app.backend.encode(data)) < 1000


def test_an_encoder_of_the_application_is_used(memory_app):
    try:
        serialization.register(
            "json", lambda _: "mine", kombu_json.loads, "application/json", "utf-8"
        )
        assert memory_app.backend.encode({"a": 1}) == "mine"
    finally:
        serialization.register(
            "json", kombu_json.dumps, kombu_json.loads, "application/json", "utf-8"
        )
    assert memory_app.backend.encode({"a": 1}) == '{"a": 1}'
