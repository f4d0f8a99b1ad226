"""Calls that no signal's handler interrupts."""

import os
import signal
import threading

import pytest

from kvbackends.contract import uninterrupted
from kvbackends.testing.forks import in_child


class Limit(Exception):
    """Raised by a handler."""


@pytest.fixture
def handle():
    """Sets handlers, which are taken back after the test."""
    numbers = (signal.SIGALRM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


def limit(*_):
    raise Limit


def test_a_handler_waits_until_the_call_has_ended(handle):
    """The call ends; then the handler runs, and its exception takes the place of the result."""
    done = []

    @uninterrupted
    def call():
        uninterrupted(signal.raise_signal)(signal.SIGALRM)  # a call within a call is one call
        done.append(1)

    handle(signal.SIGALRM, limit)
    for count in (1, 2):
        with pytest.raises(Limit):
            call()
        assert len(done) == count
    with pytest.raises(Limit):
        signal.raise_signal(signal.SIGALRM)


def test_every_late_handler_runs(handle):
    """One that raises does not keep others from running."""
    seen = []

    def interrupted(*_):
        seen.append("SIGINT")
        raise KeyboardInterrupt

    def noted(*_):
        seen.append("SIGALRM")
        raise Limit

    handle(signal.SIGINT, interrupted)
    handle(signal.SIGALRM, noted)

    @uninterrupted
    def call():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGALRM)

    with pytest.raises((KeyboardInterrupt, Limit)):
        call()
    assert sorted(seen) == ["SIGALRM", "SIGINT"]


def test_handlers_may_be_changed_and_restored(handle):
    """Restoring a handler that was found restores that one, whatever has been called meanwhile."""
    call = uninterrupted(lambda: None)
    handle(signal.SIGALRM, limit)
    call()
    found = handle(signal.SIGALRM, lambda *_: None)
    call()
    handle(signal.SIGALRM, found)
    call()
    with pytest.raises(Limit):
        signal.raise_signal(signal.SIGALRM)


def test_the_handler_of_sigint_is_the_users_own(handle):
    """`asyncio.run` recognises it after a call."""
    handle(signal.SIGINT, signal.default_int_handler)
    uninterrupted(lambda: None)()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_child_that_is_forked_during_a_call(handle):
    """Its handlers run, though the call of the parent never ends in it."""
    statuses = []

    def strike():
        with pytest.raises(Limit):
            signal.raise_signal(signal.SIGUSR1)

    @uninterrupted
    def call():
        forking = threading.Thread(target=lambda: statuses.append(in_child(strike)))
        forking.start()
        forking.join()

    handle(signal.SIGUSR1, limit)
    call()
    assert statuses == [0]


def test_another_thread_is_not_concerned(handle):
    """Handlers do not run there; the call costs no more."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(uninterrupted(os.getpid)()))
    thread.start()
    thread.join()
    assert answers == [os.getpid()]
