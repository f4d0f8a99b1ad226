"""Declares the options of a store's URL, and reads them from the URL and Celery's settings."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_type_hints

import msgspec

from kvbackends.errors import InvalidOption, UnknownOption

AnyOptions = TypeVar("AnyOptions", bound="Options")


_NEARLY = 0.85
"""The similarity of two names, see `difflib`, from which on one is taken for the other misspelt."""
_CELERYS_NAMES = ("retry_policy", "global_keyprefix", "visibility_timeout")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base class of an adapter's options: each field declares one option with its default.

    ``connect_timeout: Annotated[float, option("Seconds.", setting="redis_socket_timeout")] = 5.0``

    The value comes from the first of these that has one: the URL's query,
    ``result_backend_transport_options``, the Celery setting `setting`, the default.

    Attributes:
        extra: Undeclared options: "refuse" raises `UnknownOption`, "driver" puts those of the
            URL's query into the field `driver_options`, a dictionary of strings.
    """

    extra: ClassVar[Literal["refuse", "driver"]] = "refuse"


def option(
    help: str,  # noqa: A002 - the usual name for this
    *,
    setting: str | None = None,
    secret: bool = False,
) -> msgspec.Meta:
    """Return the annotation that makes a field of `Options` an option.

    `help` describes it in the reference and in error messages; `setting` is a Celery setting that
    sets it, too.  `secret` marks passwords and the like, which printed URLs mask.  `celery report`
    masks by names only: let a secret's name contain "pass", "token", "key", "secret" or "api".
    """
    return msgspec.Meta(description=help, extra={"setting": setting, "secret": secret})


_NotNegative = Annotated[float, msgspec.Meta(ge=0)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class CoreOptions(Options, frozen=True, kw_only=True):
    """Options of every URL.  The core uses them; adapters do not receive them."""

    retry: Annotated[bool, option("Whether operations are retried after transient errors.")] = True
    retry_timeout: Annotated[
        _NotNegative, option("Seconds for which an operation is retried before it fails.")
    ] = 30.0
    client_retry_timeout: Annotated[
        _NotNegative,
        option("The same outside of workers, where it is never more than retry_timeout."),
    ] = 10.0
    retry_attempts: Annotated[
        _NotNegative, option("Maximum number of retries.", setting="result_backend_max_retries")
    ] = float("inf")
    retry_first_ms: Annotated[
        _NotNegative,
        option(
            "Milliseconds before the first retry; doubled for each further one, with jitter.  With "
            "0 the first one is made at once.",
            setting="result_backend_base_sleep_between_retries_ms",
        ),
    ] = 10
    retry_longest_ms: Annotated[
        _NotNegative,
        option(
            "Maximum number of milliseconds between two retries.",
            setting="result_backend_max_sleep_between_retries_ms",
        ),
    ] = 10_000
    claim_lease: Annotated[
        _Positive,
        option("Seconds for which a chord's claim is unchanged before another worker takes it."),
    ] = 30.0
    chords: Annotated[
        Literal["own", "celery"],
        option(
            "celery: begin chords in the books of Celery's own backend, so that workers without "
            "kvbackends can end them, while a fleet changes over."
        ),
    ] = "own"
    fallback: Annotated[
        str | None,
        option(
            "One of Celery's own backends, as a URL or a name, in which results and groups are "
            "read that are absent here. A URL with a password belongs into "
            "result_backend_transport_options."
        ),
    ] = None
    chunk: Annotated[bool, option("Split values above the store's limit over several keys.")] = (
        False
    )
    unpacked_mb: Annotated[
        _Positive,
        option(
            "Maximum size, in units of 2^20 bytes, of a result that is compressed or split, once "
            "it is unpacked. A larger one is refused by its writer and its readers."
        ),
    ] = 100.0
    telemetry: Annotated[
        bool,
        option("Measure operations with OpenTelemetry (`kvbackends[opentelemetry]`)."),
    ] = False

    @property
    def largest_unpacked(self) -> int:
        """`unpacked_mb` in bytes."""
        return int(self.unpacked_mb * (1 << 20))


class Declared(NamedTuple):
    """One option as an options type declares it."""

    name: str
    type: Any
    help: str
    setting: str | None
    secret: bool


def declared(options_type: type[Options]) -> Iterator[Declared]:
    """Yield the options of a type in their order; fields without `option` have an empty help."""
    hints = get_type_hints(options_type, include_extras=True)
    for name in options_type.__struct_fields__:
        metas = [each for each in get_args(hints[name])[1:] if isinstance(each, msgspec.Meta)]
        text = next((each.description for each in metas if each.description), "")
        extra = next((each.extra for each in metas if each.extra), {})
        yield Declared(name, hints[name], text, extra.get("setting"), extra.get("secret", False))


def check_files(files: Mapping[str, Any]) -> None:
    """Raise `InvalidOption` if one of the options names a file that does not exist."""
    for name, path in files.items():
        if path is not None and not os.path.exists(path):  # noqa: PTH110 - a folder, too, and bytes
            raise InvalidOption(f"option {name!r}: there is no file {path!r}")


def fill(
    options_type: type[AnyOptions], query: Mapping[str, str], settings: Mapping[str, Any]
) -> AnyOptions:
    """Return the options from the URL's `query` and Celery's `settings`.

    Raises `InvalidOption` for a value of the wrong type or out of bounds.  Undeclared options are
    not refused here, but by `check_known`.
    """
    transport = settings.get("result_backend_transport_options") or {}
    values: dict[str, Any] = {}
    for each in declared(options_type):
        for source, name in ((query, each.name), (transport, each.name), (settings, each.setting)):
            if name is not None and source.get(name) is not None:
                values[each.name] = _converted(each, source[name])
                break
    if options_type.extra == "driver":
        names = _valid_names(options_type)
        values["driver_options"] = {k: v for k, v in query.items() if k not in names}
    return options_type(**values)


def check_known(scheme: str, options_type: type[Options], query: Iterable[str]) -> None:
    """Raise `UnknownOption` if `query` has a name that neither the type nor the core declares."""
    valid = _valid_names(options_type)
    unknown = [] if options_type.extra == "driver" else [n for n in query if n not in valid]
    for name in unknown:
        near = difflib.get_close_matches(name, sorted(valid), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UnknownOption(
            f"{scheme}:// has no option {name!r}{hint} Valid options: {', '.join(sorted(valid))}"
        )


def misspelt(options_type: type[Options], names: Iterable[str]) -> dict[str, str]:
    """Return those of the names that are nearly the name of an option, with that name.

    Other unknown names are left out: Celery's settings may have some that mean nothing here.
    """
    valid = _valid_names(options_type)
    near = {
        name: difflib.get_close_matches(str(name).lower(), sorted(valid), n=1, cutoff=_NEARLY)
        for name in names
        if name not in valid and name not in _CELERYS_NAMES
    }
    return {name: found[0] for name, found in near.items() if found}


def _valid_names(options_type: type[Options]) -> set[str]:
    return {*options_type.__struct_fields__, *CoreOptions.__struct_fields__}


def _converted(each: Declared, value: object) -> Any:
    try:
        return msgspec.convert(value, each.type, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidOption(
            f"option {each.name!r}: {_expected(each, str(error))}. {each.help}"
        ) from None


def _expected(each: Declared, message: str) -> str:
    if "`bool`" in message:
        return "Expected 1, true, 0 or false"
    # msgspec's messages name types; only this one quotes the value, which may be a secret.
    if not message.startswith("Invalid enum value"):
        return message
    choices = [repr(choice) for hint in get_args(each.type)[:1] for choice in get_args(hint)]
    return f"Expected one of {', '.join(choices)}" if choices else "Not one of the valid values"
