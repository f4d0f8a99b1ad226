"""Run by `test_beside.py` with other projects of Celery's world installed: each prints one line."""

import sys
from types import SimpleNamespace

from celery import Celery, states
from celery.contrib.abortable import AbortableAsyncResult
from celery_batches import SimpleRequest
from celery_once import AlreadyQueued, QueueOnce
from celery_progress.backend import Progress, ProgressRecorder
from flower.api.tasks import TaskResult
from tornado.testing import AsyncHTTPTestCase
from tornado.web import Application

from tests.backend.bench import Bench

folder = sys.argv[1]
app = Celery("beside", broker="memory://", backend=f"kv+sqlite:///{folder}/results.db")
app.conf.result_extended = True
app.conf.ONCE = {
    "backend": "celery_once.backends.File",
    "settings": {"location": folder, "default_timeout": 60},
}
bench = Bench(app)


@app.task(bind=True)
def works(self, count):
    recorder = ProgressRecorder(self)
    recorder.set_progress(3, count, "three of ten")
    seen.append(Progress(app.AsyncResult(self.request.id)).get_info())
    return count


@app.task(base=QueueOnce)
def once(value):
    return value


seen = []
result = works.delay(10)
bench.run_all()
assert seen[0]["progress"]["percent"] == 30
assert Progress(result).get_info()["result"] == 10
print("celery-progress")

first = once.delay(1)
try:
    once.delay(1)
except AlreadyQueued:
    bench.run_all()
assert first.get(timeout=10) == 1
assert once.delay(1).id != first.id
bench.run_all()
print("celery-once")

batched = SimpleRequest("batched", "add", (1, 2), {}, None, "here", False, None, None, {})
app.backend.mark_as_done(batched.id, 3, request=batched)
assert app.AsyncResult("batched").get(timeout=10) == 3
print("celery-batches")

aborted = AbortableAsyncResult("aborted", app=app)
aborted.abort()
assert aborted.is_aborted()
assert app.AsyncResult("aborted").state == "ABORTED"
print("abortable")


class Flower(AsyncHTTPTestCase):
    def get_app(self):
        site = Application([("/api/task/result/(.+)", TaskResult)])
        site.capp, site.options = app, SimpleNamespace(auth=None, basic_auth=None)
        return site

    def runTest(self):
        assert '"result": 10' in self.fetch(f"/api/task/result/{result.id}").body.decode()
        app.backend.store_result("failed", ValueError("bad"), states.FAILURE, traceback="lines")
        assert "lines" in self.fetch("/api/task/result/failed").body.decode()


assert Flower().run().wasSuccessful()
print("flower")
