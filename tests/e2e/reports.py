"""A module that a worker includes: it notes which results are stored, as far as it was told."""

from celery import signals

from tests.e2e import diary


@signals.task_success.connect
def stored(sender=None, **_):
    """Sent after the store has confirmed the result, and the part of a chord."""
    diary.write("stored", id=sender.request.id)
