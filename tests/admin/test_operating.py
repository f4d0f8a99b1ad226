"""What `docs/operating.md` shows; `tests/test_snippets.py` runs the commands of all pages."""

import re
from pathlib import Path

from kvbackends.cli.app import COMMANDS
from tests.support.pages import texts

PAGE = Path(__file__).parents[2].joinpath("docs/operating.md").read_text(encoding="utf-8")
ELSEWHERE = {"conformance", "web", "new"}
"""Commands that have pages of their own."""


def test_every_command_is_shown():
    shown = re.findall(r"^kvbackends (\S+)", PAGE, re.MULTILINE)
    assert set(shown) == set(COMMANDS) - ELSEWHERE


def test_python(make_app, capsys):
    """The example runs."""
    app = make_app("memory", result_extended=True)
    app.tasks["fail"].delay()
    app.bench.run_all()
    (example,) = texts("docs/operating.md", "python")
    exec(compile(example, "operating.md", "exec"), {"app": app})
    assert "fail" in capsys.readouterr().out
