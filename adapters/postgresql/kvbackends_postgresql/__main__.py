"""``python -m kvbackends_postgresql``: prints the SQL of the tables, or upgrades older ones.

For an administrator, where the workers' user may not make tables.
"""

import argparse
import sys

from kvbackends import ConfigurationError
from kvbackends.contract import StoreURL, fill
from kvbackends_postgresql.names import Names
from kvbackends_postgresql.options import PostgreSQLOptions, target
from kvbackends_postgresql.schema import grants, script
from kvbackends_postgresql.versions import VERSION, upgrade


def main() -> int:
    """Print the SQL for the names on the command line, which are those of the URL's options."""
    parser = argparse.ArgumentParser(
        prog="python -m kvbackends_postgresql", description="Prints the SQL that makes the tables."
    )
    parser.add_argument("--table", default="kvbackends", help="as in the URL")
    parser.add_argument("--schema", default="", help="as in the URL")
    parser.add_argument("--unlogged", action="store_true", help="as in the URL")
    parser.add_argument("--user", help="the workers' user, who gets the rights that it needs")
    parser.add_argument(
        "--upgrade",
        metavar="URL",
        help="instead, bring the tables at this result_backend to the newest version, as their "
        "owner, while clients work",
    )
    given = parser.parse_args()
    if given.upgrade:
        return _upgraded(given.upgrade)
    names = Names(given.table, given.schema, given.unlogged)
    print(script(names))
    if given.user:
        print(grants(names, given.user))
    return 0


def _upgraded(url: str) -> int:
    try:
        parsed = StoreURL.parse(url)
        began = upgrade(target(parsed, fill(PostgreSQLOptions, parsed.query, {})))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the tables had version {began}, and have version {VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
