"""What a server says of itself: HELLO, which every user may send."""

from typing import Any

HELLO = "HELLO"


def said(answer: Any, name: str) -> str:
    """One field of the answer, which is a list in RESP2 and a map in RESP3; '' if it is missing."""
    fields = (
        answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    )
    value = fields.get(name.encode(), fields.get(name, ""))
    return value.decode() if isinstance(value, bytes) else str(value)
