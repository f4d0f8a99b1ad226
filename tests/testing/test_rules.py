"""The rules that checks name."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kvbackends.testing import checks

ROOT = Path(__file__).parents[2]


def test_every_rule_is_written_down():
    """Each check's link leads to a heading of the page that it names."""
    for link in {check.rule for check in checks()}:
        page, anchor = link.split("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_every_rule_has_a_text():
    """Reports show the text of the rule, because a reader may not have the page."""
    assert all(len(check.rule_text) > 30 for check in checks())
    rule = next(check.rule_text for check in checks() if check.name == "ranks.matrix")
    assert rule.startswith("`rank_of(stored bytes)` is given to `offer`")
    assert "\n" not in rule


def test_rules_checks_and_broken_stores_name_each_other():
    """Every rule has a check, every check a rule and a broken store; docs/rules.md says so."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "rules.py", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_reports_show_rules_without_marks():
    """The footnotes of the page are for its readers."""
    assert not [check.name for check in checks() if "[^" in check.rule_text]


PAGE = """
### Versions

A version is one.[^one] So what?

[^one]: `versions.stale`.
"""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("", ""), "ranks.matrix: no rule of contract.md names this check"),
        (
            ("versions.stale", "versions.fresh"),
            "versions.fresh: contract.md names it, and it is no",
        ),
        (("`versions.stale`", "nothing yet"), "[^one]: the rule has no check"),
        (("[^one]:", "[^two]:"), "[^two]: the footnote belongs to no rule"),
        (("So what?", "So what?[^one]"), "[^one]: the mark stands 2 times"),
    ],
)
def test_what_is_missing_is_told(monkeypatch, change, problem):
    """Both ways round."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    told = importlib.import_module("rules").problems(PAGE.replace(*change))
    assert [each for each in told if each.startswith(problem)]
