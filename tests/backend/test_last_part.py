"""The body's arguments, however the values of the header are written."""

import contextlib
import datetime as dt
import random
import uuid

import pytest
from celery import chord, group, states
from celery.backends.base import BaseKeyValueStoreBackend
from celery.exceptions import ChordError

from tests.backend.tasks import Boom

VALUES = [None, True, 1, 1.0, 2**70, "ü\n", [1, {"a": [2.5]}], {"result": 0, "status": "FAILURE"}]
"""Values that JSON has and every serializer takes."""
MORE = 230
"""Parts are decoded a hundred at once."""
ACCEPTED = ["json", "pickle", "yaml", "msgpack"]


def shuffled(app):
    """The parts come in any order."""
    random.Random(7).shuffle(app.bench.queue)
    with contextlib.suppress(Boom, ChordError):
        app.bench.run_all()


def run(app, header):
    """Return the body's argument."""
    result = chord(header, app=app)(app.tasks["echo"].s())
    shuffled(app)
    return result.get(timeout=2)


def parts_in(app, monkeypatch, change):
    """Lets the first of each two parts be recorded as `change` of its record's bytes."""
    make, count = app.backend.store.barrier, iter(range(10_000))

    def barrier(*named):
        made = make(*named)
        finish = made.finish

        def changed(part, offer, *rest):
            if next(count) % 2 == 0:
                offer = offer._replace(value=change(offer.value))
            return finish(part, offer, *rest)

        made.finish = changed
        return made

    monkeypatch.setattr(app.backend.store, "barrier", barrier)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
def test_every_serializer(make_app, kind, serializer, compression):
    values = [each for each in VALUES if each != 2**70 or serializer != "msgpack"]
    app = make_app(
        kind,
        result_serializer=serializer,
        result_compression=compression,
        result_accept_content=ACCEPTED,
    )
    assert repr(run(app, [app.tasks["echo"].s(each) for each in values])) == repr(values)


def test_a_generator_of_groups_keeps_its_order(app):
    """Also of groups in groups; the first tasks are sent before the last group is made."""
    echo, sent = app.tasks["echo"], []

    def header():
        for n in range(0, 40, 4):
            sent.append(len(app.bench.sent))
            inner = group(echo.s(n + 1), echo.s(n + 2))
            yield group(echo.s(n), inner, echo.s(n + 3))

    result = chord(header(), app=app)(echo.s())
    assert sent[-1] > 0
    shuffled(app)
    assert result.get(timeout=2) == list(range(40))


def test_values_that_json_has_not(app):
    values = [1, uuid.UUID(int=7), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), b"\xff", float("inf")]
    assert run(app, [app.tasks["echo"].s(each) for each in values]) == values


@pytest.mark.parametrize("odd", [MORE - 1, 0, 120])
def test_one_of_many_is_odd(app, odd):
    values = [uuid.UUID(int=7) if place == odd else place for place in range(MORE)]
    assert run(app, [app.tasks["echo"].s(each) for each in values]) == values


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.replace(b"{", b" {", 1),
        lambda record: record.replace(b'"status"', b'"st\\u0061tus"'),
        lambda record: b"%b, %b" % (record[:-1], b'"more": NaN}'),
        lambda record: (
            b"%b, %b" % (record[:-1], b'"more": {"__type__": "bytes", "__value__": "x"}}')
        ),
    ],
    ids=["blank", "escapes", "nan", "typed"],
)
def test_records_that_are_written_otherwise(app, monkeypatch, change):
    """By a client in another language; Celery's own class reads them so."""
    record = change(b'{"status": "SUCCESS", "result": 1}')
    assert BaseKeyValueStoreBackend.decode_result(app.backend, record)["result"] == 1
    parts_in(app, monkeypatch, change)
    assert run(app, [app.tasks["echo"].s(n) for n in range(8)]) == list(range(8))


def test_nested_groups_come_in_their_shape(app):
    echo = app.tasks["echo"]
    ends_in_group = echo.s(0) | group([echo.si(n) for n in range(3)], app=app)
    assert run(app, [echo.s("a"), ends_in_group, echo.s("f")]) == ["a", [0, 1, 2], "f"]


def test_parts_that_are_added(app):
    header = [app.tasks["grows"].s(1000), *(app.tasks["echo"].s(n) for n in range(1, MORE))]
    assert run(app, header) == [1000, 1001, *range(1, MORE)]


@pytest.mark.parametrize("failed", [{3}, {3, 150}, {150, 229}, {0, 1}])
def test_the_first_failure_in_header_order_is_named(app, failed):
    tasks = [app.tasks["fail" if n in failed else "echo"].s(n) for n in range(MORE)]
    result = chord(tasks, app=app)(app.tasks["echo"].s())
    ids = [each.id for each in result.parent.results]
    shuffled(app)
    with pytest.raises(ChordError, match=ids[min(failed)]):
        result.get(timeout=2, follow_parents=False)


def test_a_state_of_ones_own_is_no_failure(memory_app):
    """A part that returns with another state than Celery's is a value."""
    backend = memory_app.backend
    metas = [backend._meta("t", 1, state, None, None) for state in (states.SUCCESS, "MINE")]
    records = [(place, "t", backend._payload(meta)) for place, meta in enumerate(metas)]
    assert [backend.chords._dispatcher._value(*each) for each in records] == [1, 1]
    assert backend.successes([records[0][2]]) == [1]
    assert backend.successes([each for _, _, each in records]) is None
