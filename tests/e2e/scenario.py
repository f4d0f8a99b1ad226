"""A chord whose last part runs into a trap, and what must be true of it in the end."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import chord, signals, uuid

from tests.e2e.deployment import PATIENCE, Deployment
from tests.e2e.traps import Spec

VALUES = [10, 11, 12]

STEPS = [
    (when, call) for call in ("finish", "parts", "renew", "close") for when in ("before", "after")
]
"""The store calls of the part that completes a chord.  The body is published after `renew`."""
TWICE = ("before", "close")
"""Published, and not yet marked: the only step after which the body may be published again."""


class Scenario:
    """One chord.  The last part returns after the others have, into the trap."""

    def __init__(
        self,
        deployment: Deployment,
        trap: Spec,
        kind: str = "late",
        queues: tuple[str | None, str | None] = (None, None),
        body_queue: str | None = None,
        **limits: float,
    ) -> None:
        """`queues`: of the last part, and of the others; `limits`: of the last part."""
        self.deployment = deployment
        self.trap = trap
        self.stored = [True, True, not kind.endswith("_quiet")]
        self.ids = [uuid() for _ in VALUES]
        first, second, last = VALUES
        others = kind.removesuffix("_quiet")  # the last part waits for their results
        header = [
            deployment.sig(others, first).set(task_id=self.ids[0]),
            deployment.sig(others, second).set(task_id=self.ids[1]),
            deployment.sig(kind, last, list(trap), self.ids[:2]).set(task_id=self.ids[2]),
        ]
        for task, queue in zip(header, (queues[1], queues[1], queues[0]), strict=True):
            if queue:
                task.set(queue=queue)
            task.set(link_error=[deployment.sig("errback")])
        header[-1].set(**limits)
        with captured() as self.messages:
            body = deployment.sig("body").set(
                link_error=[deployment.sig("errback")], queue=body_queue
            )
            self.result = chord(header, body)()

    @property
    def last(self) -> str:
        """The id of the part that is trapped."""
        return self.ids[-1]

    def caught(self) -> dict[str, Any]:
        """Wait until the trap has caught; what the diary says of it."""
        said = lambda: self.deployment.said("trap", name=self.trap.name)  # noqa: E731
        return self.deployment.until(said, f"{self.trap} catches")[0]

    def succeeds(self, most: int = 1) -> None:
        """Wait for the good end: right values, no errback, published at most so often."""
        deployment, body = self.deployment, self.result.id
        self.ends()
        assert deployment.meta(body)["result"] == VALUES, deployment.logs()
        for part in itertools.compress(self.ids, self.stored):
            deployment.until(
                lambda part=part: deployment.state(part) == "SUCCESS", f"{part}: SUCCESS"
            )
        assert {tuple(each["values"]) for each in deployment.said("body", id=body)} == {
            tuple(VALUES)
        }
        assert deployment.published(body) <= most
        for each in itertools.compress([body, *self.ids], [True, *self.stored]):
            # Of a part whose result is ignored, a closed chord tells its main process nothing.
            assert not deployment.said("errback", of=each)

    def ends(self, patience: float = PATIENCE) -> str:
        """Wait until the body has a result, for some seconds; its state."""
        state = lambda: self.deployment.state(self.result.id)  # noqa: E731
        ended = lambda: state() in ("SUCCESS", "FAILURE")  # noqa: E731
        self.deployment.until(ended, f"the chord of {self.trap} ends", patience)
        return state()

    def fails(self) -> None:
        """Wait for the bad end: the last part and the body fail, with their errbacks."""
        deployment, body = self.deployment, self.result.id
        failing = [body, self.last]
        for each in itertools.compress(failing, [True, self.stored[-1]]):
            deployment.until(
                lambda each=each: deployment.state(each) == "FAILURE", f"{each}: FAILURE"
            )
        for each in failing:
            deployment.until(
                lambda each=each: deployment.said("errback", of=each), f"{each}: errback"
            )
        assert not deployment.said("published", id=body)

    def send_again(self, part: int) -> None:
        """Deliver the message of a part once more."""
        send_again(self.deployment, self.messages[self.ids[part]])


@contextmanager
def captured() -> Iterator[dict[str, dict[str, Any]]]:
    """The task messages that this process publishes meanwhile, by task id."""
    messages: dict[str, dict[str, Any]] = {}

    def capture(headers=None, **what: Any) -> None:
        messages[headers["id"]] = {"headers": headers, **what}

    signals.before_task_publish.connect(capture)
    try:
        yield messages
    finally:
        signals.before_task_publish.disconnect(capture)


def send_again(deployment: Deployment, message: dict[str, Any]) -> None:
    """Publish a captured message as it was."""
    with deployment.app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            message["body"],
            headers=message["headers"],
            exchange=message["exchange"],
            routing_key=message["routing_key"],
            declare=message["declare"],
            **message["properties"],
        )
