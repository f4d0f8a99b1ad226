"""Turns at the connections: first come, first served."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from kvbackends_elasticsearch.errors import TimedOut
from kvbackends_elasticsearch.options import ElasticsearchOptions, nodes
from kvbackends_elasticsearch.requests import Resending, Sender
from kvbackends_elasticsearch.turns import Turns

from kvbackends.contract import Offer, Rank, StoreURL
from kvbackends.layers.layer import innermost
from tests.support.handlers import bears_a_handler

THREADS = 16


def waiting(turns, count):
    """Return when `count` threads wait."""
    until = time.monotonic() + 10
    while len(turns._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_thread_that_asks_again_stands_behind_those_that_wait():
    """The driver's queue would serve it first: some threads would get no connection for seconds."""
    turns, served, threads = Turns(1), [], []

    def serve(name):
        with turns.one(10, ""):
            served.append(name)

    with turns.one(10, ""):
        for name in range(3):
            threads.append(threading.Thread(target=serve, args=(name,)))
            threads[-1].start()
            waiting(turns, name + 1)
    serve("again")
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, "again"]


def test_a_handler_may_take_a_turn():
    """A signal's, in the middle of taking one or of giving it back."""
    turns = Turns(2)

    def take():
        with turns.one(10, ""):
            pass

    assert bears_a_handler(take, Turns._take, Turns._give)
    with turns.one(0.01, ""), turns.one(0.01, ""):
        assert turns.taken


def test_a_wait_for_a_turn_ends():
    """After the given time; the turn that comes later goes to another thread."""
    turns = Turns(1)
    with turns.one(10, ""), pytest.raises(TimedOut, match="busy"), turns.one(0.01, "busy"):
        pass
    with turns.one(0.01, "busy"):
        pass


def test_no_free_connection_is_a_timeout(recorder):
    """The error names the option; the request may be repeated."""
    url = StoreURL.parse(f"elasticsearch://{recorder.host}/x")
    sender = Sender(nodes(url, ElasticsearchOptions(timeout=0.05)), Resending())
    (turns,) = sender._turns.values()
    turns._free = 0
    with pytest.raises(TimedOut, match="connections_per_node"):
        sender.send("GET", "/")
    assert not recorder.asked


def test_writers_of_one_document_take_turns(recorder, open_one):
    """A thread that finds another one at it sends nothing before its turn has come."""
    recorder.script = lambda method, _: (404 if method == "GET" else 200, b"{}")
    store = open_one(f"elasticsearch://{recorder.host}/x")
    turns = innermost(store)._client().turns("key")
    offer = Offer("key", b"1", Rank.SUCCEEDED, 60)
    writer = threading.Thread(target=store.offer, args=(offer, lambda _: Rank.UNREADY))
    with turns.one(10, ""):
        writer.start()
        waiting(turns, 1)
        assert not recorder.asked
    writer.join()
    assert "/x/_create/key" in [path for _, path, _ in recorder.asked]


@pytest.mark.parametrize("each", [2, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["increment", "offer"])
def test_no_thread_starves_at_one_key(store, name, each):
    """When the last of 16 threads is through, none has done more than ten times its share."""
    done = [0] * THREADS

    def work(thread):
        while min(done) < each:
            if name == "increment":
                store.increment("one", 1, 60)
            else:
                text = b"%d-%d" % (thread, done[thread])
                store.offer(Offer("one", text, Rank.UNREADY, 60), lambda _: Rank.UNREADY)
            done[thread] += 1

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    assert max(done) <= 10 * each, sorted(done)
