"""What a person has to do about an answer that repeating does not change."""

import re

_ADVICE = {
    "maxmemory": "let results expire sooner (result_expires), or give the server more memory",
    "MISCONF": "make room on the server's disk, or let it write there; its log says what failed",
    "Authentication required|without any password": (
        "give the user and the password that the server wants, in the URL or by the settings "
        "redis_username and redis_password"
    ),
    "username-password|invalid password": (
        "correct the user and the password in the URL or in the settings redis_username and "
        "redis_password"
    ),
    "[Nn]o permissions|NOPERM|can't (?:run|access|publish)": (
        "give its user the commands, keys and channels that the adapter's README lists"
    ),
    "DB index": "the server has fewer databases: name another one at the end of the URL",
    "WRONGTYPE": "another program keeps something under this key: remove it there, or choose a "
    "global_keyprefix",
    r"^\d+ \S+:\d+$|CROSSSLOT|hash to the same slot": (
        "this server is one node of a cluster: name it with redis+cluster:// in place of redis://"
    ),
}
"""By what is in the message, with its code or, where the driver takes that away, without."""


def advised(message: str) -> str:
    """The server's message, and what to do."""
    for known, advice in _ADVICE.items():
        if re.search(known, message):
            return f"{message} ({advice})"
    return message
