"""A worker without processes: takes what an app sends, and runs it when a test says so."""

from collections import deque
from typing import Any, NamedTuple

from celery.app.trace import build_tracer
from kombu import serialization


class Message(NamedTuple):
    """A task's message as a worker receives it."""

    name: str
    id: str
    request: dict[str, Any]
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]


class Bench:
    """Stands in for the broker and one worker of `app`."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.queue: deque[Message] = deque()
        self.sent: list[Message] = []
        app.amqp.send_task_message = self._take

    def _take(self, _producer: Any, name: str, message: Any, **options: Any) -> None:
        kind, encoding, data = serialization.dumps(
            [message.headers, message.body], self.app.conf.task_serializer
        )
        headers, (args, kwargs, embed) = serialization.loads(data, kind, encoding, accept={kind})
        request = {
            **headers,
            **(options.get("headers") or {}),
            **embed,
            **{k: message.properties.get(k) for k in ("correlation_id", "reply_to")},
            "delivery_info": {"exchange": "", "routing_key": "celery", "priority": 0},
            "hostname": "bench@here",
        }
        taken = Message(name, headers["id"], request, args, kwargs, options)
        self.queue.append(taken)
        self.sent.append(taken)

    def run(self, message: Message, *, redelivered: bool = False) -> Any:
        """One delivery of a message, by Celery's own tracer."""
        task = self.app.tasks[message.name]
        delivery = {**message.request["delivery_info"], "redelivered": redelivered}
        request = {**message.request, "delivery_info": delivery}
        tracer = build_tracer(task.name, task, app=self.app)
        return tracer(message.id, list(message.args), dict(message.kwargs), request)

    def take(self, name: str = "") -> Message:
        """The oldest message, or the oldest whose task's name ends with `name`."""
        for message in self.queue:
            if message.name.endswith(name):
                self.queue.remove(message)
                return message
        raise LookupError(f"nothing was sent to {name!r}")

    def run_all(self) -> int:
        """Run until nothing is left; how many messages that were."""
        done = 0
        while self.queue:
            self.run(self.queue.popleft())
            done += 1
        return done

    def names(self) -> list[str]:
        """The tasks that were sent, by the last part of their names, in order."""
        return [message.name.rpartition(".")[2] for message in self.sent]
