"""``python -m examples.encryption`` prints a new key."""

import base64
import secrets

from examples.encryption.layer import KEY_BYTES

print(base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode())
