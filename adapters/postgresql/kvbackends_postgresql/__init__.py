"""Celery results in PostgreSQL: ``postgresql://host/database``.

The server: PostgreSQL 13 or later, itself or behind PgBouncer.  The user may create tables, or an
administrator runs the SQL that ``python -m kvbackends_postgresql`` prints.

The options: `PostgreSQLOptions`, every option of libpq, and Celery's ``database_…`` settings.

Not guaranteed: with ``synchronous_commit=off``, or with ``unlogged=1``, a crash of the server loses
confirmed results.  A standby that is promoted has what the primary's ``synchronous_commit`` made
certain.  Values above 512 MB are refused.
"""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_postgresql.options import PostgreSQLOptions
from kvbackends_postgresql.store import PostgreSQLStore

__all__ = ["PostgreSQLOptions", "PostgreSQLStore"]

SCHEMES = (
    *("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"),
    *("db+postgresql", "db+postgresql+psycopg", "db+postgresql+psycopg2"),
)


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """The adapter of this distribution."""
    yield Adapter(
        schemes=SCHEMES,
        store=PostgreSQLStore,
        summary="a PostgreSQL server, with its standbys or behind PgBouncer",
        example="postgresql://localhost/celery",
    )
