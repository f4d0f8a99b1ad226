"""How long records and chords are kept, from Celery's settings; in seconds."""

from datetime import timedelta
from typing import Any

from celery import states

from kvbackends.errors import ConfigurationError
from kvbackends.protocol.chord import Terms

CHORD_WITHOUT_EXPIRY = 30 * 86400.0
"""A barrier is never kept for ever, also where results are."""
CHORD_LONGER = 7 * 86400.0
"""How much longer than results a barrier is kept by default: a result need only last until it is
read, a part until the slowest task of its header has waited in its queue and run."""
SHORTEST_TOMBSTONE = 3600.0


def seconds(value: Any, setting: str) -> float | None:
    """The value of a setting as seconds; None for "keep" (None or 0).

    Raises `ConfigurationError` if it is negative.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if value and value < 0:
        raise ConfigurationError(
            f"{setting} = {value:g} is in the past: give the seconds to keep, or None for ever"
        )
    return float(value) if value else None


class Times:
    """The times to live of one backend: of results, of failures, and of chords."""

    def __init__(self, conf: Any, expires: Any, claim_lease: float) -> None:
        self.result = seconds(expires, "result_expires")
        self.failure = self._or_result(conf, "result_failure_expires")
        self.chord = self._chord(conf, claim_lease)

    def of_state(self, state: str) -> float | None:
        """How long a record with this state is kept, from its last write; None: for ever."""
        return self.failure if state == states.FAILURE else self.result

    def _or_result(self, conf: Any, setting: str) -> float | None:
        value = conf.get(setting)
        return self.result if value is None else seconds(value, setting)

    def _chord(self, conf: Any, claim_lease: float) -> Terms:
        setting = conf.get("result_chord_expires")
        lasting = self._or_result(conf, "result_chord_expires") or CHORD_WITHOUT_EXPIRY
        longer = CHORD_LONGER if setting is None and self.result else 0.0
        visibility = (conf.broker_transport_options or {}).get("visibility_timeout") or 0
        return Terms(
            ttl=lasting + longer,
            tombstone=max(lasting, float(visibility), SHORTEST_TOMBSTONE),
            lease=max(claim_lease, (conf.result_chord_join_timeout or 0) + _publish_budget(conf)),
        )


def _publish_budget(conf: Any) -> float:
    """Seconds that publishing one message may take with all its retries."""
    policy = conf.task_publish_retry_policy or {}
    retries = (policy.get("max_retries") or 0) if conf.task_publish_retry else 0
    pause = float(policy.get("interval_max") or 0)
    return float((retries + 1) * (conf.broker_connection_timeout or 0) + retries * pause)
