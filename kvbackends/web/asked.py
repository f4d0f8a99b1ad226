"""Reads what the address of a page asks for."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from kvbackends.admin import Wanted

_SPAN = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, as it was typed."""

    id: str = ""
    state: str = ""
    task: str = ""
    worker: str = ""
    since: str = ""
    until: str = ""
    cursor: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Asked":
        """The known fields of an address, without blanks around them."""
        return cls(**{name: query.get(name, "").strip() for name in cls.__struct_fields__})

    def wanted(self) -> Wanted:
        """The results that are meant.  Raises ValueError for a time that is none.

        Times are rounded to whole seconds, so that the same question asked again is the same.
        """
        return Wanted(
            state=self.state or None,
            task=self.task or None,
            worker=self.worker or None,
            since=_time(self.since),
            until=_time(self.until),
        )

    def filters(self) -> dict[str, str]:
        """The filters that are set."""
        return {
            name: value
            for name in ("state", "task", "worker", "since", "until")
            if (value := getattr(self, name))
        }


def _time(text: str) -> datetime | None:
    """``90s``, ``2h`` and ``7d`` ago, or a time in ISO 8601, in UTC if it has no zone."""
    if not text:
        return None
    try:
        if span := _SPAN.fullmatch(text):
            ago = timedelta(**{_UNITS[span[2]]: int(span[1])})
            return datetime.now(UTC).replace(microsecond=0) - ago
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time: write how long ago (90s, 30m, 2h, 7d), or 2026-01-31T12:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
