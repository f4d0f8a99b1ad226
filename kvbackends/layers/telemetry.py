"""OpenTelemetry spans and metrics of a store's operations, chords and waits.

With the URL's option ``telemetry=1``; without it nothing here is imported or called.  Names are
those of OpenTelemetry's conventions for database clients, where they have one.  Keys and values are
never among the attributes.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from kvbackends.contract.barrier import Barrier, CalledBarrier
from kvbackends.contract.records import Offer, RankOf
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL
from kvbackends.errors import ConfigurationError
from kvbackends.layers.layer import Layer, outside_in

T = TypeVar("T")

PRIMITIVES = ("get", "set", "delete", "compare_and_set", "ping")
NOT_MEASURED = frozenset({"subscribe", "scan", "find", "barrier"})
"""Operations whose returned objects do the work later."""


class Telemetry(Layer):
    """Measures each attempt of an operation: below the retries, above all other layers.

    A span ``<operation> <system>`` of the kind CLIENT for each, and these metrics:

    * ``db.client.operation.duration``: seconds; a failed attempt has an ``error.type``;
    * ``kvbackends.offers.refused``: records that were not stored because a better one is;
    * ``kvbackends.chords``: chords ``opened``, ``dispatched`` and ``failed``;
    * ``kvbackends.wait.duration``: seconds of waits, ``ready``, ``timeout`` or ``error``.

    Raises `ConfigurationError` if OpenTelemetry's API is not installed.
    """

    def __init__(self, inner: Store, url: StoreURL, system: str) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise ConfigurationError(
                "the option telemetry=1 needs OpenTelemetry's API: "
                'pip install "kvbackends[opentelemetry]"'
            ) from error
        self._about: dict[str, Any] = {"db.system.name": system}
        if url.hosts:
            self._about["server.address"] = url.hosts[0].name
            if url.hosts[0].port is not None:
                self._about["server.port"] = url.hosts[0].port
        self._system = system
        self._tracer = trace.get_tracer("kvbackends")
        self._client, self._error = trace.SpanKind.CLIENT, trace.StatusCode.ERROR
        meter = metrics.get_meter("kvbackends")
        self._seconds = meter.create_histogram("db.client.operation.duration", "s")
        self._refused = meter.create_counter("kvbackends.offers.refused", "{record}")
        self._chords = meter.create_counter("kvbackends.chords", "{chord}")
        self._waits = meter.create_histogram("kvbackends.wait.duration", "s")
        super().__init__(inner)
        for name in PRIMITIVES:
            setattr(self, name, partial(self.measured, name, getattr(inner, name)))

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """`operation`, measured."""
        if name not in NOT_MEASURED:
            operation = partial(self.measured, name, operation)
        return super().around(name, operation)

    def around_barrier(
        self, operation: Callable[..., Barrier], name: str, ttl: float | None = None
    ) -> Barrier:
        """A barrier whose operations are measured."""
        return _Measured(self, operation(name, ttl))

    def around_offer(self, operation: Callable[..., bool], offer: Offer, rank_of: RankOf) -> bool:
        """Count the refused ones."""
        stored = operation(offer, rank_of)
        if not stored:
            self._refused.add(1, self._about)
        return stored

    def measured(
        self, name: str, operation: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Call `operation` in a span of its own."""
        about = {**self._about, "db.operation.name": name}
        began = time.perf_counter()
        title = f"{name} {self._system}"
        with self._tracer.start_as_current_span(
            title,
            kind=self._client,
            attributes=about,
            # Both would keep the error's text, which may name keys.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return operation(*args, **kwargs)
            except BaseException as error:
                about["error.type"] = type(error).__qualname__
                span.set_attribute("error.type", about["error.type"])
                span.set_status(self._error)
                raise
            finally:
                self._seconds.record(time.perf_counter() - began, about)

    def chord(self, event: str) -> None:
        """Count a chord that was ``opened``, ``dispatched`` or has ``failed``."""
        self._chords.add(1, {**self._about, "kvbackends.chord.event": event})

    def wait(self, found: Iterator[T], timed_out: type[Exception]) -> Iterator[T]:
        """Pass on what a wait finds; measure it, unless it found all at once or is abandoned.

        `timed_out` is the error of a wait whose time is over.
        """
        began, has_waited = time.perf_counter(), False
        try:
            for each in found:
                has_waited = True
                yield each
        except Exception as error:
            self._waited(began, "timeout" if isinstance(error, timed_out) else "error")
            raise
        if has_waited:
            self._waited(began, "ready")

    def _waited(self, began: float, outcome: str) -> None:
        about = {**self._about, "kvbackends.wait.outcome": outcome}
        self._waits.record(time.perf_counter() - began, about)


class _Measured(CalledBarrier):
    """A barrier whose operations are measured as ``barrier.<operation>``."""

    def __init__(self, telemetry: Telemetry, inner: Barrier) -> None:
        self.name, self.ttl = inner.name, inner.ttl
        self._telemetry, self._inner = telemetry, inner

    def call(self, name: str, operation: Callable[[Barrier], Any]) -> Any:
        """Call the operation in a span of its own."""
        return self._telemetry.measured(f"barrier.{name}", operation, self._inner)


def telemetry_of(store: Store) -> Telemetry | None:
    """The telemetry among the layers of `store`, if there is one."""
    return next((each for each in outside_in(store) if isinstance(each, Telemetry)), None)
