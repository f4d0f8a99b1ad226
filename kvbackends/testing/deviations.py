"""Deviations: checks that a store is declared to fail."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from kvbackends.testing.check import Check, checks


class Deviation(NamedTuple):
    """A check that this store fails: a strict expected failure.

    `check` is the check's name. With ``[native]`` or ``[derived]`` appended it applies to that run
    only; with all that pytest shows in brackets, ``[native-blank]``, to that case only.

    Attributes:
        check: The check's name, with brackets as above.
        raises: The exception that the check ends with.
        reason: Why the store deviates.
    """

    check: str
    raises: type[Exception]
    reason: str


def deviation_for(
    declared: Sequence[Deviation], check: Check, mode: str, case: str
) -> Deviation | None:
    """The deviation that was declared for this run of the check, if there is one."""
    names = {check.name, f"{check.name}[{mode}]", f"{check.name}[{case}]"}
    return next((each for each in declared if each.check in names), None)


def refuse_unfit(suite: str, deviation: Deviation) -> None:
    """Raise `TypeError` unless the deviation names a check, an exception and a reason."""
    name = re.sub(r"\[(native|derived)(-.*)?\]$", "", deviation.check)
    if name not in {check.name for check in checks()}:
        raise TypeError(f"{suite} deviates from {deviation.check!r}, which is no check")
    raises: object = deviation.raises
    if not (isinstance(raises, type) and issubclass(raises, Exception)) or raises is Exception:
        raise TypeError(
            f"{suite}: the deviation from {deviation.check} names the exception that is raised, "
            f"not {raises!r}"
        )
    if not deviation.reason.strip():
        raise TypeError(f"{suite}: the deviation from {deviation.check} has no reason")
