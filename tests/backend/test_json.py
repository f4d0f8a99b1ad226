"""JSON is decoded by two decoders, with the same values as kombu's.

Values are compared by their `repr`: 1, 1.0 and True differ, NaN equals NaN, and the order of keys
matters.
"""

import math

import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from kombu.utils import json as kombu_json

from kvbackends.backend import encoding
from kvbackends.backend.encoding import json_object, json_objects, json_successes

BLANKS = st.sampled_from(["", "", "", " ", "\n\t "])
DIGITS = st.text("0123456789", min_size=1, max_size=30)
NUMBERS = (
    st.from_regex(r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
    | st.from_regex(r"-?[0-9.eE+-]{1,8}", fullmatch=True)
    | st.floats().map(repr)
    | st.integers().map(repr)
    | st.sampled_from(["9007199254740993.0", "2.5e-324", "1.7976931348623159e308", "-0", "-0.0"])
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "nan", "1" + "0" * 4300])
)
LETTERS = (
    st.characters(codec="utf-8")
    | st.sampled_from(["\\n", "\\/", "\\\\", '\\"', "\\u00fc", "\\ud83d\\ude00", '"', "\x7f"])
    | st.sampled_from(["\\ud800", "\\udc00", "\\u0000", "\\u005F", "__", "type", "\\u0074", "\\x"])
)
TEXTS = st.lists(LETTERS, max_size=8).map("".join)
KEYS = TEXTS | st.sampled_from(["a", "b", "\\u0061", "__type__", "__value__", "\\u005f_type__"])
STRINGS = (TEXTS | st.sampled_from(["bytes", "uuid", "decimal", "0" * 32])).map('"{}"'.format)
CONSTANTS = st.sampled_from(["true", "false", "null", "True", "nul"])


def _lists(values):
    several = st.tuples(st.lists(values, max_size=4), BLANKS)
    return several.map(lambda each: f"[{(each[1] + ',').join(each[0])}]")


def _objects(values):
    pairs = st.tuples(KEYS, BLANKS, values).map(lambda e: f'"{e[0]}":{e[1]}{e[2]}')
    return st.lists(pairs, max_size=4).map(lambda e: f"{{{', '.join(e)}}}")


VALUES = st.recursive(
    NUMBERS | STRINGS | CONSTANTS, lambda inner: _lists(inner) | _objects(inner), max_leaves=12
)
RECORDS = st.tuples(BLANKS, VALUES, BLANKS).map(lambda e: f'{{"a":{e[0]}{e[1]}{e[2]}}}'.encode())


def by_kombu(payload):
    """Return the `repr` of the value that kombu decodes; None if it raises."""
    try:
        return repr(kombu_json.loads(payload.decode()))
    except Exception:  # a codec for "__type__" may raise anything
        return None


def check(payload):
    value = json_object(payload)
    assert value is None or repr(value) == by_kombu(payload)
    some = json_objects([b'{"b": 1}', payload])
    assert some is None or repr(some[1]) == repr(value)


@settings(max_examples=300)
@given(RECORDS | VALUES.map(str.encode))
@example(b'{"a": 1, "b": 2, "a": 3.0}')
@example(b'{"a": %s}' % (b"[" * 400 + b"1" + b"]" * 400))
@example(b'{"a": 1e400}')
@example(rb'{"a": "\ud800"}')
@example(rb'{"a": {"\u005f_type__": "uuid", "__value__": {"hex": "%s"}}}' % (b"0" * 32))
@example(b'{"a": "\xed\xa0\x80"}')
@example(b'\xef\xbb\xbf{"a": 1}')
def test_a_decoded_value_equals_kombus(payload):
    check(payload)


@given(
    st.lists(VALUES | VALUES.map('1, "result": {}'.format), min_size=1, max_size=4), KEYS, VALUES
)
@example(['{"__type__": "uuid", "__value__": {"hex": "%s"}}' % ("0" * 32)], "a", "1")
@example(['1, "status": "FAILURE"'], "a", "1")
@example(["1"], "status", "1")
@example(["1"], "result", "{}")
def test_results_of_successes_are_extracted(results, key, other):
    records = [
        f'{{"status": "SUCCESS", "result": {each}, "{key}": {other}}}'.encode() for each in results
    ]
    found = json_successes(records)
    if found is not None:
        try:
            decoded = [kombu_json.loads(each.decode()) for each in records]
        except ValueError:  # kombu refuses `other`, which is not read here
            reject()
        assert repr(found) == repr([each["result"] for each in decoded])
        assert {each["status"] for each in decoded} == {"SUCCESS"}


@pytest.mark.parametrize(
    "odd",
    [
        b'{"status": "FAILURE", "result": 1}',
        b'{"status": "SUCCESS"}',
        b'{"status": "SUCCESS", "result": NaN}',
        rb'{"status": "SUCCESS", "result": {"__t\u0079pe__": "bytes", "__value__": "x"}}',
        b'{"status": "SUCCESS", "result": 1} ,',
        b'["SUCCESS", 1]',
        b"\x80",
        b"",
        None,
    ],
)
def test_a_batch_with_an_unusual_record_is_not_extracted(odd):
    good = b'{"status": "SUCCESS", "result": [1, {"a": 2.5}], "children": []}'
    assert json_successes([good, good]) == [[1, {"a": 2.5}]] * 2
    assert json_successes([good, odd, good]) is None


@settings(max_examples=200)
@given(RECORDS, st.lists(st.tuples(st.integers(0), st.binary(max_size=3)), max_size=3))
def test_a_broken_record_is_refused_like_by_kombu(payload, changes):
    for place, put in changes:
        at = place % len(payload)
        payload = payload[:at] + put + payload[at + len(put) % 2 :]
    check(payload)


@given(st.binary(max_size=30) | st.text('{}[]":,1 \\u00e\n\ufeff', max_size=30).map(str.encode))
def test_any_bytes_are_decoded_like_by_kombu(data):
    for each in (data, b"{%s}" % data, b'{"a":%s}' % data):
        check(each)


@pytest.mark.parametrize("record", [{"a": 2**70, "b": [1.5, None, {"ü": "😀\n"}]}, {}])
def test_what_json_has_is_for_the_fast_decoder(record, monkeypatch):
    monkeypatch.setattr(encoding, "_hooked_object", None)
    assert json_object(kombu_json.dumps(record).encode()) == record


def test_json_that_only_python_reads_is_decoded():
    payload = rb'{"nan": NaN, "inf": 1e400, "half": "\ud800", "large": 1%s}' % (b"0" * 400)
    value = json_object(payload)
    assert math.isnan(value.pop("nan"))
    assert value == {"inf": math.inf, "half": "\ud800", "large": 10**400}
