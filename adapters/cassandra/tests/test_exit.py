"""Processes that end while their threads wait, store and read."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

PROGRAM = """
import random, sys, threading, time
from contextlib import suppress
from celery import Celery

app = Celery("ends", broker="memory://", backend=sys.argv[1])

def wait(n):
    with suppress(Exception):
        app.AsyncResult(f"never-{n}").get(timeout=60)

def store(n):
    with suppress(Exception):
        while True:
            app.backend.store_result(f"stored-{n}", n, "SUCCESS")

app.backend.store_result("first", 1, "SUCCESS")
for n in range(12):
    threading.Thread(target=wait if n % 3 else store, args=[n], daemon=True).start()
time.sleep(random.uniform(0, 0.5))
"""

PATIENT = "retry_timeout=60&client_retry_timeout=60"
BUSY = """
import logging, time
from kvbackends_cassandra.cluster import _connection_class

logging.basicConfig()
kind = _connection_class()
kind.initialize_reactor()
kind.create_timer(0, lambda: time.sleep(2))
from cassandra.io import libevreactor
libevreactor._global_loop.maybe_start()
time.sleep(0.3)
"""


def test_a_process_waits_for_the_drivers_thread():
    """The driver waits for one second, and then only warns: the thread would outlive it."""
    command = [sys.executable, "-W", "ignore", "-c", BUSY]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


def code_of(url: str) -> tuple[int, str]:
    """The exit code of one process, and what it said."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, f"kv+{url}?{PATIENT}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stderr[-2000:] if ended.returncode else ""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [2, pytest.param(200, marks=pytest.mark.slow)])
def test_a_process_ends_in_the_middle_of_calls(cassandra_url, count):
    """Its driver's threads are ended in good order: none runs on while the interpreter ends."""
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(code_of, [cassandra_url] * count))
    assert [each for each in codes if each[0]] == []
