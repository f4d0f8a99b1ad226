"""The checks of the suite, with the rules that they prove: `checks` lists all of them."""

import functools
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar, NamedTuple, TypeVar

from kvbackends.contract.records import Feature
from kvbackends.testing.rules import PAGE, text_of

F = TypeVar("F", bound=Callable[..., Any])


_SIMPLEST = "methods versions ttl counters limits ranks waiting listing sweeping threads processes "
"""The areas in which to begin, where several fail; the others build upon them."""


class Check(NamedTuple):
    """One check of the suite.

    Attributes:
        name: ``area.check``. Names are stable: a `Deviation` refers to them.
        area: The part of the contract that it belongs to.
        rule: Link to the rule that a failing store breaks.
        summary: The property that the check proves, in one sentence.
        alone: True for a check that does not bear others beside it, also on a slow store.
        quick: False for a check that takes long: a quick run leaves it out.
        last: True for a check that runs after all others of its suite.
        requires: Features without which it does not run.
        lacking: Features with which it does not run.
        function: The check itself.
    """

    name: str
    area: str
    rule: str
    summary: str
    alone: bool
    quick: bool
    last: bool
    requires: Feature
    lacking: Feature
    function: Callable[..., Any]

    @property
    def method(self) -> str:
        """The name of the check's method in `StoreSuite`."""
        return f"test_{self.name.replace('.', '_')}"

    @property
    def rule_text(self) -> str:
        """The text of the rule."""
        return text_of(self.rule)

    def is_lacking(self, features: Feature) -> bool:
        """True if the check does not apply to a store with these features."""
        return bool(self.requires & ~features or self.lacking & features)


class Area:
    """A group of checks: each public method is one."""

    area: ClassVar[str]
    rule: ClassVar[str]
    """The anchor of the section of the contract that holds the rules."""
    alone: ClassVar[bool] = False
    """True if its checks fork, count threads or files, or look at keys of others."""


def requires(flag: Feature) -> Callable[[F], F]:
    """Apply the check only to stores that claim `flag`."""
    return functools.partial(_marked, "requires", flag)


def lacking(flag: Feature) -> Callable[[F], F]:
    """Apply the check only to stores without `flag`: it proves the documented fallback."""
    return functools.partial(_marked, "lacking", flag)


def thorough(function: F) -> F:
    """Leave the check out of quick runs, because it takes long."""
    return _marked("quick", False, function)


def last(function: F) -> F:
    """Run the check after all others of its suite, because it changes what others wait for."""
    return _marked("last", True, function)


def rule(anchor: str) -> Callable[[F], F]:
    """Link the check to another section of the contract than its area's."""
    return functools.partial(_marked, "rule", anchor)


def _marked(name: str, value: object, function: F) -> F:
    # An attribute instead of a pytest mark: the command reads it without pytest.
    setattr(function, f"kvbackends_{name}", value)
    return function


@functools.cache
def checks() -> tuple[Check, ...]:
    """Every check of the suite, area by area, the simplest first."""
    areas = sorted(_areas(), key=lambda each: (_SIMPLEST + each.area).index(each.area))
    return tuple(check for area in areas for check in _checks_of(area))


@functools.cache
def checks_by_method() -> dict[str, Check]:
    """Every check by the name of its method in `StoreSuite`."""
    return {check.method: check for check in checks()}


def unknown(names: Iterable[str]) -> str:
    """A message about the first name that is neither a check nor an area; empty if all are."""
    known = {each.name for each in checks()} | {each.area for each in checks()}
    wrong = next((name for name in names if name not in known), None)
    if wrong is None:
        return ""
    near = get_close_matches(wrong, sorted(known), 1, 0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no check and no area {wrong!r}{hint}"


def _areas() -> Iterator[type[Area]]:
    package = import_module("kvbackends.testing.areas")
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = import_module(info.name)
        for each in vars(module).values():
            if isinstance(each, type) and issubclass(each, Area) and each.__module__ == info.name:
                yield each


def _checks_of(area: type[Area]) -> Iterator[Check]:
    for name, function in vars(area).items():
        if callable(function) and not name.startswith("_"):
            anchor = getattr(function, "kvbackends_rule", area.rule)
            yield Check(
                name=f"{area.area}.{name}",
                area=area.area,
                rule=f"{PAGE}#{anchor}",
                summary=_first_sentence(function.__doc__ or ""),
                alone=area.alone or getattr(function, "kvbackends_last", False),
                quick=getattr(function, "kvbackends_quick", True),
                last=getattr(function, "kvbackends_last", False),
                requires=getattr(function, "kvbackends_requires", Feature.NONE),
                lacking=getattr(function, "kvbackends_lacking", Feature.NONE),
                function=function,
            )


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
