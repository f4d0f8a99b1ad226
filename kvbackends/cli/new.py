"""``kvbackends new``: the beginning of an adapter."""

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

import click

NAME = re.compile(r"[a-z][a-z0-9]*")
SCAFFOLD = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "conftest.py": "conftest.py",
    "store.py": "kv{name}.py",
    "test_store.py": "tests/test_kv{name}.py",
}
"""Template -> file of the new distribution."""


@click.command(epilog="Example: kvbackends new etcd")
@click.argument("name")
def new(name: str) -> None:
    """Begin an adapter: a distribution kvbackends-NAME in a new folder of that name.

    Its five methods are to be written; its tests run at once, and fail until they are. NAME is the
    scheme of its URLs: small letters and digits.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise click.UsageError(f"{name!r} cannot be a scheme: small letters and digits are allowed")
    folder = Path(f"kvbackends-{name}")
    if folder.exists():
        raise click.UsageError(f"there is a {folder} already")
    values = {"name": name, "Name": name.capitalize()}
    for template, path in SCAFFOLD.items():
        text = (files("kvbackends.cli") / "scaffold" / f"{template}.txt").read_text()
        target = folder / path.format(name=name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(text).substitute(values))
        click.echo(f"  {target}")
    click.echo(f'\ncd {folder} && pip install -e ".[testing]" && pytest -q -x --store-quick')
