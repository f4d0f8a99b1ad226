"""``kvbackends check``, ``sweep`` and ``stores``."""

from importlib.metadata import entry_points

import click
import msgspec

from kvbackends.cli import FAILED, PASSED
from kvbackends.cli.output import Period, formats, plain, progress, table, write_json
from kvbackends.cli.target import Target, on_store, reported
from kvbackends.plugins.catalogue import EXTRAS, install_line
from kvbackends.plugins.registry import STORES


@click.command(epilog="Example: kvbackends check -A proj --timeout 3s")
@click.option("--timeout", type=Period(), default="5s", show_default=True, help="For all of it.")
@click.option("--write", is_flag=True, help="Write a key and a chord of its own, too.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@on_store()
def check(target: Target, timeout: float, write: bool, as_json: bool) -> int:
    """Probe a store: can workers use it, and how is it set up?

    Exit status: 0 yes, 1 no. Reads only, unless --write is given.
    """
    health = target.admin.health(timeout, write=write)
    if as_json:
        write_json({"ok": health.ok, **msgspec.to_builtins(health)})
    else:
        click.echo(health.url)
        for each in health.checks:
            word = "FAIL" if not each.ok else "note" if each.warning else "ok"
            colour = {"FAIL": "red", "note": "yellow"}.get(word, "green")
            click.echo(f"  {click.style(f'{word:<5}', fg=colour)}{each.name:<16}{plain(each.said)}")
    return PASSED if health.ok else FAILED


@click.command(epilog="Example: kvbackends sweep sqlite:////var/lib/app/results.db")
@on_store()
def sweep(target: Target) -> None:
    """Remove expired records now, where the store does not do it by itself."""
    click.echo(f"{target.admin.sweep(progress('removed')):,} expired records removed")


@click.command(epilog="Example: kvbackends stores --json")
@formats
def stores(as_json: bool, as_csv: bool) -> None:
    """List the stores that are installed, and how to install the others."""
    reported([], lambda: _listed(as_json=as_json, as_csv=as_csv))


def _listed(*, as_json: bool, as_csv: bool) -> int:
    # Nothing is imported: a driver takes its time, and a broken one shows when it is used.
    found = {each.name: each.dist for each in entry_points(group=STORES)}
    rows = [
        (scheme, "installed", f"{dist.name} {dist.version}" if dist else "")
        for scheme, dist in sorted(found.items())
    ]
    rows += [
        (scheme, "missing", install_line(scheme) or "")
        for scheme in sorted(EXTRAS)
        if scheme not in found
    ]
    table(("scheme", "status", "what"), rows, as_json=as_json, as_csv=as_csv)
    return PASSED
