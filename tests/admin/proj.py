"""The application of the command's tests: ``-A tests.admin.proj``."""

import os

from celery import Celery

app = Celery("proj", broker="memory://", set_as_current=False)
app.conf.update(
    result_backend=os.environ.get("PROJ_BACKEND", "kv+memory://proj"),
    result_extended=True,
)


@app.task(name="proj.mail")
def mail(address):
    """Fail."""
    raise ValueError(address)


def moved(monkeypatch, url):
    """Let the project open another store until the test ends."""
    monkeypatch.setattr(app.conf, "result_backend", url)
    monkeypatch.setattr(app, "_local", type(app._local)())
    monkeypatch.setattr(app, "_backend_cache", None)
