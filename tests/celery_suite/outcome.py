"""Reads what the recorder wrote, and tells it to people."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ORDER = ("passed", "failed", "skipped", "xfailed", "xpassed", "rerun")
_WORST_FIRST = ("failed", "xpassed", "skipped", "xfailed", "passed")


@dataclass
class Item:
    """One test, with all that was reported of it."""

    name: str
    reports: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """The worst outcome that was reported and that no rerun took back."""
        seen = {outcome for outcome, _ in self.reports}
        return next((outcome for outcome in _WORST_FIRST if outcome in seen), "failed")

    def why(self, outcome: str) -> str:
        """The first line of the first reason that was given for `outcome`."""
        reasons = (why for reported, why in self.reports if reported == outcome)
        return next(reasons, "").partition("\n")[0]


def read(record: Path) -> list[Item]:
    """The items of a run, in the order of the run."""
    items: dict[str, Item] = {}
    for line in record.read_text().splitlines() if record.exists() else ():
        report = json.loads(line)
        item = items.setdefault(report["item"], Item(report["item"]))
        item.reports.append((report["outcome"], report["why"]))
        item.seconds += report["seconds"]
    return list(items.values())


def count(items: list[Item]) -> Counter[str]:
    """How many items ended how, and how many reruns there were."""
    counts = Counter(item.outcome for item in items)
    counts["rerun"] = sum(reported == "rerun" for item in items for reported, _ in item.reports)
    return counts


def tell(items: list[Item], seconds: float) -> str:
    """The tests that did not simply pass, and the last line with the counts."""
    lines = [
        f"{outcome}: {item.name}\n    {item.why(outcome)}"
        for outcome in ("rerun", "failed")
        for item in items
        if any(reported == outcome for reported, _ in item.reports)
    ]
    counts = count(items)
    figures = "  ".join(f"{outcome}={counts[outcome]}" for outcome in ORDER)
    return "\n".join(
        [*lines, f"celery-suite: items={len(items)}  {figures}  seconds={seconds:.0f}"]
    )
