"""Likely causes of failures, from what a check's report says."""

import re

CAUSES = {
    r"contradicts itself": (
        "get and compare_and_set disagree about what is stored, most likely about an expired key, "
        "which has to be absent for both"
    ),
    r"by signal 14\b": (
        "a forked child hangs: it waits for a lock that its parent held, or uses a connection that "
        "its parent made; keep both in kvbackends.contract.PerProcess"
    ),
    r"by signal (?:6|7|11)\b": (
        "a forked child crashed: a library in C uses what the parent made before the fork; keep it "
        "in kvbackends.contract.PerProcess"
    ),
    r"the check took more than": (
        "a call hangs: a lock that is never released, or a wait for the server without a timeout; "
        "the last statement is the one that was interrupted"
    ),
    r"^ttl\.[^\0]*\n(?:> +)?assert store\.compare_and_set\([^\n]*, None\)$": (
        "get says that the key is absent, and compare_and_set that it is there: does it see an "
        "expired key?"
    ),
    r"^versions\.[^\0]*\n(?:> +)?assert store\.compare_and_set\([^\n]*\)$": (
        "compare_and_set lost where nobody else wrote: a driver that repeats writes by itself "
        "loses against its own first attempt, or get gives another version than is compared"
    ),
    r"^E? *(?:Value|Type|Attribute|Key|Name)Error: [^\0]*direct cause of[^\0]*StoreUnavailable": (
        "a slip was repeated like a lost connection: transient_errors names more than the "
        "driver's own errors"
    ),
    r"no wait (?:named|told)": (
        "the notification was lost: sent before the value could be read, for another name of the "
        "key, or to another connection than the one that watches"
    ),
    r"DeprecationWarning: .*fork|\bInterfaceError\b|\bProgrammingError: .*thread": (
        "a connection is used by a thread or a process that did not make it"
    ),
}
"""What is likely, by a pattern of the report."""


def likely(check: str, text: str) -> str:
    """Return the likely cause of a failure of the check; empty where nothing points to one."""
    told = f"{check}\n{text}"
    return next(
        (cause for pattern, cause in CAUSES.items() if re.search(pattern, told, re.MULTILINE)), ""
    )
