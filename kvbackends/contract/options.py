"""Typed options: one declaration serves the URL, the settings and the reference."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_type_hints

import msgspec

from kvbackends.errors import InvalidOption, UnknownOption

AnyOptions = TypeVar("AnyOptions", bound="Options")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an adapter's URL accepts.  One field, one option: its type, default and description.

    ``Annotated[float, option("Seconds to connect.", setting="redis_socket_timeout")] = 5.0``
    A value comes from the URL's query, else ``result_backend_transport_options``, else the
    Celery setting, else the default.
    """

    extra: ClassVar[Literal["refuse", "driver"]] = "refuse"
    """Who gets options that are not declared; with "driver" they arrive in `driver_options`."""


def option(
    help: str,  # noqa: A002 - what the field's own libraries call it
    *,
    setting: str | None = None,
    secret: bool = False,
) -> msgspec.Meta:
    """One declared option.

    `help` is what the reference says of it, `setting` the Celery setting that also fills it, and
    `secret` hides its value everywhere.
    """
    return msgspec.Meta(description=help, extra={"setting": setting, "secret": secret})


_NOT_NEGATIVE = msgspec.Meta(ge=0)
_POSITIVE = msgspec.Meta(gt=0)


class CoreOptions(Options, frozen=True, kw_only=True):
    """Options that every URL accepts; the core keeps them, no adapter sees them."""

    retry: Annotated[bool, option("Repeat an operation after a transient error.")] = True
    retry_timeout: Annotated[
        float, _NOT_NEGATIVE, option("Seconds after which an operation is given up.")
    ] = 30.0
    retry_attempts: Annotated[
        float, _NOT_NEGATIVE, option("Repetitions.", setting="result_backend_max_retries")
    ] = float("inf")
    retry_first_ms: Annotated[
        float,
        _POSITIVE,
        option(
            "Milliseconds before the first repetition; doubled each time, with jitter.",
            setting="result_backend_base_sleep_between_retries_ms",
        ),
    ] = 10
    retry_longest_ms: Annotated[
        float,
        _POSITIVE,
        option(
            "Most milliseconds between two repetitions.",
            setting="result_backend_max_sleep_between_retries_ms",
        ),
    ] = 10_000
    claim_lease: Annotated[
        float,
        _POSITIVE,
        option("Seconds that a chord's claim is watched unchanged before another worker takes it."),
    ] = 30.0
    chunk: Annotated[bool, option("Split values above the store's limit into several keys.")] = (
        False
    )


class Declared(NamedTuple):
    """One option as declared on an options type."""

    name: str
    type: Any
    help: str
    setting: str | None
    secret: bool


def declared(options_type: type[Options]) -> Iterator[Declared]:
    """The options of a type, in order; undescribed fields have an empty help."""
    hints = get_type_hints(options_type, include_extras=True)
    for field in msgspec.structs.fields(options_type):
        hint = hints[field.name]
        metas = [each for each in get_args(hint)[1:] if isinstance(each, msgspec.Meta)]
        extra = next((each.extra for each in metas if each.extra), {})
        text = next((each.description for each in metas if each.description), "")
        yield Declared(
            field.name, hint, text, extra.get("setting"), bool(extra.get("secret", False))
        )


def fill(
    options_type: type[AnyOptions],
    query: Mapping[str, str],
    settings: Mapping[str, Any],
) -> AnyOptions:
    """An options object from the URL's `query` and Celery's `settings`.

    Raises `InvalidOption` for a value of the wrong type.  Options in `query` that the type does
    not declare are left to `check_known`, or go into its field `driver_options`.
    """
    transport = settings.get("result_backend_transport_options") or {}
    known = list(declared(options_type))
    values: dict[str, Any] = {}
    for each in known:
        for source, name in ((query, each.name), (transport, each.name), (settings, each.setting)):
            if name is not None and source.get(name) is not None:
                values[each.name] = _converted(each, source[name])
                break
    if options_type.extra == "driver":
        names = {each.name for each in known} | core_names()
        values["driver_options"] = {k: v for k, v in query.items() if k not in names}
    return options_type(**values)


def core_names() -> set[str]:
    """The names of the options that every URL accepts."""
    return {each.name for each in declared(CoreOptions)}


def check_known(scheme: str, options_type: type[Options], query: Iterable[str]) -> None:
    """Raise `UnknownOption` for the first name in `query` that nobody declares."""
    if options_type.extra == "driver":
        return
    valid = sorted({each.name for each in declared(options_type)} | core_names())
    for name in query:
        if name not in valid:
            near = difflib.get_close_matches(name, valid, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UnknownOption(
                f"{scheme}:// has no option {name!r}{hint} Valid options: {', '.join(valid)}"
            )


def _converted(each: Declared, value: object) -> Any:
    try:
        return msgspec.convert(value, each.type, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidOption(
            f"option {each.name!r}: {_expected(each, error)}. {each.help}"
        ) from None


def _expected(each: Declared, error: msgspec.ValidationError) -> str:
    # msgspec names types and quotes no value, which may be a secret, but where it lists choices.
    if "`bool`" in str(error):
        return "Expected 1, true, 0 or false"
    if not str(error).startswith("Invalid enum value"):
        return str(error)
    choices = [repr(choice) for hint in get_args(each.type)[:1] for choice in get_args(hint)]
    return f"Expected one of {', '.join(choices)}" if choices else "Not one of the valid values"
