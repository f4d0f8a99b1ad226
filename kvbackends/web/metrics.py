"""What Prometheus asks for, in its text format."""

from collections.abc import Iterator

from kvbackends.errors import KVBackendsError, NotSupported
from kvbackends.web.asked import Asked
from kvbackends.web.views import Store

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics(store: Store) -> str:
    """The gauges of one store; those that it cannot tell are left out."""
    return "".join(f"{line}\n" for line in _lines(store))


def _lines(store: Store) -> Iterator[str]:
    try:
        latency = store.latency()
    except KVBackendsError:
        yield from _gauge("up", "1 if the store answers.", 0)
        return
    yield from _gauge("up", "1 if the store answers.", 1)
    yield from _gauge("store_latency_seconds", "Time to read one key.", latency)
    try:
        _, tally = store.listed(Asked())
        chords = store.chords()
    except NotSupported:
        return
    yield from _head("results", "Stored results, by state.")
    for state, count in sorted(tally.states.items()):
        yield f'kvbackends_results{{state="{_escaped(state)}"}} {count}'
    yield from _gauge("chords_in_flight", "Chords whose body is not sent yet.", chords.count)
    yield from _gauge("chords_complete", "Those of them that have all parts.", chords.complete)
    yield from _gauge("chord_oldest_seconds", "Age of the oldest of them.", chords.oldest)


def _gauge(name: str, words: str, value: float) -> Iterator[str]:
    yield from _head(name, words)
    yield f"kvbackends_{name} {value:.9g}"


def _head(name: str, words: str) -> Iterator[str]:
    yield f"# HELP kvbackends_{name} {words}"
    yield f"# TYPE kvbackends_{name} gauge"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
