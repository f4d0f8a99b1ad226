"""What is seldom asked of a delivery; `chords` makes its id."""

from kvbackends.backend.compat import current_task

_TIME = 12
"""Hexadecimal digits of a delivery's time, in milliseconds since 1970."""
_PLAUSIBLE = 1.6e12, 4e12
"""Other times are random digits: an older kvbackends had no time in its deliveries."""


def started_at(delivery: str) -> float | None:
    """When the id was made, in seconds since 1970; None of an older kvbackends."""
    try:
        milliseconds = int(delivery[:_TIME], 16)
    except ValueError:
        return None
    return milliseconds / 1000 if _PLAUSIBLE[0] < milliseconds < _PLAUSIBLE[1] else None


def is_redelivered() -> bool:
    """True with late acknowledgement: a rejected part is delivered again."""
    task = current_task()
    return task is not None and bool(task.acks_late)
