"""Waiting and joining through Celery's result classes."""

import asyncio
import gc
import itertools
import threading
import time

import pytest
from celery import states, uuid
from celery.exceptions import IncompleteStream
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import ResultSet

from kvbackends import achanges, aget
from kvbackends.backend.turns import AT_ONCE
from kvbackends.protocol import waiting
from kvbackends.stores.memory import MemorySubscription
from tests.backend.stores import counted, new_url
from tests.backend.tasks import Boom
from tests.servers.process import eventually
from tests.support.interrupter import Interrupter


def later(seconds, call, *args):
    """Do it in another thread, a little later."""
    timer = threading.Timer(seconds, call, args)
    timer.start()
    return timer


@pytest.fixture
def done(backend):
    """Stores a success for each id, whose value is the id."""

    def done(*ids):
        for task_id in ids:
            backend.mark_as_done(task_id, task_id)

    return done


class TestOne:
    def test_a_ready_result_is_returned_at_once(self, app, done):
        done("t")
        assert app.AsyncResult("t").get(timeout=0) == "t"

    def test_a_result_wakes_its_waiter_quickly(self, app, done):
        took = []
        for task_id in map(str, range(5)):
            stored = []
            later(
                0.05,
                lambda task_id=task_id, stored=stored: (
                    done(task_id),
                    stored.append(time.monotonic()),
                ),
            )
            assert app.AsyncResult(task_id).get(timeout=10) == task_id
            time.sleep(0.001)
            took.append(time.monotonic() - (stored or [time.monotonic()])[0])
        assert sorted(took)[2] < 0.25

    @pytest.mark.parametrize("timeout", [0, 0.05])
    def test_a_wait_ends_at_its_timeout(self, app, timeout):
        started = time.monotonic()
        with pytest.raises(ResultTimeout):
            app.AsyncResult("never").get(timeout=timeout)
        assert time.monotonic() - started < timeout + 5

    @pytest.mark.parametrize("timeout", [0, 1.5])
    def test_a_wait_ends_at_its_timeout_if_the_store_is_away(self, make_app, timeout):
        """The store's own retries, of 30 s, are not waited for."""
        app = make_app(url="away://")
        started = time.monotonic()
        with pytest.raises(ResultTimeout, match=r"did not answer for [01]"):
            app.AsyncResult("t").get(timeout=timeout)
        assert time.monotonic() - started < 10

    def test_a_timeout_of_none_waits(self, app, done):
        later(0.1, done, "t")
        assert app.AsyncResult("t").get() == "t"

    def test_unready_states_do_not_end_a_wait(self, app, backend, done):
        backend.mark_as_started("t")
        later(0.05, backend.mark_as_retry, "t", Boom())
        later(0.1, backend.store_result, "t", None, "PROGRESS")
        later(0.15, done, "t")
        assert app.AsyncResult("t").get(timeout=5) == "t"

    def test_errors_are_raised_or_returned(self, app, backend):
        backend.mark_as_failure("f", Boom("why"))
        with pytest.raises(Boom, match="why"):
            app.AsyncResult("f").get(timeout=1)
        assert isinstance(app.AsyncResult("f").get(timeout=1, propagate=False), Boom)

    def test_the_callback_gets_id_and_value(self, app, done):
        done("t")
        seen = []
        app.AsyncResult("t").get(timeout=1, callback=lambda *args: seen.append(args))
        assert seen == [("t", "t")]

    def test_on_message_gets_the_record_once(self, app, done):
        messages = []
        later(0.05, done, "t")
        app.AsyncResult("t").get(timeout=5, on_message=messages.append)
        assert [(each["task_id"], each["status"]) for each in messages] == [("t", "SUCCESS")]

    def test_then_fires_when_the_result_is_read(self, app, done):
        seen = []
        result = app.AsyncResult("t")
        result.then(lambda each: seen.append(each.id))
        done("t")
        assert seen == []
        app.AsyncResult("t").get(timeout=1)
        assert seen == ["t"]

    def test_then_fires_when_the_state_is_looked_up(self, app, done):
        seen = []
        result = app.AsyncResult("t")
        result.then(lambda each: seen.append(each.id))
        done("t")
        assert result.ready()
        assert seen == ["t"]

    def test_a_result_is_awaited_by_several_threads(self, app, done):
        values = []
        threads = [
            threading.Thread(target=lambda: values.append(app.AsyncResult("t").get(timeout=5)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        done("t")
        for thread in threads:
            thread.join()
        assert values == ["t"] * 8

    def test_inside_a_task_waiting_is_refused(self, app, done):
        from celery.result import denied_join_result

        done("t")
        with denied_join_result(), pytest.raises(RuntimeError, match="within a task"):
            app.AsyncResult("t").get()

    def test_wait_for_gives_the_record(self, app, backend, done):
        later(0.05, done, "t")
        assert backend.wait_for("t", timeout=5)["result"] == "t"
        with pytest.raises(ResultTimeout):
            backend.wait_for("never", timeout=0.05)

    def test_an_ignored_result_is_none_at_once(self, app):
        result = app.AsyncResult("t")
        result.ignored = True
        assert result.get() is None


class TestIntervals:
    def test_it_is_called_about_once_an_interval(self, backend):
        calls = []

        def called():
            calls.append(time.monotonic())
            if len(calls) == 4:
                raise Boom("enough")

        started = time.monotonic()
        with pytest.raises(Boom, match="enough"):
            backend.wait_for("never", timeout=30, interval=0.1, on_interval=called)
        assert 0.28 < calls[-1] - started < 10

    def test_it_is_not_called_for_a_ready_result(self, backend, done):
        done("t")
        backend.wait_for("t", timeout=1, on_interval=lambda: pytest.fail("called"))

    def test_what_it_raises_ends_the_wait(self, backend):
        def stop():
            raise Boom("enough")

        with pytest.raises(Boom, match="enough"):
            backend.wait_for("never", timeout=5, interval=0.01, on_interval=stop)

    def test_a_set_calls_it_too(self, app, done):
        results = app.GroupResult("g", [app.AsyncResult("a")])
        assert results.get(timeout=30, interval=0.05, on_interval=lambda: done("a")) == ["a"]


class TestParents:
    def test_a_parents_error_wins_over_the_results_own(self, app, backend):
        parent = app.AsyncResult("p")
        backend.mark_as_failure("p", Boom("parent"))
        backend.mark_as_failure("t", Boom("own"))
        with pytest.raises(Boom, match="parent"):
            app.AsyncResult("t", parent=parent).get(timeout=1)

    def test_a_parents_error_that_comes_while_waiting_wins(self, app, backend):
        parent = app.AsyncResult("p")
        later(0.05, backend.mark_as_failure, "p", Boom("parent"))
        with pytest.raises(Boom, match="parent"):
            app.AsyncResult("t", parent=parent).get(timeout=5, interval=0.02)

    def test_a_parents_error_wins_that_is_stored_just_before(self, app, backend):
        """Celery asks once an interval; we ask once more before a failure is returned."""
        parent = app.AsyncResult("p")

        def fail():
            backend.mark_as_failure("p", Boom("parent"))
            backend.mark_as_failure("t", Boom("own"))

        later(0.05, fail)
        with pytest.raises(Boom, match="parent"):
            app.AsyncResult("t", parent=parent).get(timeout=5, interval=5)

    def test_parents_need_not_be_followed(self, app, backend, done):
        backend.mark_as_failure("p", Boom("parent"))
        done("t")
        result = app.AsyncResult("t", parent=app.AsyncResult("p"))
        assert result.get(timeout=1, follow_parents=False) == "t"

    def test_a_group_of_parents_is_followed(self, app, backend):
        header = app.GroupResult("h", [app.AsyncResult("a"), app.AsyncResult("b")])
        later(0.05, backend.mark_as_failure, "b", Boom("header"))
        with pytest.raises(Boom, match="header"):
            app.AsyncResult("t", parent=header).get(timeout=5, interval=0.02)


class TestSets:
    @pytest.fixture
    def group(self, app):
        def group(*ids):
            return app.GroupResult(uuid(), [app.AsyncResult(each) for each in ids])

        return group

    @pytest.mark.parametrize("how", ["get", "join", "join_native"])
    def test_values_in_order(self, group, done, how):
        done("b", "a")
        later(0.05, done, "c")
        assert getattr(group("a", "b", "c"), how)(timeout=5) == ["a", "b", "c"]

    @pytest.mark.parametrize("how", ["get", "join", "join_native"])
    def test_none_is_none(self, group, how):
        assert getattr(group(), how)(timeout=1) == []

    @pytest.mark.parametrize("how", ["get", "join", "join_native"])
    def test_a_timeout_ends_it(self, group, done, how):
        done("a")
        with pytest.raises(ResultTimeout):
            getattr(group("a", "never"), how)(timeout=0.05)

    @pytest.mark.parametrize("how", ["get", "join_native"])
    def test_a_timeout_of_zero_looks_once(self, group, done, how):
        done("a")
        assert getattr(group("a"), how)(timeout=0) == ["a"]
        with pytest.raises(ResultTimeout):
            getattr(group("a", "never"), how)(timeout=0)

    def test_an_error_is_raised_or_returned(self, group, done, backend):
        done("a")
        backend.mark_as_failure("f", Boom("why"))
        with pytest.raises(Boom):
            group("a", "f").get(timeout=1)
        first, second = group("a", "f").get(timeout=1, propagate=False)
        assert first == "a"
        assert isinstance(second, Boom)

    def test_the_callback_gets_every_member(self, group, done):
        done("a", "b")
        seen = []
        group("a", "b").get(timeout=1, callback=lambda *args: seen.append(args))
        assert sorted(seen) == [("a", "a"), ("b", "b")]

    def test_on_message_gets_every_record_once(self, group, done):
        done("a")
        later(0.05, done, "b")
        messages = []
        group("a", "b").get(timeout=5, on_message=messages.append)
        assert sorted(each["result"] for each in messages) == ["a", "b"]

    def test_members_are_yielded_as_they_become_ready(self, group, done):
        done("b")
        found = group("a", "b").iter_native(timeout=5)
        assert next(found)[0] == "b"
        done("a")
        assert next(found)[0] == "a"
        assert list(found) == []

    def test_the_same_id_twice(self, group, done):
        """`join_native` is Celery's own code and fills the last place only."""
        done("a", "b")
        assert group("a", "b", "a").join(timeout=1) == ["a", "b", "a"]
        assert group("a", "b", "a").join_native(timeout=1)[1:] == ["b", "a"]

    def test_a_nested_set_is_joined_when_all_its_leaves_are_there(self, app, group, done):
        inner = group("b", "c")
        outer = app.GroupResult("o", [app.AsyncResult("a"), inner, app.AsyncResult("d")])
        done("a", "b")
        found = outer.iter_native(timeout=5)
        assert next(found)[0] == "a"
        later(0.05, done, "c")
        later(0.1, done, "d")
        task_id, value = next(found)
        assert (task_id, value) == (inner.id, inner.results)
        assert next(found)[0] == "d"
        assert outer.get(timeout=5) == ["a", ["b", "c"], "d"]

    def test_a_nested_set_that_is_empty(self, app, group, done):
        done("a")
        outer = app.GroupResult("o", [group(), app.AsyncResult("a"), group()])
        assert outer.get(timeout=1) == [[], "a", []]

    def test_a_set_of_nothing_but_empty_sets(self, app, group):
        assert app.GroupResult("o", [group(), group()]).get(timeout=1) == [[], []]

    def test_a_member_of_two_sets(self, app, group, done):
        done("a", "b")
        outer = app.GroupResult("o", [app.AsyncResult("a"), group("a", "b")])
        assert outer.get(timeout=1) == ["a", ["a", "b"]]

    def test_then_fires_when_all_are_ready(self, group, done):
        seen = []
        result = group("a", "b")
        result.then(lambda _: seen.append(1))
        done("a", "b")
        result.get(timeout=1)
        assert seen == [1]

    def test_states_of_a_set(self, group, done, backend):
        done("a")
        result = group("a", "b")
        assert (result.ready(), result.waiting(), result.completed_count()) == (False, True, 1)
        backend.mark_as_failure("b", Boom())
        assert (result.ready(), result.failed(), result.successful()) == (True, True, False)

    def test_a_plain_result_set(self, app, done):
        done("a", "b")
        assert ResultSet([app.AsyncResult("a"), app.AsyncResult("b")]).get(timeout=1) == ["a", "b"]

    def test_it_is_forgotten(self, group, done, backend):
        done("a", "b")
        group("a", "b").forget()
        assert backend.get_state("a") == states.PENDING


class TestGetMany:
    def test_one_iteration_never_sleeps(self, backend, done):
        done("a")

        def seconds():
            started = time.monotonic()
            assert list(dict(backend.get_many(["a", "never"], max_iterations=1))) == ["a"]
            return time.monotonic() - started

        assert min(seconds() for _ in range(3)) < 0.45  # the machine may stand still in one

    def test_one_iteration_for_a_set(self, app, done):
        done("a")
        results = app.GroupResult("g", [app.AsyncResult("a"), app.AsyncResult("never")])
        assert [each["result"] for each in results._iter_meta()] == ["a"]

    def test_bytes_and_strings(self, backend, done):
        done("a")
        assert [each for each, _ in backend.get_many([b"a"], timeout=1)] == ["a"]

    def test_none_at_all(self, backend):
        assert list(backend.get_many([], timeout=1)) == []

    def test_a_timeout(self, backend):
        with pytest.raises(ResultTimeout):
            list(backend.get_many({"never"}, timeout=0.05))

    def test_duplicates_are_yielded_once(self, backend, done):
        done("a")
        assert len(list(backend.get_many(["a", "a"], timeout=1))) == 1


class TestTrees:
    """`collect`, `get_leaf`, `iterdeps` and children, over what tasks returned."""

    @pytest.fixture
    def tree(self, app, backend):
        from celery.app.task import Context

        child = app.AsyncResult("child")
        request = Context(id="root")
        request.children.append(child)
        backend.mark_as_done("root", child, request=request)
        return app.AsyncResult("root")

    def test_children(self, tree):
        assert [each.id for each in tree.children] == ["child"]

    def test_an_unfinished_tree(self, tree):
        with pytest.raises(IncompleteStream):
            list(tree.iterdeps())
        assert len(list(tree.iterdeps(intermediate=True))) == 2

    def test_a_finished_tree(self, tree, done):
        done("child")
        assert [node.id for _, node in tree.iterdeps()] == ["root", "child"]
        assert [(r.id, v) for r, v in tree.collect() if not r.children] == [("child", "child")]
        assert tree.get_leaf() == "child"

    def test_a_graph(self, tree, done):
        done("child")
        assert len(tree.graph) == 2


class TestRegistry:
    def test_it_forgets_results_that_are_gone(self, app, backend):
        for number in range(1000):
            app.AsyncResult(str(number)).then(lambda _: None)
        gc.collect()
        assert len(backend._pending_results.weak) == 0

    def test_it_forgets_results_that_were_waited_for(self, app, backend, done):
        done(*map(str, range(100)))
        group = app.GroupResult("g", [app.AsyncResult(str(n)) for n in range(100)])
        group.get(timeout=5)
        del group
        gc.collect()
        assert len(backend._pending_results.weak) == 0

    def test_several_results_of_one_id_learn_of_it(self, app, done):
        results = [app.AsyncResult("t") for _ in range(3)]
        for each in results:
            app.backend.add_pending_result(each)
        done("t")
        results[0].get(timeout=1)
        assert [each._cache is not None for each in results] == [True] * 3

    def test_a_finaliser_in_the_middle_is_borne(self, app, backend):
        """The collector may run `__del__` anywhere, also for unknown ids."""
        result = app.AsyncResult("t")
        backend.remove_pending_result(result)
        backend.add_pending_result(result)
        other = app.AsyncResult("t")
        backend.add_pending_result(other)
        del other
        gc.collect()
        assert len(backend._pending_results.weak["t"]) == 1

    def test_nothing_is_left_after_many_waits(self, memory_app):
        app = memory_app
        before = threading.active_count()
        for number in range(300):
            app.backend.mark_as_done(str(number), number)
            assert app.AsyncResult(str(number)).get(timeout=1) == number
        gc.collect()
        assert threading.active_count() <= before
        assert not app.backend._pending_results.weak

    def test_the_background_thread_ends(self, memory_app):
        with pytest.raises(ResultTimeout):
            memory_app.AsyncResult("never").get(timeout=0.01)
        deadline = time.monotonic() + 10
        while any(each.name == "kvbackends-waiting" for each in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.05)


class TestReads:
    """How often a wait reads the store."""

    def test_a_wait_reads_ever_less_often(self, make_app, tmp_path):
        url = new_url("five", tmp_path)
        counter = counted(url)
        app = make_app(url=url)

        def wait():
            with pytest.raises(ResultTimeout):
                app.AsyncResult("never").get(timeout=1)

        assert app.backend.store
        assert counter.spent(wait) <= 40

    def test_an_interval_of_zero_does_not_read_without_pause(self, make_app, tmp_path):
        url = new_url("memory", tmp_path)
        counter = counted(url)
        app = make_app(url=url)
        assert app.backend.store

        def wait():
            with pytest.raises(ResultTimeout):
                app.AsyncResult("t", parent=app.AsyncResult("p")).get(timeout=0.3, interval=0)

        assert counter.spent(wait) <= 400


class Steps:
    """Stores the next record of a task when the one before was seen."""

    def __init__(self, backend, task_id="t"):
        self.backend = backend
        self.task_id = task_id
        self.seen = []
        self.left = iter([("PROGRESS", 1), ("PROGRESS", 2), ("SUCCESS", "done")])

    def begin(self):
        self.backend.store_result(self.task_id, None, "STARTED")

    def next(self, meta):
        if meta["task_id"] == self.task_id:
            self.seen.append((meta["status"], meta["result"]))
            for state, result in itertools.islice(self.left, 1):
                self.backend.store_result(self.task_id, result, state)


ALL = [("STARTED", None), ("PROGRESS", 1), ("PROGRESS", 2), ("SUCCESS", "done")]


class TestChanges:
    """Each change of state that a read finds is handed over, also where nothing is pushed."""

    @pytest.mark.parametrize("seconds", [0, 0.05])
    def test_on_message_gets_every_change(self, app, backend, seconds):
        """Also the record that was there before the wait began."""
        steps = Steps(backend)
        later(seconds, steps.begin)
        assert app.AsyncResult("t").get(timeout=10, on_message=steps.next) == "done"
        assert steps.seen == ALL

    def test_of_every_member_of_a_set(self, app, backend):
        both = [Steps(backend, task_id) for task_id in "ab"]

        def told(meta):
            for each in both:
                each.next(meta)

        for each in both:
            each.begin()
        results = ResultSet([app.AsyncResult(each.task_id) for each in both], app=app)
        assert results.get(timeout=10, on_message=told) == ["done", "done"]
        assert [each.seen for each in both] == [ALL, ALL]

    def test_other_waits_get_final_records_only(self, app, backend):
        """Two waits for one task, in one process: only one of them is curious."""
        steps, other = Steps(backend), []
        thread = threading.Thread(target=lambda: other.append(app.AsyncResult("t").get(timeout=10)))
        thread.start()
        later(0.05, steps.begin)
        app.AsyncResult("t").get(timeout=10, on_message=steps.next)
        thread.join()
        assert (other, steps.seen) == (["done"], ALL)

    def test_changes_under_asyncio(self, app, backend):
        """`achanges` yields the same records, and ends with the last final one."""
        steps = Steps(backend)
        later(0.05, steps.begin)

        async def main():
            async for meta in achanges(app.AsyncResult("t"), timeout=10):
                steps.next(meta)
            with pytest.raises(ResultTimeout):
                async for _ in achanges(app.AsyncResult("never"), timeout=0.05):
                    pass

        asyncio.run(main())
        assert steps.seen == ALL


class TestAsyncio:
    def test_one_and_a_set(self, app, done):
        done("a")
        later(0.05, done, "b")

        async def main():
            one = await aget(app.AsyncResult("a"), timeout=5)
            two = await aget(app.GroupResult("g", [app.AsyncResult("a"), app.AsyncResult("b")]), 5)
            return one, two

        assert asyncio.run(main()) == ("a", ["a", "b"])

    def test_errors_and_timeouts(self, app, backend):
        backend.mark_as_failure("f", Boom("why"))

        async def main():
            with pytest.raises(Boom):
                await aget(app.AsyncResult("f"), timeout=1)
            assert isinstance(await aget(app.AsyncResult("f"), propagate=False), Boom)
            for timeout in (0, 0.05):
                with pytest.raises(ResultTimeout):
                    await aget(app.AsyncResult("never"), timeout=timeout)

        asyncio.run(main())

    def test_an_ignored_member_is_none(self, app, done):
        done("a")
        ignored = app.AsyncResult("ignored")
        ignored.ignored = True
        results = app.GroupResult("g", [app.AsyncResult("a"), ignored])

        async def main():
            return await asyncio.wait_for(aget(results, timeout=2), 10)

        assert asyncio.run(main()) == ["a", None]
        assert results.get(timeout=2) == ["a", None]

    @pytest.mark.parametrize("seconds", [0, 0.1])
    def test_a_parents_error_is_raised(self, app, backend, seconds):
        later(seconds, backend.mark_as_failure, "p", Boom("parent"))
        result = app.AsyncResult("t", parent=app.AsyncResult("p"))

        async def main():
            with pytest.raises(Boom, match="parent"):
                await aget(result, timeout=10)

        asyncio.run(main())

    def test_many_at_once(self, app, done):
        async def main():
            waits = [aget(app.AsyncResult(str(n)), timeout=10) for n in range(50)]
            later(0.05, done, *map(str, range(50)))
            return await asyncio.gather(*waits)

        assert asyncio.run(main()) == list(map(str, range(50)))

    def test_many_that_begin_together_share_reads_and_leave_the_loop_to_others(
        self, memory_app, monkeypatch
    ):
        backend, ids = memory_app.backend, list(map(str, range(500)))
        reads, opened, steps, woken = [], [], [], []
        wake = MemorySubscription.wake
        monkeypatch.setattr(
            MemorySubscription, "wake", lambda self: (woken.append(self), wake(self))[1]
        )
        get_many, wait_for = backend.get_many, backend.waiters().wait_for
        monkeypatch.setattr(
            backend, "get_many", lambda ids, **more: (reads.append(ids), get_many(ids, **more))[1]
        )
        monkeypatch.setattr(
            backend.waiters(), "wait_for", lambda *args: (opened.append(args), wait_for(*args))[1]
        )

        async def main():
            first = asyncio.create_task(aget(memory_app.AsyncResult("first"), 60))
            # The others find one to wake.
            assert await asyncio.to_thread(eventually, lambda: backend.waiters()._lead.leader)
            opened.clear()
            waits = [asyncio.create_task(aget(memory_app.AsyncResult(each), 60)) for each in ids]
            while len(opened) < len(ids):
                before = len(opened)
                await asyncio.sleep(0)
                steps.append(len(opened) - before)
            begun = len(woken)
            backend.mark_as_done("first", "first")
            assert await first == "first"
            for each in ids:
                backend.mark_as_done(each, each)
            assert await asyncio.gather(*waits) == ids
            return begun

        assert asyncio.run(main()) <= len(ids) / 2  # one wakes the leader for many
        assert len(reads) <= 2 * len(ids) / AT_ONCE
        assert max(steps) <= len(ids) / 2  # not all in one, as many as a busy machine wakes

    def test_a_loop_that_was_closed_with_a_wait_in_it_harms_nobody(self, memory_app):
        """The thread that leads for all waits of the process calls it."""
        mark_as_done = memory_app.backend.mark_as_done
        loop = asyncio.new_event_loop()
        left = aget(memory_app.GroupResult("g", [memory_app.AsyncResult(each) for each in "ab"]))
        task = loop.create_task(left)
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()
        later(0.1, mark_as_done, "a", None)
        later(0.3, mark_as_done, "c", "done")
        assert memory_app.AsyncResult("c").get(timeout=10) == "done"
        later(0.1, mark_as_done, "d", "done")
        assert memory_app.AsyncResult("d").get(timeout=10) == "done"
        left.close()  # else it is waited for until Python collects it
        task._log_destroy_pending = False  # it is what this is about


class TestBrokenOff:
    """A wait that ends with an exception harms no later one."""

    def test_where_no_thread_is_to_be_had(self, memory_app, monkeypatch):
        def refuse(_):
            raise RuntimeError("no more threads")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="no more"):
                memory_app.AsyncResult("never").get(timeout=10)
        later(0.1, memory_app.backend.mark_as_done, "t", "done")
        assert memory_app.AsyncResult("t").get(timeout=10) == "done"

    def test_by_a_signal_at_any_moment(self, memory_app, monkeypatch):
        """Nothing is left open, for which the thread would stay and others would not listen."""
        monkeypatch.setattr(waiting, "LINGER", 0.01)
        backend, every = memory_app.backend, []
        backend.mark_as_done("done", 1)

        def next_one(answers):
            with every[-1].wait_for([backend.key_of("done")]) as wait:
                answers.extend(wait.take(10))

        files = ("waiting.py", "leader.py", "waits.py", "process.py", "threading.py")
        for at in itertools.count(1):
            backend._prepare_waits()
            every.append(backend.waiters())
            interrupter = Interrupter(at, files)
            with interrupter.striking(), pytest.raises(ResultTimeout):
                backend.wait_for("never", timeout=0.02)
            if not interrupter.where:
                break
            answers = []
            thread = threading.Thread(target=next_one, args=[answers], daemon=True)
            thread.start()
            thread.join(15)
            assert answers, interrupter.where
        until = time.monotonic() + 10
        while left := [number for number, each in enumerate(every, 1) if each._standby]:
            assert time.monotonic() < until, left
            time.sleep(0.01)
