"""One result: states, ranks, serializers, expiry, and values that do not fit."""

import datetime as dt
import json
import pickle
import time

import pytest
from celery import states, uuid
from celery.app.task import Context
from celery.backends.base import KeyValueStoreBackend
from celery.contrib.abortable import ABORTED, AbortableAsyncResult
from celery.exceptions import (
    BackendGetMetaError,
    BackendStoreError,
    ImproperlyConfigured,
    TaskRevokedError,
)
from celery.signals import celeryd_init
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.exceptions import EncodeError

from kvbackends.backend.ranks import facets, rank_of_state, state_in_head
from kvbackends.backend.results import ResultTooLarge
from kvbackends.contract import Rank
from tests.backend.stores import LARGEST, new_url, wrap
from tests.backend.tasks import Boom
from tests.backend.versions import needs_57
from tests.support.layers import Faulty

SERIALIZERS = ["json", "pickle", "msgpack", "yaml"]
UNREADY = [states.PENDING, states.RECEIVED, states.STARTED, states.RETRY, ABORTED, "PROGRESS"]
FAILED = [states.FAILURE, states.REVOKED]


class OfCelery(KeyValueStoreBackend):
    """Celery's own key-value backend; the arguments of its `set` are the bytes on the wire."""

    supports_result_compression = True
    supports_failure_expires = True

    def __init__(self, app, **kwargs):
        self.stored = {}
        super().__init__(app, **kwargs)

    def get(self, key):
        return self.stored.get(key)

    def set(self, key, value):
        self.stored[key] = value


def store(backend, task_id, state, value=1):
    """Store as Celery's own hooks do."""
    error = Boom(value)
    if state == states.SUCCESS:
        backend.mark_as_done(task_id, value)
    elif state == states.FAILURE:
        backend.mark_as_failure(task_id, error)
    elif state == states.REVOKED:
        backend.mark_as_revoked(task_id, str(value))
    elif state == states.RETRY:
        backend.mark_as_retry(task_id, error)
    elif state == states.STARTED:
        backend.mark_as_started(task_id, pid=value)
    else:
        backend.store_result(task_id, value, state)


def ttl_of(app, task_id):
    """Return the remaining ttl of a record on the memory store, in seconds; infinity for ever."""
    from kvbackends.layers.layer import innermost

    key = app.backend.get_key_for_task(task_id).decode()
    return innermost(app.backend.store)._space.rows[key].expires - time.monotonic()


class TestStates:
    @pytest.mark.parametrize("first", [*UNREADY, *FAILED, states.SUCCESS])
    @pytest.mark.parametrize("second", [*UNREADY, *FAILED, states.SUCCESS])
    def test_a_record_is_never_replaced_by_one_of_lower_rank(self, backend, first, second):
        """Of equal ranks the later one replaces the earlier, except for SUCCESS."""
        task_id = uuid()
        store(backend, task_id, first, 1)
        store(backend, task_id, second, 2)
        replaced = rank_of_state(first).yields_to(rank_of_state(second))
        assert backend.get_state(task_id) == (second if replaced else first)

    def test_a_success_keeps_its_first_value(self, backend):
        store(backend, "t", states.SUCCESS, "first")
        store(backend, "t", states.SUCCESS, "second")
        assert backend.get_result("t") == "first"

    def test_a_later_failure_replaces_an_earlier_one(self, backend):
        store(backend, "t", states.FAILURE, "first")
        store(backend, "t", states.REVOKED, "second")
        assert isinstance(backend.get_result("t"), TaskRevokedError)

    def test_a_forgotten_task_takes_any_state(self, backend):
        store(backend, "t", states.SUCCESS)
        backend.forget("t")
        assert backend.get_state("t") == states.PENDING
        store(backend, "t", states.STARTED)
        assert backend.get_state("t") == states.STARTED

    def test_a_failure_has_its_exception_and_traceback(self, backend):
        backend.mark_as_failure("t", Boom("because"), "Traceback: …")
        result = backend.app.AsyncResult("t")
        assert isinstance(result.result, Boom)
        assert result.result.args == ("because",)
        assert result.traceback == "Traceback: …"
        with pytest.raises(Boom):
            result.get(timeout=1)

    def test_update_state_inside_a_task_is_read_while_it_runs(self, app):
        seen = []
        app.during = lambda task_id: seen.append(
            (app.AsyncResult(task_id).state, app.AsyncResult(task_id).info)
        )
        result = app.tasks["updates"].delay("PROGRESS", {"done": 3})
        app.bench.run_all()
        assert seen == [("PROGRESS", {"done": 3})]
        assert result.get(timeout=1) == {"done": 3}

    def test_started_is_stored_when_tracked(self, make_app, kind):
        app = make_app(kind, task_track_started=True)
        seen = []
        app.during = lambda task_id: seen.append(app.AsyncResult(task_id).state)
        app.tasks["updates"].delay(states.STARTED, 0)
        app.bench.run_all()
        assert seen == [states.STARTED]

    def test_a_retried_task_shows_retry_and_then_success(self, app):
        result = app.tasks["retried"].delay(5)
        app.bench.run(app.bench.take())
        assert result.state == states.RETRY
        assert isinstance(result.result, Boom)
        app.bench.run_all()
        assert result.get(timeout=1) == 5

    def test_an_aborted_task_is_seen_as_aborted(self, app):
        result = AbortableAsyncResult("t", app=app)
        app.backend.mark_as_started("t")
        result.abort()
        assert result.is_aborted()
        app.backend.mark_as_done("t", 1)
        assert not result.is_aborted()

    def test_a_result_exists_in_any_stored_state(self, backend):
        assert not backend.task_result_exists("t")
        backend.mark_as_started("t")
        assert backend.task_result_exists("t")
        backend.forget("t")
        assert not backend.task_result_exists("t")

    @needs_57
    def test_a_result_knows_whether_it_exists(self, app):
        result = app.AsyncResult("t")
        assert not result.exists()
        app.backend.store_result("t", None, states.PENDING)
        assert result.exists()


class TestStoring:
    def test_an_ignored_result_is_not_stored(self, app):
        result = app.tasks["quiet"].delay(1)
        app.bench.run_all()
        assert not app.backend.task_result_exists(result.id)

    def test_a_result_ignored_by_the_message_is_not_stored(self, app):
        result = app.tasks["echo"].apply_async((1,), ignore_result=True)
        app.bench.run_all()
        assert not app.backend.task_result_exists(result.id)
        assert result.get() is None

    def test_an_ignored_error_is_stored_with_store_errors_even_if_ignored(self, make_app, kind):
        app = make_app(kind, task_store_errors_even_if_ignored=True)
        app.tasks["fail"].ignore_result = True
        result = app.tasks["fail"].delay()
        app.bench.run_all()
        assert app.backend.get_state(result.id) == states.FAILURE

    def test_an_eager_result_is_stored_with_store_eager_result(self, make_app, kind):
        app = make_app(kind, task_always_eager=True, task_store_eager_result=True)
        result = app.tasks["add"].delay(1, 2)
        assert result.get() == 3
        assert app.backend.get_result(result.id) == 3

    def test_an_eager_result_is_not_stored_by_default(self, make_app):
        app = make_app(task_always_eager=True)
        result = app.tasks["add"].delay(1, 2)
        assert not app.backend.task_result_exists(result.id)
        with pytest.warns(RuntimeWarning, match="task_always_eager"):
            assert app.backend.get_state(result.id) == states.PENDING

    def test_extended_results_keep_what_was_called(self, make_app, kind):
        app = make_app(kind, result_extended=True)
        result = app.tasks["add"].delay(1, y=2)
        app.bench.run_all()
        assert (result.name, result.args, result.kwargs) == ("add", [1], {"y": 2})
        assert (result.worker, result.retries, result.queue) == ("bench@here", 0, "celery")
        assert isinstance(result.date_done, dt.datetime)

    def test_results_without_extension_keep_no_arguments(self, app):
        result = app.tasks["add"].delay(1, y=2)
        app.bench.run_all()
        assert "args" not in app.backend.get_task_meta(result.id)

    def test_children_are_restored(self, app):
        child = app.AsyncResult("child")
        request = _request("t")
        request.children.append(child)
        app.backend.mark_as_done("t", 1, request=request)
        assert app.AsyncResult("t").children == [child]

    def test_a_cached_result_is_not_read_again(self, make_app):
        app = make_app(result_cache_max=2)
        backend = app.backend
        for number in range(3):
            backend.mark_as_done(f"t{number}", number)
            assert backend.get_result(f"t{number}") == number
        backend.store.close()
        for number in range(3):
            backend.delete(backend.get_key_for_task(f"t{number}"))
        assert [backend.is_cached(f"t{n}") for n in range(3)] == [False, True, True]
        assert backend.get_result("t2") == 2
        backend.forget("t2")
        assert backend.get_state("t2") == states.PENDING

    def test_nothing_is_cached_by_default(self, backend):
        backend.mark_as_done("t", 1)
        backend.get_result("t")
        assert not backend.is_cached("t")

    def test_keys_follow_the_global_prefix(self, make_app):
        app = make_app(result_backend_transport_options={"global_keyprefix": "mine"})
        app.backend.mark_as_done("t", 1)
        assert app.backend.get_key_for_task("t") == b"mine_celery-task-meta-t"
        assert app.backend.get("mine_celery-task-meta-t")
        assert app.backend.get_result("t") == 1

    @pytest.mark.parametrize("task_id", ["ключ", "with space", "a" * 300, "a:b/c?d"])
    def test_odd_task_ids_work(self, backend, task_id):
        backend.mark_as_done(task_id, 1)
        assert backend.get_result(task_id) == 1


class TestKeyValueMethods:
    def test_get_and_set_work_like_celerys(self, backend):
        backend.set(b"k", "text")
        assert backend.get("k") == b"text"
        backend.set("k", b"bytes")
        assert backend.get(b"k") == b"bytes"
        backend.delete("k")
        assert backend.get("k") is None
        backend.delete(b"k")

    def test_mget_is_aligned_with_its_keys(self, backend):
        backend.set("a", b"1")
        backend.set("c", b"3")
        assert backend.mget(["c", b"b", b"a", "c"]) == [b"3", None, b"1", b"3"]
        assert backend.mget([]) == []

    def test_incr_counts(self, backend):
        assert [backend.incr("n"), backend.incr(b"n")] == [1, 2]

    def test_expire_sets_and_removes_a_time_to_live(self, backend):
        backend.set("k", b"1")
        backend.set("kept", b"1")
        backend.expire("kept", 0.4)
        backend.expire(b"kept", None)
        backend.expire("k", 0.05)
        time.sleep(0.45)
        assert backend.get("k") is None
        assert backend.get("kept") == b"1"
        backend.expire("absent", 5)


class TestSerializers:
    @pytest.fixture(params=SERIALIZERS)
    def serializer(self, request):
        return request.param

    def test_values_and_errors_are_restored(self, make_app, kind, serializer):
        app = _with_serializer(make_app, kind, serializer)
        app.backend.mark_as_done("done", {"a": [1, "é", None]})
        app.backend.mark_as_failure("failed", Boom("why"))
        assert app.AsyncResult("done").get(timeout=1) == {"a": [1, "é", None]}
        with pytest.raises(Boom, match="why"):
            app.AsyncResult("failed").get(timeout=1)

    def test_ranks_hold_for_every_serializer(self, make_app, serializer):
        backend = _with_serializer(make_app, "five", serializer).backend
        store(backend, "t", states.SUCCESS, "SUCCESS")
        store(backend, "t", states.RETRY)
        store(backend, "f", states.FAILURE)
        store(backend, "f", states.STARTED)
        store(backend, "s", states.STARTED)
        store(backend, "s", states.RETRY)
        found = [backend.get_state(each) for each in "tfs"]
        assert found == [states.SUCCESS, states.FAILURE, states.RETRY]

    def test_the_stored_bytes_equal_celerys(self, make_app, serializer, monkeypatch):
        """Celery's own key-value backend would store the same bytes."""
        app = _with_serializer(make_app, "memory", serializer, result_extended=True)
        now = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
        monkeypatch.setattr(app, "now", lambda: now)
        stock, ours = OfCelery(app), app.backend
        requests = {
            "plain": None,
            "full": _request("full", args=[1], kwargs={"x": 2}, task="add", parent_id="p"),
        }
        for task_id, request in requests.items():
            for each in (stock, ours):
                each.store_result(task_id, {"v": 1}, states.SUCCESS, request=request)
                each.store_result(f"{task_id}-e", Boom("a", 1), states.FAILURE, "tb", request)
        for task_id in ("plain", "plain-e", "full", "full-e"):
            key = ours.get_key_for_task(task_id)
            theirs = stock.stored[key]
            expected = theirs if isinstance(theirs, bytes) else theirs.encode()
            if serializer == "pickle":
                assert repr(pickle.loads(ours.get(key))) == repr(pickle.loads(expected))
            else:
                assert ours.get(key) == expected

    def test_records_of_celerys_backend_are_ranked_and_read(self, make_app, serializer):
        app = _with_serializer(make_app, "memory", serializer)
        stock = OfCelery(app)
        stock.store_result("s", "old", states.SUCCESS)
        stock.store_result("f", Boom("old"), states.FAILURE)
        stock.store_result("r", None, states.RETRY)
        for key, value in stock.stored.items():
            app.backend.set(key, value)
        for task_id in "sfr":
            store(app.backend, task_id, states.STARTED)
        assert app.backend.get_result("s") == "old"
        assert app.backend.get_state("f") == states.FAILURE
        assert app.backend.get_state("r") == states.STARTED
        store(app.backend, "s", states.FAILURE)
        store(app.backend, "f", states.SUCCESS, "new")
        assert app.backend.get_result("s") == "old"
        assert app.backend.get_result("f") == "new"

    def test_celerys_backend_reads_our_records(self, make_app, serializer):
        app = _with_serializer(make_app, "memory", serializer)
        app.backend.mark_as_done("t", [1])
        stock = OfCelery(app)
        key = stock.get_key_for_task("t")
        stock.stored[key] = app.backend.get(key)
        assert stock.get_result("t") == [1]

    def test_unreadable_bytes_are_replaced(self, make_app):
        backend = make_app().backend
        key = backend.get_key_for_task("t")
        backend.set(key, b"\xff\x00 not a record")
        backend.mark_as_started("t")
        assert backend.get_state("t") == states.STARTED


@needs_57
class TestCompression:
    @pytest.fixture(params=["gzip", "zlib"])
    def compression(self, request):
        return request.param

    @pytest.mark.parametrize("serializer", SERIALIZERS)
    def test_compressed_records_are_read_and_ranked(self, make_app, compression, serializer):
        app = _with_serializer(make_app, "five", serializer, result_compression=compression)
        app.backend.mark_as_done("t", "x" * 10_000)
        assert len(app.backend.get(app.backend.get_key_for_task("t"))) < 1000
        store(app.backend, "t", states.RETRY)
        store(app.backend, "t", states.FAILURE)
        assert app.AsyncResult("t").get(timeout=1) == "x" * 10_000

    def test_celerys_backend_reads_our_compressed_records(self, make_app, compression):
        app = make_app(result_compression=compression)
        app.backend.mark_as_done("t", [1])
        stock = OfCelery(app)
        key = stock.get_key_for_task("t")
        stock.stored[key] = app.backend.get(key)
        assert stock.get_result("t") == [1]

    def test_records_are_read_after_compression_is_switched_on_or_off(self, make_app, compression):
        url = make_app(result_compression=compression).backend.url
        packed = make_app(url=url, result_compression=compression)
        plain = make_app(url=url)
        packed.backend.mark_as_done("packed", 1)
        plain.backend.mark_as_done("plain", 2)
        store(plain.backend, "packed", states.FAILURE)
        store(packed.backend, "plain", states.FAILURE)
        assert [app.backend.get_result("packed") for app in (packed, plain)] == [1, 1]
        assert [app.backend.get_result("plain") for app in (packed, plain)] == [2, 2]


TEXTS = st.one_of(
    st.sampled_from(
        ["status", "SUCCESS", '{"status": "SUCCESS"', "\x80\x04\x95", "\xa6status\xa7SUCCESS", ""]
    ),
    st.text(max_size=60),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
STATES = st.one_of(
    st.sampled_from([*UNREADY, *FAILED, "SUCCESS", "SUCCESSFUL", "SUCCES", "FAILURES", "S"]),
    st.text(min_size=1, max_size=80),
)


class TestStateInHead:
    @pytest.mark.parametrize("serializer", SERIALIZERS)
    @given(state=STATES, value=VALUES)
    @settings(max_examples=150)
    def test_the_head_never_disagrees_with_the_record(self, serializer, state, value):
        """The head has the state, or shows that it cannot be read."""
        payload = _encoded(serializer, {"status": state, "result": value, "traceback": None})
        assert state_in_head(payload) in {state, None}

    @pytest.mark.parametrize("serializer", ["json", "pickle", "msgpack"])
    @pytest.mark.parametrize("state", [*UNREADY, *FAILED, states.SUCCESS])
    def test_the_head_has_every_usual_state(self, serializer, state):
        meta = {"status": state, "result": "x" * 100_000, "traceback": None, "children": []}
        assert state_in_head(_encoded(serializer, meta)) == state

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_the_head_has_the_state_for_every_protocol_of_pickle(self, protocol):
        payload = pickle.dumps({"status": "SUCCESS", "result": 1}, protocol)
        assert state_in_head(payload) == "SUCCESS"

    @given(junk=st.binary(max_size=100))
    def test_any_bytes_are_accepted_as_a_head(self, junk):
        assert state_in_head(junk) is None or b"status" in junk

    @given(value=VALUES)
    @settings(max_examples=50)
    def test_a_value_is_never_taken_for_a_record(self, value):
        """If the status is not first in a record, the content of its result is not taken for it."""
        for serializer in SERIALIZERS:
            payload = _encoded(serializer, {"result": value, "status": "FAILURE"})
            assert state_in_head(payload) in {"FAILURE", None}


class TestExpiry:
    @pytest.mark.parametrize("expires", [0, None])
    def test_results_without_expiry_are_kept(self, make_app, expires):
        app = make_app(result_expires=expires)
        app.backend.mark_as_done("t", 1)
        assert ttl_of(app, "t") == float("inf")

    @pytest.mark.parametrize("expires", [60, 60.0, dt.timedelta(minutes=1)])
    def test_results_live_as_long_as_the_setting_says(self, make_app, expires):
        app = make_app(result_expires=expires)
        app.backend.mark_as_done("t", 1)
        assert 55 < ttl_of(app, "t") <= 60

    @pytest.mark.parametrize(
        "name", ["result_expires", "result_failure_expires", "result_chord_expires"]
    )
    def test_a_time_in_the_past_is_refused_at_the_start(self, make_app, name):
        with pytest.raises(ImproperlyConfigured, match=rf"{name} = -5 is in the past"):
            make_app(**{name: -5}).backend  # noqa: B018

    def test_an_expired_result_is_pending(self, make_app, kind):
        app = make_app(kind, result_expires=0.05)
        app.backend.mark_as_done("t", 1)
        time.sleep(0.1)
        assert app.backend.get_state("t") == states.PENDING

    def test_each_write_renews_the_ttl(self, make_app):
        app = make_app(result_expires=60)
        app.backend.mark_as_started("t")
        app.backend.expire(app.backend.get_key_for_task("t"), 1)
        app.backend.mark_as_done("t", 1)
        assert ttl_of(app, "t") > 55

    @pytest.mark.parametrize(
        ("failure", "low", "high"), [(None, 55, 60), (600, 590, 600), (0, 1e9, float("inf"))]
    )
    def test_failures_can_have_another_ttl(self, make_app, failure, low, high):
        app = make_app(result_expires=60, result_failure_expires=failure)
        app.backend.mark_as_failure("failed", Boom())
        app.backend.mark_as_done("done", 1)
        assert low <= ttl_of(app, "failed") <= high
        assert 55 < ttl_of(app, "done") <= 60

    @pytest.mark.parametrize(
        ("chord", "result", "expected"),
        [
            (None, 60, 60 + 7 * 86400),
            (600, 60, 600),
            (dt.timedelta(seconds=5), 60, 5),
            (0, 60, 30 * 86400),
            (None, None, 30 * 86400),
            (None, 0, 30 * 86400),
        ],
    )
    def test_the_keys_of_chords_always_expire(self, make_app, chord, result, expected):
        app = make_app(result_expires=result, result_chord_expires=chord)
        assert app.backend.times.chord.ttl == expected

    def test_the_tombstone_outlives_redeliveries(self, make_app):
        app = make_app(result_expires=60, broker_transport_options={"visibility_timeout": 7200})
        assert app.backend.times.chord.tombstone == 7200
        assert make_app(result_expires=60).backend.times.chord.tombstone == 3600
        assert make_app(result_expires=9000).backend.times.chord.tombstone == 9000

    def test_cleanup_removes_what_has_expired(self, make_app):
        from kvbackends.layers.layer import innermost

        app = make_app(result_expires=0.01)
        rows = innermost(app.backend.store)._space.rows
        for number in range(20):
            app.backend.mark_as_done(f"t{number}", number)
        time.sleep(0.05)
        app.backend.cleanup()
        assert not rows


class TestValuesThatCannotBeStored:
    def test_an_unencodable_value_fails_the_task_and_not_the_worker(self, app):
        result = app.tasks["unencodable"].delay()
        app.bench.run_all()
        with pytest.raises(EncodeError):
            result.get(timeout=1)

    @pytest.fixture
    def small(self, make_app):
        return make_app("small", result_extended=True)

    def test_a_value_too_large_fails_the_task_at_once(self, small):
        result = small.tasks["large"].delay(LARGEST)
        small.bench.run_all()
        assert result.state == states.FAILURE
        assert isinstance(result.result, ResultTooLarge)
        assert str(LARGEST) in str(result.result)

    def test_the_failure_of_a_value_too_large_has_no_arguments(self, small):
        result = small.tasks["echo"].delay("x" * LARGEST)
        small.bench.run_all()
        assert result.state == states.FAILURE
        assert result.args is None

    @pytest.mark.parametrize(("size", "parts"), [(100_000, 1), (10, 10_000), (5_000, 100)])
    def test_the_record_of_a_failure_always_fits(self, make_app, size, parts):
        """It does for exceptions of any size, and for each serializer."""
        for serializer in SERIALIZERS:
            app = _with_serializer(make_app, "small", serializer)
            result = app.tasks["fail_large"].delay(size, parts)
            app.bench.run_all()
            assert result.state == states.FAILURE
            assert "Boom" in repr(result.result)

    def test_a_failure_whose_text_grows_when_encoded_fits(self, small):
        small.backend.mark_as_failure("t", Boom("é" * 5000, "\x00" * 5000), "ü" * 5000)
        assert small.backend.get_state("t") == states.FAILURE

    def test_the_end_of_a_long_traceback_is_kept(self, small):
        small.backend.mark_as_failure("t", Boom("b"), "x" * LARGEST + "the last line")
        assert small.AsyncResult("t").traceback.endswith("the last line")

    def test_a_failure_with_unencodable_extended_arguments_is_stored(self, small):
        request = _request("t", args=[object()], kwargs={}, task="add")
        small.backend.mark_as_failure("t", Boom("b"), request=request)
        assert small.backend.get_state("t") == states.FAILURE

    def test_an_unready_state_that_is_too_large_raises(self, small):
        with pytest.raises(ResultTooLarge):
            small.backend.store_result("t", "x" * LARGEST, "PROGRESS")
        assert small.backend.get_state("t") == states.PENDING

    def test_a_value_that_is_split_is_stored_whole(self, make_app):
        app = make_app("small", "?chunk=1")
        value = "x" * (5 * LARGEST)
        result = app.tasks["echo"].delay(value)
        app.bench.run_all()
        store(app.backend, result.id, states.FAILURE)
        assert app.AsyncResult(result.id).get(timeout=1) == value
        result.forget()
        assert result.state == states.PENDING


class TestUnavailable:
    @pytest.fixture
    def down(self, make_app, tmp_path):
        url = new_url("memory", tmp_path, "?retry_timeout=0.05")
        wrap(url, lambda store: Faulty(store, ["before"] * 10_000))
        return make_app(url=url)

    def test_storing_ends_with_celerys_error(self, down):
        with pytest.raises(BackendStoreError):
            down.backend.mark_as_done("t", 1)

    def test_reading_ends_with_celerys_error(self, down):
        with pytest.raises(BackendGetMetaError):
            down.backend.get_state("t")

    def test_no_operation_takes_longer_than_retry_timeout(self, down):
        started = time.monotonic()
        for call in (
            lambda: down.backend.mark_as_failure("t", Boom()),
            lambda: down.backend.mark_as_revoked("t", "why"),
        ):
            with pytest.raises(BackendStoreError):
                call()
        assert time.monotonic() - started < 10

    def test_a_worker_has_more_time_than_a_client(self, make_app, tmp_path):
        """Also if its backend was opened before the process became a worker."""
        app = make_app(url=new_url("memory", tmp_path, "?client_retry_timeout=2&retry_timeout=7"))
        assert app.backend.store.seconds == 2
        celeryd_init.send(sender="worker", instance=None, conf=app.conf, options={})
        assert app.backend.store.seconds == 7
        app.use_fast_trace_task = True
        assert app._get_backend().store.seconds == 7

    def test_a_client_has_never_more_time_than_a_worker(self, make_app, tmp_path):
        url = new_url("memory", tmp_path, "?retry_timeout=1")
        assert make_app(url=url).backend.store.seconds == 1

    def test_a_wait_without_a_timeout_outlives_an_outage(self, make_app, tmp_path):
        """In which it begins."""
        url, faults = new_url("memory", tmp_path, "?retry_attempts=0"), []
        wrap(url, lambda store: faults.append(Faulty(store, [])) or faults[0])
        app = make_app(url=url)
        app.backend.mark_as_done("t", "value")
        faults[0].script = ["before"] * 3
        assert app.AsyncResult("t").get() == "value"
        assert faults[0].script == []

    def test_a_short_outage_is_not_seen(self, make_app, tmp_path):
        url = new_url("memory", tmp_path)
        wrap(url, lambda store: Faulty(store, ["before", "after", "ok"]))
        backend = make_app(url=url).backend
        backend.mark_as_done("t", 1)
        assert backend.get_result("t") == 1


def _with_serializer(make_app, kind, serializer, **conf):
    return make_app(kind, result_serializer=serializer, result_accept_content=[serializer], **conf)


def _encoded(serializer, data):
    from kombu.serialization import dumps

    payload = dumps(data, serializer)[2]
    return payload.encode() if isinstance(payload, str) else payload


def _request(task_id, **fields):
    values = {"hostname": "w@h", "retries": 0, "delivery_info": {"routing_key": "q"}, **fields}
    return Context(id=task_id, **values)


def test_facets_are_the_searchable_fields_of_a_result():
    meta = {"status": "SUCCESS", "result": 1, "date_done": "2026-01-02T03:04:05"}
    request = _request("t", task="add")
    assert facets(meta, request) == {
        "state": "SUCCESS",
        "task": "add",
        "worker": "w@h",
        "done": "2026-01-02T03:04:05",
    }
    assert facets({"status": "STARTED", "date_done": None}, None) == {"state": "STARTED"}


def test_ranks_of_states():
    assert rank_of_state("SUCCESS") is Rank.SUCCEEDED
    assert {rank_of_state(each) for each in FAILED} == {Rank.FAILED}
    assert {rank_of_state(each) for each in [*UNREADY, "ABORTED", ""]} == {Rank.UNREADY}


def test_the_json_of_a_result_can_be_read_in_other_languages(memory_app):
    memory_app.backend.mark_as_done("t", {"a": 1})
    record = json.loads(memory_app.backend.get("celery-task-meta-t"))
    assert list(record)[:2] == ["status", "result"]
    assert (record["status"], record["result"], record["task_id"]) == ("SUCCESS", {"a": 1}, "t")
