"""The registry of checks: names, areas, and the rules that they prove."""

import functools
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar, NamedTuple, TypeVar

from kvbackends.contract.records import Feature
from kvbackends.testing.rules import PAGE, text_of

F = TypeVar("F", bound=Callable[..., Any])


class Check(NamedTuple):
    """One check of the suite."""

    name: str
    """``area.check``: stable, what a `Deviation` names."""
    area: str
    rule: str
    """Where the rule stands that a failure breaks."""
    summary: str
    """What the check establishes, in one sentence."""
    quick: bool
    """Whether a quick run has it."""
    requires: Feature
    lacking: Feature
    function: Callable[..., Any]

    @property
    def method(self) -> str:
        """The name of the check among the methods of a `StoreSuite`."""
        return f"test_{self.name.replace('.', '_')}"

    @property
    def rule_text(self) -> str:
        """The rule itself."""
        return text_of(self.rule)

    def is_lacking(self, features: Feature) -> bool:
        """Whether a store with these features is not asked."""
        return bool(self.requires & ~features or self.lacking & features)


class Area:
    """A group of checks: each public method is one."""

    area: ClassVar[str]
    rule: ClassVar[str]
    """The anchor of the section that holds the rules."""


def requires(flag: Feature) -> Callable[[F], F]:
    """The check is for stores that claim `flag`."""
    return functools.partial(_marked, "requires", flag)


def lacking(flag: Feature) -> Callable[[F], F]:
    """The check is for stores that do not claim `flag`: what is documented instead."""
    return functools.partial(_marked, "lacking", flag)


def thorough(function: F) -> F:
    """The check takes its time: a quick run leaves it out."""
    return _marked("quick", False, function)


def rule(anchor: str) -> Callable[[F], F]:
    """The check proves another section's rule than its area."""
    return functools.partial(_marked, "rule", anchor)


def _marked(name: str, value: object, function: F) -> F:
    # An attribute, not a pytest mark: it is read by the command too.
    setattr(function, f"kvbackends_{name}", value)
    return function


@functools.cache
def checks() -> tuple[Check, ...]:
    """Every check of the suite, area by area."""
    return tuple(check for area in _areas() for check in _checks_of(area))


def unknown(names: Iterable[str]) -> str:
    """What is wrong with the first of the names that is neither a check nor an area, if one is."""
    known = {each.name for each in checks()} | {each.area for each in checks()}
    wrong = next((name for name in names if name not in known), None)
    if wrong is None:
        return ""
    near = get_close_matches(wrong, sorted(known), 3, 0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
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
                quick=getattr(function, "kvbackends_quick", True),
                requires=getattr(function, "kvbackends_requires", Feature.NONE),
                lacking=getattr(function, "kvbackends_lacking", Feature.NONE),
                function=function,
            )


def _first_sentence(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
