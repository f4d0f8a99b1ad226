"""``python -m kvbackends_postgresql``: prints the SQL that makes the tables.

For an administrator, where the workers' user may not make tables.
"""

import argparse

from kvbackends_postgresql.names import Names
from kvbackends_postgresql.schema import grants, script


def main() -> None:
    """Print the SQL for the names on the command line, which are those of the URL's options."""
    parser = argparse.ArgumentParser(
        prog="python -m kvbackends_postgresql", description="Prints the SQL that makes the tables."
    )
    parser.add_argument("--table", default="kvbackends", help="as in the URL")
    parser.add_argument("--schema", default="", help="as in the URL")
    parser.add_argument("--unlogged", action="store_true", help="as in the URL")
    parser.add_argument("--user", help="the workers' user, who gets the rights that it needs")
    given = parser.parse_args()
    names = Names(given.table, given.schema, given.unlogged)
    print(script(names))
    if given.user:
        print(grants(names, given.user))


if __name__ == "__main__":
    main()
