"""The application of `test_uwsgi.py`: it reads and waits while uWSGI loads it, before the fork.

Answers a request with the process and the result of the task that the query string names;
``/wait`` waits for it.
"""

import contextlib
import os
import sys
import threading
import time
import types

# Debian's Python may be older than ours; before 3.11.3 redis-py imports this, for asyncio only.
sys.modules.setdefault("async_timeout", types.SimpleNamespace(timeout=None))

from celery import Celery  # noqa: E402
from celery.exceptions import TimeoutError as WaitedTooLong  # noqa: E402

app = Celery("site", broker="memory://", backend=os.environ["KVBACKENDS_E2E_STORE"])
app.AsyncResult("0").get(timeout=30)
with contextlib.suppress(WaitedTooLong):
    app.AsyncResult("never").get(timeout=0.01)
# uWSGI holds the interpreter's lock from now on: a thread that wants it meanwhile would leave it
# unusable in the workers (docs/results.md).
while threading.active_count() > 1 and not os.environ.get("KVBACKENDS_E2E_THREADS"):
    time.sleep(0.01)


def application(environ, start_response):
    result = app.AsyncResult(environ["QUERY_STRING"])
    value = result.get(timeout=30) if environ["PATH_INFO"] == "/wait" else result.result
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {value}".encode()]
