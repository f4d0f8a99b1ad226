"""Waits of a process that has no file descriptor left, on each store that pushes."""

import pytest

WAITING = """
import logging, os, resource, threading
from celery import Celery

logging.disable(logging.WARNING)  # it tells that it cannot subscribe
backend = Celery(backend=sys.argv[1]).backend
backend.store_result("before", 0, "SUCCESS")  # opens the connection
highest = max(map(int, os.listdir("/proc/self/fd")))
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, hard))
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass

def waited(name):
    timer = threading.Timer(0.2, backend.store_result, [name, name, "SUCCESS"])
    timer.start()
    result = backend.app.AsyncResult(name).get(timeout=20)
    timer.join()
    return result

assert waited("without") == "without"
assert backend.waiters()._lead._subscription is None
list(map(os.close, taken))
assert waited("again") == "again"
print("well")
"""


@pytest.fixture(params=["memory", "sqlite", "redis", "postgresql"])
def store_url(request, tmp_path):
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/results.db"
    return request.getfixturevalue(f"{request.param}_url")


def test_waits_go_on_by_reading_without_file_descriptors(deploy, store_url):
    """A subscription cannot be opened then; it can when descriptors are free again."""
    assert deploy("files").run(WAITING, f"kv+{store_url}") == "well"
