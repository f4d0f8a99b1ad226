"""Celery's filesystem broker, polled every 2 ms, so that its delay does not hide the backend's."""

from kombu.transport import TRANSPORT_ALIASES

from examples.wordcount import broker

URL = "benchmarks-files://"
TRANSPORT_ALIASES[URL.removesuffix("://")] = "benchmarks.broker:Transport"


class Transport(broker.Transport):
    """The demo's transport, whose messages appear when they are complete."""

    polling_interval = 0.002
