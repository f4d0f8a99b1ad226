"""OpenTelemetry's spans and metrics of a store, and that nothing is measured without the option."""

import subprocess
import sys
import uuid
from collections import Counter

import pytest
from celery import Celery, chord, states
from celery.exceptions import TimeoutError as ResultTimeout
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kvbackends import ConfigurationError, StoreUnavailable, open_store
from kvbackends.contract import Rank
from tests.backend.bench import Bench
from tests.backend.tasks import add_tasks
from tests.servers.process import free_ports
from tests.support.chords import offer, rank_of
from tests.support.suites import java_is_slow
from tests.support.urls import with_options

SECRET = "geheim"


class Seen:
    """The spans and metrics of this process."""

    def __init__(self, monkeypatch):
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        monkeypatch.setattr(trace, "get_tracer", tracing.get_tracer)
        monkeypatch.setattr(metrics, "get_meter", MeterProvider([self._metrics]).get_meter)

    def spans(self):
        return self._spans.get_finished_spans()

    def names(self):
        return Counter(span.name for span in self.spans())

    def counts(self, metric, attribute):
        """How often the metric was recorded with each value of an attribute."""
        data = self._metrics.get_metrics_data()
        found = Counter()
        for each in data.resource_metrics[0].scope_metrics[0].metrics if data else ():
            if each.name == metric:
                for point in each.data.data_points:
                    count = point.count if hasattr(point, "count") else point.value
                    found[point.attributes.get(attribute)] += count
        return found


@pytest.fixture
def seen(monkeypatch):
    return Seen(monkeypatch)


STORES = ["memory", "sqlite", "redis", "memcached", "mongodb", "postgresql"]


@pytest.fixture(params=java_is_slow([*STORES, "elasticsearch", "cassandra"]))
def url(request, tmp_path):
    if request.param not in {"memory", "sqlite"}:
        found = request.getfixturevalue(f"{request.param}_url")
        return with_options(found, "telemetry=1")
    return {"memory": f"memory://{uuid.uuid4()}", "sqlite": f"sqlite:///{tmp_path}/r.db"}[
        request.param
    ] + "?telemetry=1"


@pytest.fixture
def app(url):
    app = Celery("app", broker="memory://", backend=f"kv+{url}", set_as_current=False)
    add_tasks(app)
    app.bench = Bench(app)
    yield app
    app.backend.store.close()


def test_operations(seen, url):
    """Each has a span with its name and the server; keys and values are in none."""
    store, key = open_store(url), f"{SECRET}-{uuid.uuid4()}"
    store.set(key, SECRET.encode(), 60)
    assert store.get(key).value == SECRET.encode()
    assert store.offer(offer(f"{key}-r", Rank.SUCCEEDED), rank_of)
    assert not store.offer(offer(f"{key}-r", Rank.UNREADY), rank_of)
    store.get_batch([key])
    store.barrier(f"{key}-b", 60).open(SECRET.encode())
    store.close()
    system = url.partition(":")[0]
    natively = {"offer": "offer", "barrier": "barrier.open", "get_batch": "get_batch"}
    names = {"set", "get"} | {natively[name] for name in natively.keys() & store.native}
    assert {f"{name} {system}" for name in names} <= seen.names().keys()
    if "offer" in store.native:
        assert seen.counts("kvbackends.offers.refused", "db.system.name") == {system: 1}
    for span in seen.spans():
        assert span.kind is trace.SpanKind.CLIENT
        assert span.attributes["db.system.name"] == system
        assert SECRET not in span.to_json()
    assert seen.counts("db.client.operation.duration", "db.operation.name")["set"]


def test_chords_and_waits(seen, app):
    """Chords are counted from their opening to their end; waits are timed."""
    good = chord([app.tasks["echo"].s(1), app.tasks["echo"].s(2)])(app.tasks["total"].s())
    bad = chord([app.tasks["fail"].s(), app.tasks["echo"].s(2)])(app.tasks["total"].s())
    with pytest.raises(ResultTimeout):
        good.get(timeout=0.1)
    app.bench.run_all()
    assert good.get(timeout=5) == 3
    assert bad.state == states.FAILURE
    events = seen.counts("kvbackends.chords", "kvbackends.chord.event")
    assert events == {"opened": 2, "dispatched": 1, "failed": 1}
    assert seen.counts("kvbackends.wait.duration", "kvbackends.wait.outcome") == {"timeout": 1}


def test_failed_attempts(seen):
    """Each attempt has a span of its own, with the error's type, below the caller's span."""
    [port] = free_ports(1)
    store = open_store(f"redis://127.0.0.1:{port}?telemetry=1&retry_timeout=1&retry_attempts=2")
    with trace.get_tracer("test").start_as_current_span("caller"), pytest.raises(StoreUnavailable):
        store.get("key")
    store.close()
    *attempts, caller = seen.spans()
    assert len(attempts) == 3
    for span in attempts:
        assert span.parent.span_id == caller.context.span_id
        assert span.attributes["error.type"]
        assert not span.status.is_ok
        assert span.status.description is None
        assert (span.attributes["server.address"], span.attributes["server.port"]) == (
            "127.0.0.1",
            port,
        )


def test_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r'pip install "kvbackends\[opentelemetry\]"'):
        open_store("memory://x?telemetry=1")


def test_without_the_option():
    """Nothing is imported, and no layer is added."""
    code = """
import sys
from kvbackends import open_store
from kvbackends.layers.telemetry import telemetry_of

assert telemetry_of(open_store("memory://x")) is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
