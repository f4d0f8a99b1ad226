"""Reading many results costs few calls each, and returns the same as Celery's backends."""

import gc
import json
import math
import sys

import pytest
from celery import Celery, states
from celery.backends.base import BaseKeyValueStoreBackend
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import ContentDisallowed, DecodeError

from kvbackends.backend.encoding import json_object, json_objects
from kvbackends.backend.ranks import FINAL_JSON, Ranks
from tests.backend.test_decoding import PLAIN, SPECIAL
from tests.backend.versions import needs_57

MANY = 200


def python_calls(work):
    """Return the number of calls of Python functions; resuming a generator counts, too."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event == "call"

    work()  # fills caches
    gc.disable()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.fixture
def stored(memory_app):
    ids = [f"t{number}" for number in range(MANY)]
    for each in ids:
        memory_app.backend.mark_as_done(each, "x" * 200)
    return ids


def group_of(app, ids):
    return app.GroupResult("g", [app.AsyncResult(each) for each in ids])


class TestCalls:
    """Celery's Redis backend makes 32 calls per result of `get_many`, 114 of a join, 315 of a get.

    Ours include the calls of the memory store.
    """

    def per_result(self, ids, work):
        small, large = (python_calls(lambda n=n: work(ids[:n])) for n in (10, MANY))
        return (large - small) / (MANY - 10)

    def test_get_many_makes_few_calls(self, memory_app, stored):
        assert self.per_result(stored, lambda ids: list(memory_app.backend.get_many(ids))) <= 6

    def test_a_join_makes_few_calls(self, memory_app, stored):
        groups = iter([group_of(memory_app, stored[:n]) for n in (10, 10, MANY, MANY)])
        assert self.per_result(stored, lambda _: next(groups).join_native()) <= 20

    def test_a_get_makes_few_calls(self, memory_app, stored):
        results = iter([memory_app.AsyncResult(stored[0]) for _ in range(2)])
        assert python_calls(lambda: next(results).get()) <= 60


class TestDecoding:
    @given(st.lists(PLAIN | st.sampled_from(SPECIAL), min_size=1, max_size=10))
    def test_values_of_a_batch_equal_celerys(self, values):
        backend = Celery(backend="kv+memory://", set_as_current=False).backend
        metas = [{"status": states.SUCCESS, "result": value} for value in values]
        payloads = [backend.encode(meta).encode() for meta in metas]
        for payload, found in zip(payloads, backend.decoded(payloads), strict=True):
            expected = BaseKeyValueStoreBackend.decode_result(backend, payload)
            assert found == backend.decode_result(payload) == expected
            assert type(found["result"]) is type(expected["result"])

    @pytest.mark.parametrize("odd", [b'{"a": 1},{"b": 2}', b'{"a": [1', b"1", b"", "{}", None])
    def test_an_unusual_record_makes_the_batch_be_decoded_one_by_one(self, odd):
        assert json_objects([b'{"a": 1}', b'{"b": 2}']) == [{"a": 1}, {"b": 2}]
        assert json_objects([b'{"a": 1}', odd, b'{"b": 2}']) is None

    @pytest.mark.parametrize("name", [b"__type__", rb"\u005f_type__", rb"__\u0074ype__"])
    def test_values_of_other_types_are_recognised_in_any_notation(self, name):
        payload = b'{"a": {"%s": "bytes", "__value__": "x"}}' % name
        assert json_object(payload) == {"a": b"x"}
        assert json_objects([b"{}", payload]) is None

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"a": 1} {"b": 2}',
            b'{"a": 1},',
            b"[1]",
            b"",
            b'{"a": "\xff"}',
            "{}",
            memoryview(b"{}"),
        ],
    )
    def test_unusual_json_is_left_to_kombu(self, payload):
        assert json_object(payload) is None

    def test_nan_and_large_numbers_are_decoded(self):
        value = json_object(b'{"a": NaN, "b": -Infinity, "c": 1%s}' % (b"0" * 400))
        assert (math.isnan(value["a"]), value["b"], value["c"]) == (True, -math.inf, 10**400)

    def test_too_deeply_nested_values_raise(self, memory_app):
        payload = b'{"status": "SUCCESS", "result": %s1%s}' % (b"[" * 100_000, b"]" * 100_000)
        with pytest.raises((DecodeError, RecursionError)):
            list(memory_app.backend.decoded([payload]))

    def test_failures_are_exceptions(self, memory_app):
        backend = memory_app.backend
        backend.mark_as_done("a", 1)
        backend.mark_as_failure("b", KeyError("k"))
        found = dict(backend.get_many(["a", "b"]))
        assert (found["a"]["result"], type(found["b"]["result"])) == (1, KeyError)

    def test_json_is_refused_if_it_is_not_accepted(self, memory_app, stored):
        memory_app.backend.accept = {"application/x-yaml"}
        with pytest.raises(ContentDisallowed):
            list(memory_app.backend.get_many(stored))

    def test_results_before_a_broken_record_are_yielded(self, memory_app, stored):
        """Celery's backends read a batch, and yield nothing if one record is broken."""
        backend = memory_app.backend
        backend.store.set(backend.key_of("broken"), b'{"status": "SUCCESS", ', 60)
        called = []
        with pytest.raises(DecodeError):
            list(backend.get_many([*stored[:3], "broken"], on_message=called.append))
        assert [each["task_id"] for each in called] == stored[:3]


class TestFinal:
    @pytest.mark.parametrize("state", sorted(states.ALL_STATES | {"SUCCESSFUL", "MINE"}))
    def test_the_head_agrees_with_the_record(self, state):
        payload = json.dumps({"status": state, "result": None}).encode()
        final = state in states.READY_STATES
        assert payload.startswith(FINAL_JSON) is final
        assert Ranks(json.loads).is_final(payload) is final


class TestDelivery:
    def test_members_of_a_join_know_before_on_message(self, memory_app, stored):
        group = group_of(memory_app, stored[:5])
        known = []
        group.get(on_message=lambda _: known.append(sum(bool(each._cache) for each in group)))
        assert known == [1, 2, 3, 4, 5]

    def test_members_with_the_same_id_are_all_set(self, memory_app, stored):
        group = group_of(memory_app, [stored[0], stored[0]])
        group.get()
        assert [bool(each._cache) for each in group] == [True, True]

    def test_another_result_object_learns_of_a_join(self, memory_app, stored):
        called = []
        other = memory_app.AsyncResult(stored[0])
        other.then(called.append)
        group_of(memory_app, stored[:2]).get()
        assert called == [other]

    def test_a_callback_of_a_member_is_called_once(self, memory_app, stored):
        called = []
        group = group_of(memory_app, stored[:2])
        group[0].then(called.append)
        group.get()
        assert called == [group[0]]

    def test_celerys_cache_is_filled_where_it_is_on(self, make_app):
        app = make_app("memory", result_cache_max=10)
        app.backend.mark_as_done("t", 1)
        list(app.backend.get_many(["t"]))
        assert app.backend._cache["t"]["result"] == 1


class TestEager:
    # Celery 5.6 ignores an old name that is set late, and its settings cannot be copied.
    @pytest.mark.parametrize(
        "name", ["task_always_eager", pytest.param("CELERY_ALWAYS_EAGER", marks=needs_57)]
    )
    def test_a_setting_that_is_changed_later_applies(self, make_app, name):
        app = make_app("memory")
        app.backend.mark_as_done("t", 1)
        assert app.AsyncResult("t").get() == 1
        app.conf[name] = True
        with pytest.warns(RuntimeWarning, match="task_always_eager"):
            app.AsyncResult("t").get()
        app.conf[name] = False
        assert app.AsyncResult("t").get() == 1

    def test_a_setting_with_a_prefix_applies(self):
        app = Celery(set_as_current=False)
        app.config_from_object(
            {"CELERY_RESULT_BACKEND": "kv+memory://eager", "CELERY_TASK_ALWAYS_EAGER": True},
            namespace="CELERY",
        )
        with pytest.warns(RuntimeWarning, match="task_always_eager"):
            app.backend.get_task_meta("t")

    @needs_57
    def test_replaced_settings_apply(self, make_app):
        app = make_app("memory")
        app.backend.get_task_meta("t")
        app.conf = app.conf.copy()
        app.conf.task_always_eager = True
        with pytest.warns(RuntimeWarning, match="task_always_eager"):
            app.backend.get_task_meta("t")
