"""The statements.  Each operation is one of them, and decides by the server's clock.

Keys and names are `bytea`, so that every text fits, whatever the database's encoding, and a prefix
is compared byte by byte.  An expiry is compared with `clock_timestamp()`, because `now()` stands
still while a statement waits for a lock.

A write that waiters may wait for tries to take the advisory lock of its key's bucket, which
listening sessions share: where it cannot be had, somebody listens, and the writer notifies.  The
writer holds the lock until it has committed, so a session that begins to listen meanwhile waits for
it, and then reads the value.
"""

import hashlib

from kvbackends_postgresql.link import Statement
from kvbackends_postgresql.names import Names

EXPIRY = "coalesce(clock_timestamp() + make_interval(secs => {}::float8), 'infinity')"
# Times are compared with 'infinity', too, because the indexes on them are without it: the planner
# cannot know that the server's clock is before it, and would read the whole table.
_DUE = "expires <= statement_timestamp() AND expires < 'infinity'"
LISTENED = "NOT pg_try_advisory_xact_lock({class}, {}::int)"

_PUT = f"""
INSERT INTO {{entry}} AS e (key, value, expires)
VALUES ($1::bytea, $2::bytea, {EXPIRY.format("$3")})
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, expires = excluded.expires, version = excluded.version,
    rank = NULL, state = NULL, task = NULL, worker = NULL, done = NULL
"""


def offering(key: str, value: str, ttl: str, rank: str, facets: str, bucket: str) -> str:
    """The ranked write: it answers with one row if it stored, which tells if somebody listens.

    A row without a rank was written by `set`; its comparison is NULL, and it is not replaced.
    """
    return f"""
INSERT INTO {{entry}} AS e (key, value, expires, rank, state, task, worker, done)
VALUES ({key}::bytea, {value}::bytea, {EXPIRY.format(ttl)}, {rank}::smallint, {facets})
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, expires = excluded.expires, version = excluded.version,
    rank = excluded.rank, state = excluded.state, task = excluded.task,
    worker = excluded.worker, done = excluded.done
WHERE e.expires <= clock_timestamp() OR e.rank <= excluded.rank AND e.rank <> 3
    OR e.value = excluded.value
RETURNING {LISTENED.replace("{}", bucket)}"""


def _facets(first: int) -> str:
    return ", ".join(f"${number}::text" for number in range(first, first + 4))


_CLOSING = f"""
WITH closed AS (
    INSERT INTO {{barrier}} AS b (name, done, expires)
    VALUES ($1::bytea, true, {EXPIRY.format("$2")})
    ON CONFLICT (name) DO UPDATE
    SET done = true, expires = excluded.expires, run = excluded.run, replaced = b.run, size = NULL,
        header = 0, slots = 0, unfilled = 0, arrived = 0,
        place = NULL, member = NULL, delivery = NULL
    WHERE b.done OR b.delivery IS NOT NULL OR b.expires <= clock_timestamp()
    RETURNING replaced
), old AS (
    INSERT INTO {{trash}} SELECT replaced FROM closed WHERE replaced IS NOT NULL
    ON CONFLICT DO NOTHING
)"""

_TEXTS = {
    "get": "SELECT value, version FROM {entry} "
    "WHERE key = $1::bytea AND expires > clock_timestamp()",
    "get_batch": "SELECT key, value FROM {entry} "
    "WHERE key = ANY ($1::bytea[]) AND expires > clock_timestamp()",
    "put": _PUT,
    "create": f"{_PUT} WHERE e.expires <= clock_timestamp() RETURNING true",
    "replace": f"""
UPDATE {{entry}}
SET value = $2::bytea, expires = {EXPIRY.format("$3")}, version = gen_random_uuid(),
    rank = NULL, state = NULL, task = NULL, worker = NULL, done = NULL
WHERE key = $1::bytea AND version = $4::uuid AND expires > clock_timestamp() RETURNING true""",
    "delete": "DELETE FROM {entry} WHERE key = $1::bytea",
    "delete_batch": "DELETE FROM {entry} WHERE key = ANY ($1::bytea[])",
    "offer": offering("$1", "$2", "$3", "$4", _facets(5), "$9"),
    "ranked": "SELECT rank, value, version FROM {entry} "
    "WHERE key = $1::bytea AND expires > clock_timestamp()",
    "offer_over_plain": f"""
UPDATE {{entry}}
SET value = $2::bytea, expires = {EXPIRY.format("$3")}, version = gen_random_uuid(),
    rank = $4::smallint, state = $5::text, task = $6::text, worker = $7::text, done = $8::text
WHERE key = $1::bytea AND version = $10::uuid AND expires > clock_timestamp()
RETURNING {LISTENED.replace("{}", "$9")}""",
    "touch": f"""
UPDATE {{entry}} SET expires = {EXPIRY.format("$2")}
WHERE key = $1::bytea AND expires > clock_timestamp() RETURNING true""",
    "increment": f"""
INSERT INTO {{entry}} AS e (key, value, expires)
VALUES ($1::bytea, convert_to($2::numeric::text, 'UTF8'), {EXPIRY.format("$3")})
ON CONFLICT (key) DO UPDATE
SET value = CASE WHEN e.expires <= clock_timestamp() THEN excluded.value ELSE
        convert_to((convert_from(e.value, 'UTF8')::numeric + $2::numeric)::text, 'UTF8') END,
    expires = excluded.expires, version = excluded.version
RETURNING value""",
    "scan": "SELECT key FROM {entry} WHERE key >= $1::bytea AND expires > clock_timestamp() "
    "ORDER BY key LIMIT 1000",
    "lifetimes": """
SELECT key, CASE WHEN expires < 'infinity'
    THEN extract(epoch FROM expires - clock_timestamp())::float8 END
FROM {entry} WHERE key = ANY ($1::bytea[]) AND expires > clock_timestamp()""",
    "notify": "SELECT pg_notify($1::text, $2::text)",
    "open": f"""
WITH opened AS (
    INSERT INTO {{barrier}} AS b (name, expires) VALUES ($1::bytea, {EXPIRY.format("$3")})
    ON CONFLICT (name) DO UPDATE
    SET done = false, expires = excluded.expires, run = excluded.run, replaced = b.run, size = NULL,
        header = 0, slots = 0, unfilled = 0, arrived = 0,
        place = NULL, member = NULL, delivery = NULL
    RETURNING run, replaced
), old AS (
    INSERT INTO {{trash}} SELECT replaced FROM opened WHERE replaced IS NOT NULL
    ON CONFLICT DO NOTHING
)
INSERT INTO {{about}} (run, value) SELECT run, $2::bytea FROM opened""",
    "visit": """
SELECT outcome, holder, parts, payload FROM {visit}(
    $1::bytea, $2::int, $3::bytea, $4::bytea, $5::bytea, $6::int, $7::bytea, $8::float8)""",
    "finish": f"""
SELECT outcome, holder, parts, payload, stored, listened FROM {{visit}}(
    $1::bytea, $2::int, $3::bytea, $4::bytea, $5::bytea, NULL, $6::bytea, $7::float8,
    $8::bytea, $9::float8, $10::smallint, {_facets(11)}, $15::int)""",
    "expect_more": "SELECT {add}($1::bytea, $2::bytea, $3::bytea, $4::float8)",
    "holds": "SELECT delivery = $2::bytea FROM {barrier} "
    "WHERE name = $1::bytea AND NOT done AND expires > clock_timestamp()",
    "parts": """
WITH b AS (
    SELECT run, size IS NOT NULL AND header >= size AND unfilled = 0 AS is_full
    FROM {barrier} WHERE name = $1::bytea AND NOT done AND expires > clock_timestamp()
), chosen AS (
    SELECT min(p.number) AS number FROM b JOIN {slot} s ON s.run = b.run
    JOIN {part} p ON p.run = s.run AND p.member = s.member WHERE s.slot <> '' GROUP BY s.slot
)
SELECT p.place, p.member, p.value FROM b JOIN {part} p ON p.run = b.run
WHERE (p.member, p.place) > ($2::bytea, $3::int)
    AND (NOT b.is_full OR p.number IN (SELECT number FROM chosen)
         OR NOT EXISTS (SELECT FROM {slot} s WHERE s.run = p.run AND s.member = p.member))
ORDER BY p.member, p.place LIMIT 1000""",
    "barriers": "SELECT name FROM {barrier} WHERE name >= $1::bytea AND NOT done "
    "AND expires > clock_timestamp() ORDER BY name LIMIT 1000",
    "state": """
WITH b AS (
    SELECT * FROM {barrier} WHERE name = $1::bytea AND NOT done AND expires > clock_timestamp()
)
SELECT 0 AS kind, b.size, b.place, b.member, b.delivery, a.value
FROM b LEFT JOIN {about} a ON a.run = b.run
UNION ALL
SELECT 1, NULL, p.place, p.member, NULL, NULL FROM b JOIN {part} p ON p.run = b.run
UNION ALL
SELECT 2, NULL, NULL, s.member, NULL, s.slot FROM b JOIN {slot} s ON s.run = b.run
WHERE s.slot <> ''
ORDER BY kind""",
    "close": f"{_CLOSING} SELECT replaced FROM closed",
    "close_with": f"{_CLOSING}, result AS ({offering('$3', '$4', '$5', '$6', _facets(7), '$11')} "
    "AS listened) SELECT (SELECT replaced FROM closed), (SELECT listened FROM result)",
    "discard": """
WITH p AS (DELETE FROM {part} WHERE run = $1::uuid),
     s AS (DELETE FROM {slot} WHERE run = $1::uuid),
     a AS (DELETE FROM {about} WHERE run = $1::uuid)
DELETE FROM {trash} WHERE run = $1::uuid""",
    "sweep_entries": f"""
DELETE FROM {{entry}} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {{entry}} WHERE {_DUE}
    ORDER BY expires LIMIT $1::int FOR UPDATE SKIP LOCKED)) RETURNING true""",
    "sweep_barriers": f"""
WITH gone AS (
    DELETE FROM {{barrier}} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {{barrier}} WHERE {_DUE}
        ORDER BY expires LIMIT $1::int FOR UPDATE SKIP LOCKED)) RETURNING run
) INSERT INTO {{trash}} SELECT run FROM gone ON CONFLICT DO NOTHING RETURNING true""",
    "trash": "SELECT run FROM {trash} LIMIT 10",
    "ping": "SELECT 1",
    "server": """
SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('fsync'),
    current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
    obj_description(to_regclass($1::text), 'pg_class'),
    extract(epoch FROM clock_timestamp())::float8""",
    "whoami": "SELECT pg_backend_pid()",
}


class Statements:
    """The statements of one store, as attributes; those of `find` are made when needed."""

    def __init__(self, names: Names) -> None:
        self._names = names
        for name, text in _TEXTS.items():
            setattr(self, name, self._statement(text))

    def __getattr__(self, name: str) -> Statement:
        raise AttributeError(name)

    def find(self, facets: tuple[str, ...]) -> Statement:
        """Keys with these facets, after a key, in order, a number of them.

        It is not prepared: how many rows have a facet decides by which index they are read.
        """
        same = " AND ".join(f"{name} = ${i}::text" for i, name in enumerate(facets, 2))
        text = (
            f"SELECT key FROM {{entry}} WHERE {same or 'rank IS NOT NULL'} AND key >= $1::bytea "
            f"AND expires > clock_timestamp() ORDER BY key LIMIT ${len(facets) + 2}::int"
        )
        return self._statement(text)._replace(name=b"")

    def _statement(self, text: str) -> Statement:
        filled = " ".join(self._names.filled(text).split())
        name = hashlib.sha1(filled.encode(), usedforsecurity=False).hexdigest()[:24]
        return Statement(filled.encode(), f"kv_{name}".encode())
