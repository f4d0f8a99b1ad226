"""No output shows a secret of a URL, however a store under test shows it."""

import pytest

from kvbackends.testing.redaction import Redactor

SECRETS = {
    "x://user:hunter2@host": "hunter2",
    "x://user:p%40ss%2Fword@host": "p@ss/word",
    "x://:one1@a;x://:two2@b/0": "two2",
    "x://u:another@a,u:another@b": "another",
    "x://host?api_key=abcdef": "abcdef",
    "x://host?sentinel_password=s%26t": "s&t",
    "x://u:ab@host": "ab",
}


@pytest.mark.parametrize(("url", "secret"), SECRETS.items())
def test_masked(url, secret):
    """The secret itself, and the URL as it was given."""
    hide = Redactor([url])
    assert hide(f"login as '{secret}' failed") == "login as '**' failed"
    assert secret not in hide(f"cannot open {url}")


def test_rest_is_left():
    """A short secret hides itself only where it stands as a word; no secret hides nothing."""
    assert Redactor(["x://u:a@host"])("a cat and a bat") == "** cat and ** bat"
    assert Redactor(["x://host/db?timeout=5"])("timeout 5") == "timeout 5"
