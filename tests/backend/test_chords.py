"""Chords from their start to their body, and each way of a header task's end."""

import contextlib
import itertools

import pytest
from celery import chain, chord, group, states
from celery.app.task import Context
from celery.exceptions import (
    ChordError,
    Reject,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    WorkerLostError,
)

from kvbackends import StoreUnavailable
from kvbackends.backend import payload
from tests.backend.stores import LARGEST, new_url, wrap
from tests.backend.tasks import Boom
from tests.support.layers import Broken, Wrapped

QUICK = {
    "result_chord_join_timeout": 0,
    "task_publish_retry": False,
    "broker_connection_timeout": 0,
}
"""With these a lease is as short as the URL says."""


def bodies(app, name="remember"):
    """How often the body was sent."""
    return app.bench.names().count(name)


def context(message):
    """The request of a message as the worker's main process sees it."""
    return Context(message.request, args=message.args, kwargs=message.kwargs)


class TestWholeChords:
    def test_the_body_gets_the_values_in_header_order(self, app):
        add, total = app.tasks["echo"], app.tasks["echo"]
        result = chord([add.s(n) for n in range(5)], app=app)(total.s())
        app.bench.queue.reverse()
        app.bench.run_all()
        assert result.get(timeout=1) == [0, 1, 2, 3, 4]

    def test_every_order_of_arrival_completes_it_once(self, memory_app):
        app = memory_app
        for order in itertools.permutations(range(3)):
            app.bench.sent.clear()
            result = chord([app.tasks["echo"].s(n) for n in range(3)])(app.tasks["echo"].s())
            parts = [app.bench.take() for _ in range(3)]
            for position, place in enumerate(order):
                assert len(app.bench.sent) == 3, f"early, after {position} parts"
                app.bench.run(parts[place])
            assert len(app.bench.sent) == 4
            app.bench.run_all()
            assert result.get(timeout=1) == [0, 1, 2]

    def test_a_header_of_one_and_of_none(self, app):
        echo = app.tasks["echo"]
        one = chord([echo.s(1)], app=app)(echo.s())
        none = chord([], app=app)(echo.s())
        app.bench.run_all()
        assert one.get(timeout=1) == [1]
        assert none.get(timeout=1) == []

    def test_a_redelivered_part_changes_nothing(self, app):
        """Whether it comes again before, in the middle or after the end."""
        chord([app.tasks["echo"].s(n) for n in range(3)], app=app)(app.tasks["remember"].s())
        first, second, third = (app.bench.take() for _ in range(3))
        for message in (first, first, second, first, second, third):
            app.bench.run(message)
        app.bench.run_all()
        for message in (first, second, third):
            app.bench.run(message, redelivered=True)
        app.bench.run_all()
        assert app.remembered == [([0, 1, 2],)]

    def test_a_result_of_the_header_can_be_read(self, app):
        result = chord([app.tasks["echo"].s(n) for n in range(3)], app=app)(app.tasks["echo"].s())
        app.bench.run_all()
        assert result.parent.get(timeout=1) == [0, 1, 2]

    def test_the_completing_result_is_stored_after_the_body_was_sent(self, app, monkeypatch):
        chord([app.tasks["echo"].s(1)], app=app)(app.tasks["remember"].s())
        part = app.bench.take()
        seen = []
        take = app.amqp.send_task_message

        def sending(*args, **kwargs):
            seen.append(app.backend.get_state(part.id))
            take(*args, **kwargs)

        app.amqp.send_task_message = sending
        app.bench.run(part)
        assert seen == [states.PENDING]
        assert app.backend.get_state(part.id) == states.SUCCESS

    def test_a_state_set_by_hand_is_not_an_arrival(self, app):
        """`update_state(SUCCESS)` inside a header task is not the task's end."""
        early = []
        app.during = lambda _id: early.append(bodies(app))
        chord([app.tasks["updates"].s(states.SUCCESS, 7)], app=app)(app.tasks["remember"].s())
        app.bench.run_all()
        assert early == [0]
        assert app.remembered == [([7],)]

    def test_ignored_results_arrive(self, app):
        result = chord([app.tasks["quiet"].s(n) for n in range(3)], app=app)(app.tasks["echo"].s())
        messages = list(app.bench.queue)
        app.bench.run_all()
        assert result.get(timeout=1) == [0, 1, 2]
        assert not any(app.backend.task_result_exists(each.id) for each in messages)

    def test_a_retried_part_arrives_once_it_has_succeeded(self, app):
        result = chord([app.tasks["retried"].s(1), app.tasks["echo"].s(2)], app=app)(
            app.tasks["echo"].s()
        )
        app.bench.run_all()
        assert result.get(timeout=1) == [1, 2]

    def test_a_chord_is_applied_again_from_the_beginning(self, app):
        """The same frozen chord: parts of the first run do not count for the second."""
        header = group([app.tasks["echo"].s(n) for n in range(2)], app=app)
        frozen = chord(header, app.tasks["remember"].s(), app=app)
        frozen.freeze()
        for _ in range(2):
            frozen.apply_async()
            parts = [app.bench.take("echo") for _ in range(2)]
            app.bench.run(parts[0])
            before = bodies(app)
            app.bench.run(parts[1])
            assert bodies(app) == before + 1
            app.bench.run_all()
        assert [values for (values,) in app.remembered] == [[0, 1], [0, 1]]


class TestRepeatedApplications:
    """A chain's task is delivered again after it has applied the chord that follows it."""

    @pytest.fixture
    def first(self, app):
        """The message of a task that a chord follows, delivered once."""
        header = group([app.tasks["echo"].s(), app.tasks["echo"].s()], app=app)
        (app.tasks["echo"].s(1) | header | app.tasks["remember"].s()).apply_async()
        message = app.bench.take("echo")
        app.bench.run(message)
        return message

    def test_before_any_part_has_returned(self, app, first):
        app.bench.run(first, redelivered=True)
        app.bench.run_all()
        assert app.remembered == [([1, 1],)]

    def test_while_the_chord_runs(self, app, first):
        """The part that has returned still counts."""
        app.bench.run(app.bench.take("echo"))
        app.bench.run(first, redelivered=True)
        app.bench.run(app.bench.take("echo"))
        app.bench.run_all()
        assert app.remembered == [([1, 1],)]

    def test_after_the_body_was_published(self, app, first):
        app.bench.run_all()
        app.bench.run(first, redelivered=True)
        app.bench.run_all()
        assert app.remembered == [([1, 1],)]

    def test_a_new_message_is_a_new_application(self, app, first):
        """It may be the user who applies a frozen chain again."""
        app.bench.run_all()
        app.bench.run(first)
        app.bench.run_all()
        assert app.remembered == [([1, 1],)] * 2


class TestHeaders:
    """Headers each of which breaks a simpler design."""

    @pytest.fixture
    def run(self, app):
        def run(header, body=None):
            echo = app.tasks["echo"]
            result = chord(header(echo.s, app), app=app)(body or echo.s())
            app.bench.run_all()
            return result

        return run

    def test_a_chain_that_ends_in_a_group(self, run):
        result = run(
            lambda s, _: [s("a"), chain(s("b"), group(s(), s(), s())), s("f")],
        )
        assert result.get(timeout=1) == ["a", ["b", "b", "b"], "f"]

    def test_a_group_in_a_header_is_flat(self, run):
        result = run(lambda s, _: [s(1), group(s(2), s(3)), s(4)])
        assert sorted(result.get(timeout=1)) == [1, 2, 3, 4]

    def test_a_chord_in_a_header(self, run):
        result = run(lambda s, _: [s(1), chord([s(2), s(3)], s()), s(4)])
        assert result.get(timeout=1) == [1, [2, 3], 4]

    def test_a_chord_as_the_end_of_a_chain_in_a_header(self, run):
        result = run(lambda s, _: [chain(s(1), group(s(), s()), s()), s(4)])
        assert result.get(timeout=1) == [[1, 1], 4]

    def test_the_same_frozen_signature_twice(self, run):
        def header(s, _):
            signature = s(1)
            signature.freeze()
            return [signature, signature, s(2)]

        assert run(header).get(timeout=1) == [1, 1, 2]

    def test_a_generator(self, run):
        assert run(lambda s, _: (s(n) for n in range(4))).get(timeout=1) == [0, 1, 2, 3]

    def test_a_body_that_is_a_group(self, app, run):
        echo = app.tasks["echo"]
        result = run(lambda s, _: [s(1), s(2)], group(echo.s(), echo.s()))
        assert result.get(timeout=1) == [[1, 2], [1, 2]]

    def test_a_body_that_is_a_chain(self, app, run):
        echo = app.tasks["echo"]
        assert run(lambda s, _: [s(1)], chain(echo.s(), echo.s())).get(timeout=1) == [1]

    def test_a_part_that_is_replaced(self, run):
        result = run(lambda s, app: [s(1), app.tasks["replaced"].s(2), s(3)])
        assert result.get(timeout=1) == [1, 2, 3]

    def test_parts_that_are_added_stand_behind_their_adder(self, run):
        """Among themselves they follow their ids."""
        result = run(lambda s, app: [app.tasks["grows"].s(0, 2), s(10)])
        first, *added, last = result.get(timeout=1)
        assert (first, sorted(added), last) == (0, [1, 2], 10)

    def test_many_parts(self, make_app):
        app = make_app("five")
        result = chord([app.tasks["echo"].s(n) for n in range(300)])(app.tasks["total"].s())
        app.bench.run_all()
        assert result.get(timeout=1) == sum(range(300))


class TestAddedParts:
    def test_a_second_run_of_the_adder_fills_the_same_slots(self, app):
        chord([app.tasks["grows"].s(0, 2), app.tasks["echo"].s(9)], app=app)(
            app.tasks["remember"].s()
        )
        adder = app.bench.take("grows")
        app.bench.run(adder)
        app.bench.run(adder, redelivered=True)
        assert app.bench.names().count("echo") == 5
        app.bench.run_all()
        [([first, *added, last],)] = app.remembered
        assert (first, sorted(added), last) == (0, [1, 2], 9)

    def test_the_added_parts_of_either_run_do(self, app):
        chord([app.tasks["grows"].s(0, 2)], app=app)(app.tasks["remember"].s())
        adder = app.bench.take("grows")
        app.bench.run(adder)
        first = [app.bench.take("echo") for _ in range(2)]
        app.bench.run(adder)
        second = [app.bench.take("echo") for _ in range(2)]
        app.bench.run(first[0])
        app.bench.run(second[0])
        assert bodies(app) == 0
        app.bench.run(second[1])
        assert bodies(app) == 1
        app.bench.run(first[1])
        app.bench.run_all()
        [(values,)] = app.remembered
        assert sorted(values) == [0, 1, 2]

    def test_it_needs_a_chord(self, app):
        app.tasks["grows"].delay(0, 1)
        message = app.bench.take("grows")
        app.bench.run(message)
        assert isinstance(app.AsyncResult(message.id).result, ValueError)


class TestFailures:
    def test_the_first_failed_part_in_header_order_is_named(self, app):
        header = [app.tasks["echo"].s(1), app.tasks["fail"].s(), app.tasks["fail"].s()]
        result = chord(header, app=app)(app.tasks["echo"].s())
        failed = list(app.bench.queue)[1]
        app.bench.queue.reverse()
        app.bench.run_all()
        with pytest.raises(ChordError) as caught:
            result.get(timeout=1, follow_parents=False)
        assert failed.id in str(caught.value)
        assert "boom" in str(caught.value)
        assert bodies(app, "echo") == 1

    def test_the_parents_own_error_wins(self, app):
        result = chord([app.tasks["fail"].s(), app.tasks["echo"].s(1)], app=app)(
            app.tasks["echo"].s()
        )
        app.bench.run_all()
        with pytest.raises(Boom):
            result.get(timeout=1)

    def test_the_chord_fails_only_when_all_parts_are_in(self, app):
        result = chord([app.tasks["fail"].s(), app.tasks["echo"].s(1)], app=app)(
            app.tasks["echo"].s()
        )
        app.bench.run(app.bench.take("fail"))
        assert result.state == states.PENDING
        app.bench.run_all()
        assert result.state == states.FAILURE

    def test_errbacks_of_the_body_are_called(self, app):
        errback = app.tasks["remember"].s("errback")
        body = app.tasks["echo"].s().on_error(errback)
        result = chord([app.tasks["fail"].s()], app=app)(body)
        app.bench.run_all()
        assert len(app.remembered) == 1
        assert result.state == states.FAILURE

    @pytest.mark.parametrize(
        "shape",
        [
            lambda echo, last: chord([echo.si(1)], last),
            lambda echo, last: chord([echo.si(1)], chord([echo.si(1)], last)),
            lambda echo, last: chain(group(echo.si(1), echo.si(2)), last),
        ],
        ids=["chord", "chord in chord", "group first"],
    )
    @pytest.mark.filterwarnings("ignore:task_allow_error_cb_on_chord_header")
    @pytest.mark.parametrize("linked", ["whole", "last"])
    def test_errbacks_of_a_body_with_a_chord_are_called(self, app, shape, linked):
        """Also where the body is itself a chord, or begins with a group; each once."""
        echo, errback = app.tasks["echo"], app.tasks["remember"].s("errback")
        last = echo.s()
        body = shape(echo, last.on_error(errback) if linked == "last" else last)
        result = chord([app.tasks["fail"].s()], app=app)(
            body.on_error(errback) if linked == "whole" else body
        )
        app.bench.run_all()
        assert len(app.remembered) == 1
        with pytest.raises((ChordError, Boom)):
            result.get(timeout=1)

    def test_a_failing_part_that_comes_again_changes_nothing(self, app):
        result = chord([app.tasks["fail"].s(), app.tasks["echo"].s(1)], app=app)(
            app.tasks["echo"].s()
        )
        failing = app.bench.take("fail")
        app.bench.run(failing)
        app.bench.run(failing)
        assert result.state == states.PENDING
        app.bench.run_all()
        app.bench.run(failing)
        assert result.state == states.FAILURE

    def test_an_ignored_failure_arrives(self, app):
        app.tasks["fail"].ignore_result = True
        result = chord([app.tasks["fail"].s(), app.tasks["echo"].s(1)], app=app)(
            app.tasks["echo"].s()
        )
        app.bench.run_all()
        with pytest.raises(ChordError):
            result.get(timeout=1)

    def test_an_unencodable_part_fails_the_chord(self, app):
        result = chord([app.tasks["unencodable"].s(), app.tasks["echo"].s(1)], app=app)(
            app.tasks["echo"].s()
        )
        app.bench.run_all()
        assert result.state == states.FAILURE

    @pytest.mark.parametrize("ignored", [False, True])
    def test_an_unencodable_or_too_large_part_arrives_as_a_failure(self, make_app, ignored):
        app = make_app("small")
        for name in ("large", "fail_large", "unencodable"):
            app.tasks[name].ignore_result = ignored
        for size, name in itertools.product((LARGEST,), ("large", "fail_large", "unencodable")):
            result = chord([app.tasks[name].s(size), app.tasks["echo"].s(1)])(app.tasks["echo"].s())
            app.bench.run_all()
            assert result.state == states.FAILURE

    def test_a_revoked_part_fails_the_chord(self, app):
        result = chord([app.tasks["echo"].s(1), app.tasks["echo"].s(2)], app=app)(
            app.tasks["echo"].s()
        )
        revoked = app.bench.take()
        app.backend.mark_as_revoked(revoked.id, "revoked", context(revoked), True)
        app.bench.run_all()
        with pytest.raises(ChordError) as caught:
            result.get(timeout=1, follow_parents=False)
        assert "TaskRevokedError" in str(caught.value)
        assert isinstance(app.AsyncResult(revoked.id).result, TaskRevokedError)

    def test_a_body_that_cannot_be_sent_fails(self, app):
        result = chord([app.tasks["echo"].s(1)], app=app)(app.tasks["remember"].s())
        part = app.bench.take()

        def refuse(*_, **__):
            raise ValueError("no broker")

        app.amqp.send_task_message = refuse
        app.bench.run(part)
        assert app.backend.get_state(part.id) == states.SUCCESS
        with pytest.raises(ChordError, match="no broker"):
            result.get(timeout=1)

    def test_a_chain_that_fails_before_its_group(self, app):
        """One failure for three parts: the chord does not wait for those that never run."""
        echo, fail = app.tasks["echo"], app.tasks["fail"]
        result = chord([echo.s(1), chain(fail.s(), group(echo.s(), echo.s(), echo.s()))], app=app)(
            echo.s()
        )
        app.bench.run_all()
        with pytest.raises(ChordError):
            result.get(timeout=1, follow_parents=False)

    def test_a_chain_that_fails_again_before_its_group(self, app):
        echo, fail = app.tasks["echo"], app.tasks["fail"]
        result = chord([echo.s(1), chain(fail.s(), group(echo.s(), echo.s()))], app=app)(echo.s())
        failing = app.bench.take("fail")
        app.bench.run(failing)
        app.bench.run(failing)
        assert result.state == states.PENDING
        app.bench.run_all()
        assert result.state == states.FAILURE

    def test_a_chain_that_fails_before_its_chord(self, app):
        echo, fail = app.tasks["echo"], app.tasks["fail"]
        inner = chain(fail.s(), chord([echo.s(), echo.s()], echo.s()))
        result = chord([inner, echo.s(1)], app=app)(echo.s())
        app.bench.run_all()
        assert result.state == states.FAILURE

    def test_a_failing_chord_inside_a_header(self, app):
        echo, fail = app.tasks["echo"], app.tasks["fail"]
        result = chord([chord([fail.s(), echo.s(1)], echo.s()), echo.s(2)], app=app)(echo.s())
        app.bench.run_all()
        with pytest.raises(ChordError):
            result.get(timeout=1, follow_parents=False)

    def test_a_failing_chord_with_a_group_as_its_body_inside_a_header(self, app):
        echo, fail = app.tasks["echo"], app.tasks["fail"]
        inner = chord([fail.s(), echo.s(1)], group(echo.s(), echo.s()))
        result = chord([inner, echo.s(2)], app=app)(echo.s())
        app.bench.run_all()
        assert result.state == states.FAILURE

    def test_members_of_a_failed_group_body_show_why(self, app):
        echo, fail = app.tasks["echo"], app.tasks["fail"]
        result = chord([fail.s(), echo.s(1)], app=app)(group(echo.s(), echo.s()))
        app.bench.run_all()
        assert [each.state for each in result.results] == [states.FAILURE] * 2
        assert all(isinstance(each.result, Boom) for each in result.results)

    def test_members_of_a_group_chained_after_a_failed_task_fail(self, app):
        """Celery #6437: they would stay pending for ever."""
        echo, fail = app.tasks["echo"], app.tasks["fail"]
        result = chain(fail.s(), group(echo.s(), echo.s()), app=app).delay()
        app.bench.run_all()
        assert [each.state for each in result.results] == [states.FAILURE] * 2

    def test_a_body_chained_after_a_failed_chord_fails(self, app):
        echo, fail = app.tasks["echo"], app.tasks["fail"]
        result = chain(group(fail.s(), echo.s(1)), echo.s(), echo.s(), app=app).delay()
        app.bench.run_all()
        assert result.state == states.FAILURE
        assert result.parent.state == states.FAILURE

    def test_the_later_steps_of_a_failed_chain_fail_but_inner_headers_do_not(self, app):
        """Header tasks of a chord that never starts have no chord to return to."""
        from kvbackends.backend.signatures import tasks_of

        echo = app.tasks["echo"]
        inner = chord([echo.s(1), chain(echo.s(2), echo.s(3))], echo.s(4))
        found = [
            (task["args"][0], in_header)
            for task, in_header in tasks_of(group(inner, chain(echo.s(5), group([echo.s(6)]))))
        ]
        assert sorted(found) == [
            (1, True),
            (2, True),
            (3, True),
            (4, False),
            (5, False),
            (6, False),
        ]


class TestLostWorkers:
    """Chords whose last part crashed before the end of the chord."""

    @pytest.fixture
    def crashed(self, make_app, kind):
        """A chord of two whose last part died while it published the body."""
        app = make_app(kind, "?claim_lease=0.1", **QUICK)
        body = app.tasks["remember"].s()
        app.result = chord(
            [
                app.tasks["echo"].s(1).on_error(app.tasks["remember"].s("errback")),
                app.tasks["echo"].s(2).on_error(app.tasks["remember"].s("errback")),
            ],
            app=app,
        )(body)
        app.parts = [app.bench.take(), app.bench.take()]
        app.bench.run(app.parts[0])
        _crash_at_publish(app, app.parts[1])
        return app

    def test_a_redelivered_part_breaks_its_own_claim_at_once(self, crashed):
        app = crashed
        assert app.backend.get_state(app.parts[1].id) == states.PENDING
        app.bench.run(app.parts[1], redelivered=True)
        assert bodies(app) == 1
        assert app.backend.get_state(app.parts[1].id) == states.SUCCESS

    def test_another_part_takes_over_after_the_lease(self, crashed):
        app = crashed
        app.bench.run(app.parts[0], redelivered=True)
        assert bodies(app) == 1
        app.bench.run(app.parts[1], redelivered=True)
        assert bodies(app) == 1
        app.bench.run_all()
        assert app.remembered == [([1, 2],)]

    def test_the_main_process_settles_a_recorded_success(self, crashed):
        """The lost process had recorded its part: it succeeded, and no errback is called."""
        app = crashed
        lost = app.parts[1]
        app.backend.mark_as_failure(lost.id, WorkerLostError("lost"), request=context(lost))
        assert bodies(app) == 1
        assert app.AsyncResult(lost.id).get(timeout=1) == 2
        app.bench.run_all()
        assert app.remembered == [([1, 2],)]

    def test_the_main_process_settles_a_recorded_success_of_a_terminated_task(self, crashed):
        app = crashed
        lost = app.parts[1]
        app.backend.mark_as_revoked(lost.id, "terminated", context(lost), True)
        assert app.AsyncResult(lost.id).get(timeout=1) == 2
        assert bodies(app) == 1

    def test_the_main_process_never_waits_and_sends_one_message(self, crashed):
        app = crashed
        other = app.parts[0]
        for _ in range(2):
            app.backend.mark_as_failure(other.id, WorkerLostError("lost"), request=context(other))
        assert app.bench.names()[2:] == ["backend_cleanup"]
        message = app.bench.sent[-1]
        assert message.request["ignore_result"] is True
        assert message.request["kvbackends_chord"] == other.request["group"]
        assert message.request["eta"] is not None
        assert message.options["routing_key"] == "celery"
        assert app.AsyncResult(other.id).get(timeout=1) == 1

    def test_the_message_dispatches_the_chord(self, crashed):
        app = crashed
        other = app.parts[0]
        app.backend.mark_as_failure(other.id, WorkerLostError("lost"), request=context(other))
        app.bench.run(app.bench.take("backend_cleanup"))
        assert bodies(app) == 1
        app.bench.run_all()
        assert app.remembered == [([1, 2],)]
        assert len(app.bench.sent) == 4

    def test_the_message_comes_too_late_and_does_nothing(self, crashed):
        app = crashed
        other = app.parts[0]
        app.backend.mark_as_failure(other.id, WorkerLostError("lost"), request=context(other))
        app.bench.run(app.parts[1])
        app.bench.run(app.bench.take("backend_cleanup"))
        assert bodies(app) == 1

    def test_a_lost_process_without_a_recorded_part_fails_the_chord(self, app):
        result = chord([app.tasks["echo"].s(1), app.tasks["echo"].s(2)], app=app)(
            app.tasks["echo"].s()
        )
        lost = app.bench.take()
        app.backend.mark_as_failure(lost.id, WorkerLostError("lost"), request=context(lost))
        app.bench.run_all()
        assert app.backend.get_state(lost.id) == states.FAILURE
        with pytest.raises(ChordError, match="lost"):
            result.get(timeout=1, follow_parents=False)

    def test_the_client_that_tells_the_size_last_dispatches(self, app):
        """All parts had returned before the publisher set the size."""
        sizes = []
        set_size = app.backend.set_chord_size
        app.backend.set_chord_size = lambda *args: sizes.append(args)
        result = chord([app.tasks["echo"].s(n) for n in range(2)], app=app)(app.tasks["echo"].s())
        app.bench.run_all()
        assert result.state == states.PENDING
        set_size(*sizes[0])
        app.bench.run_all()
        assert result.get(timeout=1) == [0, 1]

    def test_a_client_that_finds_the_chord_held_returns(self, crashed):
        app = crashed
        group_id = app.parts[0].request["group"]
        app.backend.chords._sending.begin(group_id, {"task": "echo"})
        app.backend.set_chord_size(group_id, 2)
        assert bodies(app) == 0


class TestWhatExpired:
    """Records that are gone before the last part comes, on a store with five methods."""

    @pytest.fixture
    def app(self, make_app):
        return make_app("five")

    def forget(self, app, what):
        from kvbackends.layers.layer import innermost

        rows = innermost(app.backend.store)._space.rows
        for key in [key for key in rows if what in key]:
            del rows[key]

    def test_a_chord_never_runs_with_missing_values(self, app):
        result = chord([app.tasks["echo"].s(n) for n in range(3)])(app.tasks["echo"].s())
        app.bench.run(app.bench.take())
        self.forget(app, ".v0:")
        app.bench.run_all()
        with pytest.raises(ChordError, match="1 parts of the chord have expired"):
            result.get(timeout=1)

    def test_the_message_of_the_last_part_brings_the_body(self, app):
        result = chord([app.tasks["echo"].s(n) for n in range(3)])(app.tasks["echo"].s())
        self.forget(app, ".a")
        app.bench.run_all()
        assert result.get(timeout=1) == [0, 1, 2]


class TestUnavailable:
    @pytest.fixture
    def app(self, make_app, tmp_path):
        """An app whose store goes away when ``app.down`` is set."""
        url = new_url("memory", tmp_path, "?retry_timeout=0.02")

        class Switch(Wrapped):
            def __init__(self, inner):
                super().__init__(inner)
                self.transient_errors = (Broken,)

            def call(self, name, operation, *_):
                if app.down:
                    raise Broken(name)
                return operation()

        wrap(url, Switch)
        app = make_app(url=url)
        app.down = False
        return app

    @pytest.fixture
    def part(self, app):
        chord([app.tasks["updates"].s("PROGRESS", 1)], app=app)(app.tasks["remember"].s())
        app.during = lambda _id: setattr(app, "down", True)
        return app.bench.take()

    def test_a_part_that_acks_late_is_rejected_and_comes_again(self, app, part):
        app.tasks["updates"].acks_late = True
        with pytest.raises(Reject) as caught:
            app.bench.run(part)
        assert caught.value.requeue
        app.down, app.during = False, None
        app.bench.run(part, redelivered=True)
        app.bench.run_all()
        assert app.remembered == [([1],)]

    def test_a_part_that_acks_early_is_reported(self, app, part, caplog):
        # Celery 5.7 tries to store a failure after that, which fails alike.
        with (
            pytest.warns(RuntimeWarning, match="did not answer for"),
            contextlib.suppress(StoreUnavailable),
        ):
            app.bench.run(part)
        assert "could not be returned" in caplog.text


class TestSoftTimeLimits:
    """A limit that strikes while a finished task returns to its chord."""

    @pytest.fixture(params=["offer", "get", "compare_and_set", "get_batch", "delete"])
    def struck(self, request):
        return request.param

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_it_makes_no_failure_of_a_success(self, make_app, tmp_path, struck, when):
        """At each call of the store: the task succeeds, and the body is sent exactly once."""
        for nth in range(8):
            app, strikes = _with_strike(make_app, tmp_path, struck, nth, when)
            chord([app.tasks["echo"].s(1)], app=app)(app.tasks["remember"].s())
            part = app.bench.take()
            strikes.armed = True
            app.bench.run(part)
            strikes.armed = False
            assert app.backend.get_state(part.id) == states.SUCCESS, (struck, nth)
            assert bodies(app) == 1, (struck, nth)

    def test_a_limit_in_the_middle_of_the_publish_sends_it_again(self, app):
        chord([app.tasks["echo"].s(1)], app=app)(app.tasks["remember"].s())
        part, take = app.bench.take(), app.amqp.send_task_message
        strikes = iter([SoftTimeLimitExceeded()])

        def send(*args, **kwargs):
            for strike in strikes:
                raise strike
            take(*args, **kwargs)

        app.amqp.send_task_message = send
        app.bench.run(part)
        assert app.backend.get_state(part.id) == states.SUCCESS
        assert bodies(app) == 1

    def test_a_limit_while_a_failure_returns(self, app):
        result = chord([app.tasks["fail"].s()], app=app)(app.tasks["echo"].s())
        part = app.bench.take()
        store, error = app.backend.chord_error_from_stack, iter([SoftTimeLimitExceeded()])

        def struck(*args, **kwargs):
            for each in error:
                raise each
            return store(*args, **kwargs)

        app.backend.chord_error_from_stack = struck
        app.bench.run(part)
        assert isinstance(app.AsyncResult(part.id).result, Boom)
        assert result.state == states.FAILURE


class TestAbout:
    def test_body_and_header_come_back(self, memory_app):
        echo = memory_app.tasks["echo"]
        nested = group(echo.s(1), chain(echo.s(2), group(echo.s(3), echo.s(4)))).freeze()
        kept = payload.decode(
            memory_app, payload.encode(memory_app, echo.s(9).set(task_id="b"), nested.results)
        )
        assert kept.body["options"]["task_id"] == "b"
        first, second = nested.results
        assert kept.header == [first.id, [each.id for each in second.results]]

    def test_an_unencodable_body_is_left_out(self, memory_app, caplog):
        echo = memory_app.tasks["echo"]
        kept = payload.encode(memory_app, echo.s(object()), [memory_app.AsyncResult("a")])
        assert payload.decode(memory_app, kept) == payload.Payload(None, ["a"])
        assert "cannot be encoded" in caplog.text

    def test_a_lazy_header_is_not_exhausted(self, memory_app):
        from kvbackends.backend.compat import LazyTasks

        def never():
            raise AssertionError("looked at")
            yield

        kept = payload.encode(memory_app, memory_app.tasks["echo"].s(), LazyTasks(never()))
        assert payload.decode(memory_app, kept).header is None

    def test_nothing_kept_is_nothing(self, memory_app):
        assert payload.decode(memory_app, b"") == payload.Payload()

    @pytest.mark.parametrize("serializer", ["json", "pickle", "msgpack"])
    def test_every_task_serializer(self, make_app, serializer):
        """But YAML, which cannot encode the signature that Celery puts into each message."""
        app = make_app(task_serializer=serializer, accept_content=[serializer, "json"])
        result = chord([app.tasks["echo"].s(n) for n in range(2)])(app.tasks["echo"].s())
        app.bench.run_all()
        assert result.get(timeout=1) == [0, 1]

    def test_leaves_of_a_nested_result(self, memory_app):
        result = memory_app.GroupResult(
            "g",
            [
                memory_app.AsyncResult("a"),
                memory_app.GroupResult("h", [memory_app.AsyncResult("b")]),
                memory_app.GroupResult("i", []),
            ],
        )
        assert list(payload.leaves(result)) == ["a", "b"]
        assert list(payload.leaves(memory_app.AsyncResult("z"))) == ["z"]


class TestArranged:
    @pytest.mark.parametrize(
        ("header", "values", "expected"),
        [
            (["a", "b"], {(1, "b"): 2, (0, "a"): 1}, [1, 2]),
            (None, {(1, "a"): 2, (0, "b"): 1, (1, "0"): 3}, [1, 3, 2]),
            # A chain that ends in a group: the members' indices are their own.
            (
                ["a", ["c", "d"], "f"],
                {(0, "a"): 1, (0, "c"): 2, (1, "d"): 3, (2, "f"): 4},
                [1, [2, 3], 4],
            ),
            # Added parts follow the place of their adder.
            (["a", "b"], {(0, "a"): 1, (0, "z"): 9, (0, "x"): 8, (1, "b"): 2}, [1, 8, 9, 2]),
            # The same frozen signature twice.
            (["a", "a"], {(0, "a"): 1, (1, "a"): 2}, [1, 2]),
            # A header that does not fit: both sides order alike.
            (["a", "missing"], {(1, "b"): 2, (0, "a"): 1}, [1, 2]),
            (["a"], {(0, "a"): 1, (7, "late"): 2}, [1, 2]),
            ([], {}, []),
            (None, {}, []),
            ([[]], {}, [[]]),
        ],
    )
    def test_values_follow_the_header(self, header, values, expected):
        parts = [(*key, values[key]) for key in sorted(values)]
        assert payload.arranged(header, parts, [value for _, _, value in parts]) == expected


class Strikes:
    """Raises the soft time limit at the n-th call of one operation."""

    armed = False

    def __init__(self, name, nth, when):
        self.name, self.left, self.when = name, nth, when

    def layer(self, store):
        strikes = self

        class Striking(Wrapped):
            def call(self, name, operation, *_):
                return strikes.passing(name, operation)

        return Striking(store)

    def passing(self, name, operation):
        if not self.armed or name != self.name:
            return operation()
        self.left -= 1
        if self.left != -1:
            return operation()
        if self.when == "after":
            operation()
        raise SoftTimeLimitExceeded


def _with_strike(make_app, tmp_path, name, nth, when):
    url = new_url("memory", tmp_path)
    strikes = Strikes(name, nth, when)
    wrap(url, strikes.layer)
    return make_app(url=url), strikes


def _crash_at_publish(app, message):
    """The process that runs `message` dies in the middle of the publish."""
    send = app.amqp.send_task_message

    def die(*_, **__):
        raise KeyboardInterrupt

    app.amqp.send_task_message = die
    with pytest.raises(KeyboardInterrupt):
        app.bench.run(message)
    app.amqp.send_task_message = send
