"""The plugin: kvbackends calls its hook whenever it opens a store."""

import base64
import binascii
import functools
import os
from collections.abc import Iterable

from examples.encryption.layer import KEY_BYTES, Encrypted
from kvbackends import ConfigurationError
from kvbackends.contract import Layering, hookimpl

VARIABLE = "RESULT_KEYS"


@hookimpl
def kvbackends_layers() -> Iterable[Layering]:
    """Return one layer, for every store.  A hook with a parameter ``url`` gets the store's URL."""
    yield functools.partial(Encrypted, keys=keys_from(os.environ.get(VARIABLE, "")))


def keys_from(text: str) -> list[bytes]:
    """Parse keys in base64, separated by commas.  `ConfigurationError` shows none of them."""
    keys = [_key(number, each) for number, each in enumerate(text.split(","), 1) if each.strip()]
    if not keys:
        raise ConfigurationError(
            f"{VARIABLE} has no key to encrypt results with; "
            "make one with: python -m examples.encryption"
        )
    return keys


def _key(number: int, text: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(text.strip())
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{VARIABLE}: key {number} is not base64 of {KEY_BYTES} bytes")
    return key
