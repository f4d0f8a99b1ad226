"""Arguments for TLS; certificates are verified unless `ssl_cert_reqs` says otherwise."""

import ssl
from collections.abc import Mapping
from typing import Any

from kvbackends import InvalidOption
from kvbackends.contract import StoreURL, check_files
from kvbackends_redis.options import RedisOptions

SCHEMES = ("rediss", "rediss+cluster")

_OPTIONS = (
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_ca_data",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_check_hostname",
    "ssl_min_version",
    "ssl_ciphers",
    "ssl_include_verify_flags",
    "ssl_exclude_verify_flags",
    "ssl_validate_ocsp",
    "ssl_validate_ocsp_stapled",
)
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_VERIFICATIONS = ("none", "optional", "required")


def arguments(
    url: StoreURL, options: RedisOptions, *, asked_by_any: bool = False
) -> dict[str, Any] | None:
    """redis-py's arguments for TLS, or None for a plain connection.

    With `asked_by_any` any TLS option turns it on, for URLs whose scheme cannot.
    """
    named = {name: getattr(options, name) for name in _OPTIONS}
    given = {name: value for name, value in named.items() if value is not None}
    if url.scheme not in SCHEMES and not options.ssl and not (asked_by_any and given):
        if given:
            secure = url.scheme.replace("redis", "rediss")
            raise InvalidOption(f"option {next(iter(given))!r} is for {secure}:// URLs")
        return None
    asked: Mapping[str, Any] = options.ssl if isinstance(options.ssl, dict) else {}
    return checked({**asked, **given}, wanted=True)


def checked(given: Mapping[str, Any], *, wanted: bool = False) -> dict[str, Any]:
    """`given` in redis-py's spelling; with TLS, host names are verified by default."""
    made = dict(given)
    if wanted or made.get("ssl"):
        made["ssl_cert_reqs"] = _verification(made.get("ssl_cert_reqs", "required"))
        verified = made["ssl_cert_reqs"] != "none"
        made["ssl_check_hostname"] = verified and made.get("ssl_check_hostname", True)
    check_files({name: made.get(name) for name in _FILES})
    for name in ("ssl_include_verify_flags", "ssl_exclude_verify_flags"):
        if isinstance(made.get(name), str):
            made[name] = [_flag(name, flag) for flag in made[name].strip("[]").split(",")]
    return made


def _verification(asked: Any) -> str:
    """redis-py's word for a constant of `ssl` or its name, as Celery has it."""
    word = _VERIFICATIONS[asked] if asked in (0, 1, 2) else str(asked)
    word = word.removeprefix("CERT_").lower()
    if word not in _VERIFICATIONS:
        raise InvalidOption(
            "option 'ssl_cert_reqs': expected required, optional or none (CERT_REQUIRED …)"
        )
    return word


def _flag(option: str, name: str) -> ssl.VerifyFlags:
    try:
        return ssl.VerifyFlags[name.strip()]
    except KeyError:
        raise InvalidOption(
            f"option {option!r}: {name.strip()!r} is not a name of ssl.VerifyFlags"
        ) from None
