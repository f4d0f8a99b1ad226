"""Fleets that change from Celery's own backend to kvbackends while chords run."""

import itertools
import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import chord

from tests.e2e.deployment import PATIENCE, Deployment, Worker
from tests.e2e.tasks import make_app
from tests.e2e.test_headers import FAILING, SHAPES
from tests.support.urls import with_options

CELERY_HANGS = {
    "a chain before its group",
    "a chord in the header",
    "a chord in a chord in the header",
    "a chord in the header with a group as its body",
    "a replaced task",
}
"""Failing headers that leave a chord waiting for ever if a worker of Celery's own ends them."""
LATE = {"task_acks_late": True, "task_reject_on_worker_lost": True}

IN_BOOKS = ", in Celery's books"
"""Follows the shape of a chord that an old or a changing client has begun."""


class Fleet:
    """Workers and clients of three kinds: old, changing, and new.

    Args:
        deployment: The new client's.
        url: Celery's own backend.
        arguments: Of every worker.
    """

    def __init__(self, deployment: Deployment, url: str, *arguments: str) -> None:
        self.deployment = deployment
        self.arguments = arguments
        changing = with_options(deployment.store, "chords=celery")
        self.urls = {"old": url, "changing": changing, "new": deployment.store}
        self.clients = {
            kind: deployment.app
            if kind == "new"
            else make_app(deployment.broker, url, deployment.settings)
            for kind, url in self.urls.items()
        }
        self.chords: list[tuple[str, Any, Any]] = []
        self.held = map("held-{}".format, itertools.count())

    def start(self, *kinds: str) -> list[Worker]:
        """Workers of these kinds; they are ready."""
        workers = []
        for kind in kinds:
            app = {"broker": self.deployment.broker, "backend": self.urls[kind]}
            told = json.dumps({**app, "settings": self.deployment.settings})
            workers.append(self.deployment.starting(*self.arguments, KVBACKENDS_E2E_APP=told))
        return [each.ready() for each in workers]

    def signature(self, kind: str) -> Callable[..., Any]:
        """Makes signatures of a client's tasks."""
        self.clients[kind].set_current()
        return lambda name, *args, **kw: self.clients[kind].tasks[f"e2e.{name}"].s(*args, **kw)

    def begin(self, kind: str, shape: str) -> None:
        """Begin a chord of `SHAPES` or `FAILING`."""
        s = self.signature(kind)
        header, expected = SHAPES[shape](s) if shape in SHAPES else (FAILING[shape](s), None)
        told = shape if kind == "new" else f"{shape}{IN_BOOKS}"
        self.chords.append((told, chord(header, s("body"))().id, expected))

    def kill(self, kinds: list[str], workers: list[Worker]) -> None:
        """Begin a chord with each kind of client; kill the worker that runs its header's task."""
        for kind in kinds:
            s, name = self.signature(kind), next(self.held)
            header = [s("echo", 0), s("held", name, 1), s("echo", 2)]
            self.chords.append((name, chord(header, s("body"))().id, [0, 1, 2]))
            runs = self.deployment.until(
                lambda name=name: self.deployment.said("running", name=name), name
            )
            [victim] = [each for each in workers if each.pid == runs[0]["worker"]]
            victim.stop()
            workers.remove(victim)
            self.deployment.let_go(name)
            if self.deployment.broker.startswith("redis"):
                self.deployment.redeliver()

    def check(self) -> None:
        """No chord is lost, none is early, none has another value."""
        for shape, body, expected in self.chords:
            got = self.deployment.app.AsyncResult(body).get(timeout=PATIENCE, propagate=False)
            runs = [each["values"] for each in self.deployment.said("body", id=body)]
            if expected is None:
                assert isinstance(got, Exception), (shape, got)
                assert not runs
            else:
                assert {_comparable(shape, each) for each in [got, *runs]} == {
                    _comparable(shape, expected)
                }, shape
                assert runs, shape

    def close(self) -> None:
        backend = self.clients["old"].backend
        if hasattr(backend, "result_consumer"):
            backend.result_consumer.stop()
            backend.result_consumer._pubsub = None
            backend.client.connection_pool.disconnect()
        changing = self.clients["changing"].backend
        changing.waiters.close()
        changing.store.close()
        for kind in ("old", "changing"):
            self.clients[kind].close()


def _comparable(shape: str, value: Any) -> str:
    if "parts" not in shape:
        return repr(value)
    # Added parts have no order of their own; in Celery's books a task that is delivered again adds
    # its parts again.
    return repr(sorted(set(value) if shape.endswith(IN_BOOKS) else value))


@pytest.fixture
def make_fleet(deploy) -> Iterator[Callable[..., Fleet]]:
    """Makes a fleet from the URL of Celery's own backend, and that of a new store beside it."""
    made: list[Fleet] = []

    def make(broker: str, url: str, *arguments: str, new: str | None = None) -> Fleet:
        made.append(Fleet(deploy(broker, url=new or url, **LATE), url, *arguments))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


def stop(workers: list[Worker]) -> None:
    """End workers as a deployment does: they finish what they run."""
    for each in workers:
        each.signal(signal.SIGTERM)
    for each in workers:
        each.gone()
    workers.clear()


ENDING = [shape for shape in [*SHAPES, *FAILING] if shape not in {"large values", *CELERY_HANGS}]


def change_over(fleet: Fleet, shapes: list[str], *new: str) -> None:
    """The documented way, with kills: old and changing workers, then changing and new ones."""
    third = len(shapes) // 3
    before, between, after = shapes[:third], shapes[third : 2 * third], shapes[2 * third :]
    old, changing = [(both := fleet.start("old", "old", "changing", "changing"))[:2], both[2:]]
    for shape, kind in zip(before, itertools.cycle(["old", "changing"])):
        fleet.begin(kind, shape)
    workers = old + changing
    fleet.kill(["old", "changing"], workers)
    for shape, kind in zip(between, itertools.cycle(["old", "changing"])):
        fleet.begin(kind, shape)
    stop([each for each in old if each in workers])
    changing = [each for each in changing if each in workers]
    changing += fleet.start(*new)
    for shape, kind in zip(after, itertools.cycle(["new", "old", "changing"])):
        fleet.begin(kind, shape)
    if len(changing) > 1:
        fleet.kill(["old"], changing)
    fleet.check()


def test_no_chord_is_lost_while_a_fleet_changes_over(make_fleet, redis_url):
    """Chords of every shape, begun by clients of all kinds, end on workers of all kinds."""
    fleet = make_fleet("redis", redis_url.removesuffix("/0") + "/14", "-c", "1")
    change_over(fleet, ENDING, "new")


@pytest.mark.slow
def test_no_chord_of_hundreds_is_lost_while_a_fleet_changes_over(make_fleet, redis_url):
    fleet = make_fleet("rabbitmq", redis_url.removesuffix("/0") + "/13", "-c", "2")
    shapes = list(itertools.islice(itertools.cycle(ENDING), 500))
    change_over(fleet, shapes, "new", "new")


@pytest.mark.slow
def test_polled_chords_end_while_a_fleet_changes_over(make_fleet, tmp_path):
    """`celery.chord_unlock` goes round until a worker that sees all results gets it."""
    old = f"db+sqlite:///{tmp_path}/old.db"
    new = f"sqlite:///{tmp_path}/new.db?fallback={old.replace('+', '%2B')}"
    fleet = make_fleet("redis", old, "-c", "2", new=new)
    workers = fleet.start("old", "changing")
    for shape, kind in itertools.product(("plain", "a chord", "a task"), ("old", "changing")):
        fleet.begin(kind, shape)
    fleet.check()
    stop(workers[:1])
    for kind in ("old", "changing"):
        fleet.begin(kind, "a chain that ends in a group")
    fleet.check()
