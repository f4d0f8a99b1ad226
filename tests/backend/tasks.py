"""The tasks that the tests' apps have."""

from typing import Any


class Boom(Exception):
    """Raised by failing tasks."""


def add_tasks(app: Any) -> None:  # noqa: C901 - a list of tiny tasks
    """Register them."""

    @app.task(name="add", shared=False)
    def add(x, y=0):
        return x + y

    @app.task(name="echo", shared=False)
    def echo(value=None):
        return value

    @app.task(name="total", shared=False)
    def total(values):
        return sum(values)

    @app.task(name="fail", shared=False)
    def fail(*_):
        raise Boom("boom")

    @app.task(name="quiet", shared=False, ignore_result=True)
    def quiet(value=None):
        return value

    @app.task(name="unencodable", shared=False)
    def unencodable(*_):
        return object()

    @app.task(name="large", shared=False)
    def large(size):
        return "x" * size

    @app.task(name="fail_large", shared=False)
    def fail_large(size, parts=1):
        raise Boom(*["x" * size] * parts)

    @app.task(name="retried", shared=False, bind=True, max_retries=3, default_retry_delay=0)
    def retried(self, value):
        if self.request.retries < 1:
            raise self.retry(exc=Boom("again"))
        return value

    @app.task(name="remember", shared=False)
    def remember(*args):
        app.remembered.append(args)

    @app.task(name="grows", shared=False, bind=True)
    def grows(self, value, extra=1):
        for number in range(extra):
            self.add_to_chord(app.tasks["echo"].s(value + number + 1))
        return value

    @app.task(name="replaced", shared=False, bind=True)
    def replaced(self, value):
        return self.replace(app.tasks["echo"].s(value))

    @app.task(name="updates", shared=False, bind=True)
    def updates(self, state, value):
        self.update_state(state=state, meta=value)
        if app.during is not None:
            app.during(self.request.id)
        return value

    app.remembered = []
    app.during = None
