"""What an option names by its dotted name."""

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from kvbackends import InvalidOption

T = TypeVar("T")


def instance(option: str, named: Any, kind: type[T]) -> T:
    """`named` itself, or one of the class that it names."""
    made = symbol(option, named)() if isinstance(named, str) else named
    if not isinstance(made, kind):
        raise InvalidOption(f"option {option!r}: expected a redis.{kind.__name__}")
    return made


def exceptions(option: str, named: Any) -> Iterator[type[Exception]]:
    """Exception classes: one, or several, or their dotted names."""
    several = named.split(",") if isinstance(named, str) else named
    for each in several if isinstance(several, Iterable) else [several]:
        found = symbol(option, each.strip()) if isinstance(each, str) else each
        if not (isinstance(found, type) and issubclass(found, Exception)):
            raise InvalidOption(f"option {option!r}: {each!r} is no class of exceptions")
        yield found


def symbol(option: str, name: str) -> Any:
    """What a dotted name (``a.b.c`` or ``a.b:c``) stands for."""
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidOption(f"option {option!r}: cannot import {name!r}") from error
