"""What `docs/operating.md` shows."""

import re
import shlex
from pathlib import Path

import click
import pytest

from kvbackends.cli.app import COMMANDS, command

PAGE = Path(__file__).parents[2].joinpath("docs/operating.md").read_text(encoding="utf-8")
ELSEWHERE = {"conformance", "web", "new"}
"""Commands that have pages of their own."""
LINES = re.findall(r"^kvbackends (\S+) ?(.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("name", "words"), LINES)
def test_commands_take_what_is_shown(name, words):
    """Each command line has the options that the command knows."""
    found = command.get_command(click.Context(command), name)
    context = found.make_context(name, shlex.split(words))
    assert context.params


def test_every_command_is_shown():
    assert {name for name, _ in LINES} == set(COMMANDS) - ELSEWHERE


def test_python(make_app, capsys):
    """The example runs."""
    app = make_app("memory", result_extended=True)
    app.tasks["fail"].delay()
    app.bench.run_all()
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "operating.md", "exec"), {"app": app})
    assert "fail" in capsys.readouterr().out
