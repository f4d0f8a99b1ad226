"""The tasks that the workers of these tests run, and the app that has them."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery, Task, chord, group
from celery.exceptions import Ignore

import kvbackends.testing.celery_app  # noqa: F401 - the broker kvtfiles://
from tests.e2e import diary, traps

TASKS: list[Callable[[Celery], Any]] = []


def task(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give the function to every app that `make_app` makes."""

    def collect(function: Callable[..., Any]) -> Callable[..., Any]:
        settings = {"name": f"e2e.{function.__name__}", **options}
        TASKS.append(lambda app: app.task(**settings)(function))
        return function

    return collect


def make_app(broker: str, backend: str, settings: dict[str, Any]) -> Celery:
    """An app with all tasks, for a worker or for a client."""
    app = Celery("e2e", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=1,
        task_publish_retry_policy={"max_retries": 1, "interval_max": 0.1},
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        result_chord_join_timeout=0.1,
    )
    app.conf.update(settings)
    for define in TASKS:
        define(app)
    app.finalize()
    return app


LATE = {"acks_late": True, "reject_on_worker_lost": True}


# ------------------------------------------------------------------------------------- plain


@task()
def echo(value):
    return value


@task()
def add(x, y):
    return x + y


@task()
def total(values):
    return sum(values)


@task(bind=True)
def body(self, values):
    """The body of most chords: says what it was given."""
    diary.write("body", id=self.request.id, values=values)
    return values


@task(ignore_result=True)
def quiet(value):
    return value


@task()
def fail(*args, why="on purpose"):
    raise ValueError(why)


@task(bind=True)
def fail_once(self, value):
    """Fails for good when it runs first, and succeeds when it is run again under the same id."""
    if diary.first("fail_once", self.request.id):
        raise ValueError("the first time")
    return value


@task()
def unencodable(*args):
    return object()


@task()
def sized(count):
    return "x" * count


@task()
def failing_at_length(count):
    raise ValueError("y" * count)


@task(bind=True, max_retries=3)
def retried(self, value, times=2):
    if self.request.retries < times:
        raise self.retry(countdown=0)
    return value


@task()
def ignored():
    raise Ignore


@task()
def errback(request, exc, traceback):
    """An errback of the new style: it runs in the process that fails the task."""
    diary.write("errback", of=request.id, error=repr(exc))


@task()
def old_errback(task_id):
    """An errback of the old style: it is sent as a task."""
    diary.write("errback", of=task_id, error="")


@task()
def pause(seconds, value=None):
    time.sleep(seconds)
    return value


@task()
def held(name, value=None):
    """Runs until the test lets it go."""
    diary.write("running", name=name, worker=os.getppid())
    diary.wait_for(f"go-{name}")
    return value


@task()
def pid():
    return os.getpid()


@task()
def lengths(values):
    return [len(value) for value in values]


@task()
def stamp(seconds):
    """When it ended, by the clock of this host."""
    time.sleep(seconds)
    return time.time()


# ---------------------------------------------------------------------------------- canvas


@task(bind=True)
def replace_by_group(self, values):
    raise self.replace(group(self.app.tasks["e2e.echo"].s(value) for value in values))


@task(bind=True)
def replace_by_chord(self, values):
    echo, total = self.app.tasks["e2e.echo"], self.app.tasks["e2e.total"]
    raise self.replace(chord([echo.s(value) for value in values], total.s()))


@task(bind=True)
def replace_by_chain(self, x, y):
    add = self.app.tasks["e2e.add"]
    raise self.replace(add.s(x, y) | add.s(100))


@task(bind=True)
def add_parts(self, value, more):
    for each in more:
        self.add_to_chord(self.app.tasks["e2e.echo"].s(each))
    return value


@task(bind=True)
def add_failing(self):
    self.add_to_chord(self.app.tasks["e2e.fail"].s())


@task(bind=True)
def replace_by_failing_group(self):
    echo, fail = self.app.tasks["e2e.echo"], self.app.tasks["e2e.fail"]
    raise self.replace(group(echo.s(1), fail.s()))


# ----------------------------------------------------------------------------------- traps


def trapped(
    self: Task, value: Any, spec: traps.Spec | None = None, after: Sequence[str] = ()
) -> Any:
    """A header task: it ends after the tasks `after` have, and runs into a trap when it ends.

    A trap catches once: a second run waits for nothing, and does not ask the store.
    """
    again = spec is not None and diary.exists("trap", traps.Spec(*spec).name)
    while not again and sum(1 for _ in self.backend.get_many(after, max_iterations=1)) < len(after):
        time.sleep(0.01)
    diary.write("part", id=self.request.id, value=value)
    traps.arm(spec)
    return value


@task(bind=True, **LATE)
def late(self, *args, **kwargs):
    return trapped(self, *args, **kwargs)


@task(**LATE)
def late_fail():
    raise ValueError("on purpose")


@task(bind=True)
def early(self, *args, **kwargs):
    return trapped(self, *args, **kwargs)


@task(bind=True, ignore_result=True)
def early_quiet(self, *args, **kwargs):
    return trapped(self, *args, **kwargs)


@task(bind=True, **LATE)
def late_adder(self, value, more, spec):
    """Adds a part, whose message comes before its own return, and runs into a trap."""
    self.add_to_chord(self.app.tasks["e2e.echo"].s(more))
    traps.arm(spec)
    return value
