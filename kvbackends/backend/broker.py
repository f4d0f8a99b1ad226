"""Asks the broker whether it is there, before an operator's action that sends messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.exceptions import OperationalError

from kvbackends.errors import BrokerUnavailable


def ask_broker(app: Any) -> None:
    """Raise `BrokerUnavailable` unless the app's broker answers now.

    Before an action: a worker tries longer, and fails a chord whose body it cannot publish.
    """
    with app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0)
        except OperationalError as error:
            raise BrokerUnavailable(
                f"the broker {connection.as_uri()} does not answer: {error}. Nothing was sent. "
                "Check that it runs and is reachable from here, and the app's broker_url"
            ) from error


@contextmanager
def sending(what: str) -> Iterator[None]:
    """Raise `BrokerUnavailable` if the broker goes away inside the block, in which `what`."""
    try:
        yield
    except OperationalError as error:
        raise BrokerUnavailable(
            f"the broker went away while {what}: {error}. "
            "Look whether it has arrived before you send it once more"
        ) from error
