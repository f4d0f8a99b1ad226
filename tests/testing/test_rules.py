"""The rules that checks name."""

import re
from pathlib import Path

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
