"""The layer: AES-GCM with a random nonce, which also detects changed bytes."""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kvbackends import StoreError
from kvbackends.contract import Store
from kvbackends.layers.codec import Codec

MARK = b"kvenc1"
"""The first bytes of an encrypted value, which name the version of the format."""
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class CannotDecrypt(StoreError):
    """The key is another one, the bytes were changed, or the value was never encrypted."""


class Encrypted(Codec):
    """Encrypts with the first key, and decrypts with any."""

    overhead = len(MARK) + NONCE_BYTES + TAG_BYTES

    def __init__(self, inner: Store, keys: Sequence[bytes]) -> None:
        super().__init__(inner)
        self._ciphers = [AESGCM(key) for key in keys]

    def encode(self, value: bytes) -> bytes:
        """Return the mark, the nonce, the encrypted value and the tag."""
        nonce = os.urandom(NONCE_BYTES)
        return MARK + nonce + self._ciphers[0].encrypt(nonce, value, MARK)

    def decode(self, stored: bytes) -> bytes:
        """Return the value; raise `CannotDecrypt`, whose message contains neither key nor value."""
        if not stored.startswith(MARK):
            raise CannotDecrypt(
                "a stored value is not encrypted: was it written without the layer?"
            )
        sealed = stored[len(MARK) :]
        nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, encrypted, MARK)
            except InvalidTag:
                continue
        raise CannotDecrypt(
            "a stored value cannot be decrypted: it was written with a key that is not in "
            "RESULT_KEYS, or it was changed"
        )
