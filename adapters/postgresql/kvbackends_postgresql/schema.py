"""The tables, and how they are made.

`entry` has the plain and ranked keys.  A row of `barrier` has counters, so that an arrival costs
the same in a chord of any size; it is the one row that many writers change, and is short.  What
grows with the size (`part`, `slot`) and what may be large (`about`) are in tables of their own,
found by `run`, a random name of each run of a barrier.  `trash` names runs whose parts are to be
deleted.
"""

from kvbackends import ConfigurationError
from kvbackends_postgresql.errors import NO_RIGHT, Refused
from kvbackends_postgresql.link import Link
from kvbackends_postgresql.names import PARTS, TABLES, Names
from kvbackends_postgresql.statements import EXPIRY, offering
from kvbackends_postgresql.versions import checked, mark

# An update leaves the old row behind.  Free space in each page lets it stay there, without a new
# entry in any index, where no indexed column changes; that is so for `barrier`, whose expiry is set
# an eighth later than needed, and so changes rarely.  Autovacuum comes after 1 % of dead rows
# instead of 20 %, without pauses: rows that live for a minute would fill the disk before.
_BUSY = "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0"

# The indexes for `find` are on few distinct values, without the key: a new row becomes the last of
# its value, on a page that is in memory.  Beside random keys each row would write to another page
# of each index.  Most results are a SUCCESS, and are found by the primary key.
_TABLES = f"""
CREATE {{UNLOGGED}} TABLE IF NOT EXISTS {{entry}} (
    key bytea PRIMARY KEY,
    version uuid NOT NULL DEFAULT gen_random_uuid(),
    expires timestamptz NOT NULL,
    rank smallint,
    state text, task text, worker text, done text,
    value bytea NOT NULL
) WITH (fillfactor = 90, {_BUSY});
ALTER TABLE {{entry}} ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS {{entry_expires}} ON {{entry}} (expires) WHERE expires < 'infinity';
CREATE INDEX IF NOT EXISTS {{entry_tasks}} ON {{entry}} (task, state) WHERE task IS NOT NULL;
CREATE INDEX IF NOT EXISTS {{entry_states}} ON {{entry}} (state) WHERE state <> 'SUCCESS';
CREATE INDEX IF NOT EXISTS {{entry_workers}} ON {{entry}} (worker) WHERE worker IS NOT NULL;
CREATE {{UNLOGGED}} TABLE IF NOT EXISTS {{barrier}} (
    name bytea PRIMARY KEY,
    run uuid NOT NULL DEFAULT gen_random_uuid(),
    replaced uuid,
    expires timestamptz NOT NULL,
    done boolean NOT NULL DEFAULT false,
    size int,
    arrived int NOT NULL DEFAULT 0,
    header int NOT NULL DEFAULT 0,
    slots int NOT NULL DEFAULT 0,
    unfilled int NOT NULL DEFAULT 0,
    place int, member bytea, delivery bytea
) WITH (fillfactor = 20, {_BUSY});
CREATE INDEX IF NOT EXISTS {{barrier_expires}} ON {{barrier}} (expires) WHERE expires < 'infinity';
CREATE {{UNLOGGED}} TABLE IF NOT EXISTS {{about}} (run uuid PRIMARY KEY, value bytea NOT NULL);
CREATE {{UNLOGGED}} TABLE IF NOT EXISTS {{part}} (
    run uuid, member bytea, place int, number int NOT NULL, value bytea NOT NULL,
    PRIMARY KEY (run, member, place)
) WITH ({_BUSY});
ALTER TABLE {{part}} ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE {{UNLOGGED}} TABLE IF NOT EXISTS {{slot}} (
    run uuid, member bytea, slot bytea, arrived boolean NOT NULL, PRIMARY KEY (run, member, slot)
) WITH ({_BUSY});
CREATE INDEX IF NOT EXISTS {{slot_name}} ON {{slot}} (run, slot);
CREATE {{UNLOGGED}} TABLE IF NOT EXISTS {{trash}} (run uuid PRIMARY KEY);
COMMENT ON TABLE {{entry}} IS '{mark()}';
"""

_VISIT = f"""
CREATE OR REPLACE FUNCTION {{visit}}(
    its_name bytea, its_place int, its_member bytea, its_delivery bytea, its_value bytea,
    its_size int, evict bytea, ttl float8,
    its_key bytea DEFAULT NULL, its_ttl float8 DEFAULT NULL, its_rank smallint DEFAULT NULL,
    its_state text DEFAULT NULL, its_task text DEFAULT NULL, its_worker text DEFAULT NULL,
    its_done text DEFAULT NULL, its_bucket int DEFAULT NULL,
    OUT outcome int, OUT holder bytea, OUT parts int, OUT payload bytea,
    OUT stored boolean, OUT listened boolean
) LANGUAGE plpgsql AS $visit$
#variable_conflict use_column
DECLARE
    b {{barrier}};
    until timestamptz := {EXPIRY.format("ttl")};
    later timestamptz := {EXPIRY.format("ttl * 1.125")};
    brings boolean := its_value IS NOT NULL OR its_size IS NOT NULL;
    places int;
    fills int;
BEGIN
    SELECT * INTO b FROM {{barrier}} t
    WHERE t.name = its_name AND t.expires > clock_timestamp() FOR NO KEY UPDATE;
    outcome := CASE WHEN NOT FOUND THEN {{UNKNOWN}} WHEN b.done THEN {{CLOSED}}
                    ELSE {{WAITING}} END;
    IF outcome = {{WAITING}} THEN
        b.size := coalesce(its_size, b.size);
        IF its_value IS NOT NULL THEN
            INSERT INTO {{part}} (run, member, place, number, value)
            VALUES (b.run, its_member, its_place, b.arrived + 1, its_value) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                b.arrived := b.arrived + 1;
                places := 0;
                IF b.slots > 0 OR b.delivery IS NOT NULL THEN
                    SELECT count(*), count(*) FILTER (WHERE s.slot <> '' AND NOT EXISTS (
                        SELECT FROM {{slot}} o
                        WHERE o.run = s.run AND o.slot = s.slot AND o.arrived)) INTO places, fills
                    FROM {{slot}} s WHERE s.run = b.run AND s.member = its_member;
                END IF;
                IF places = 0 THEN
                    b.header := b.header + 1;
                ELSE
                    b.unfilled := b.unfilled - fills;
                    UPDATE {{slot}} s SET arrived = true
                    WHERE s.run = b.run AND s.member = its_member;
                END IF;
            END IF;
        END IF;
        IF b.size IS NOT NULL AND b.header >= b.size AND b.unfilled = 0 THEN
            IF b.delivery IS NULL OR b.delivery IN (its_delivery, evict)
                OR brings AND b.place = its_place AND b.member = its_member
            THEN
                outcome := {{CLAIMED}};
                b.place := its_place; b.member := its_member; b.delivery := its_delivery;
                brings := true;
                parts := b.header + b.slots;
                payload := (SELECT a.value FROM {{about}} a WHERE a.run = b.run);
            ELSE
                outcome := {{HELD}};
                holder := b.delivery;
            END IF;
        END IF;
        IF brings THEN
            UPDATE {{barrier}} t
            SET size = b.size, arrived = b.arrived, header = b.header, unfilled = b.unfilled,
                place = b.place, member = b.member, delivery = b.delivery,
                expires = CASE WHEN t.expires >= until THEN t.expires ELSE later END
            WHERE t.name = its_name;
        END IF;
    END IF;
    IF its_rank < 3 OR its_rank = 3 AND outcome = {{WAITING}} THEN
        {offering("its_key", "its_value", "its_ttl", "its_rank",
                  "its_state, its_task, its_worker, its_done", "its_bucket")} INTO listened;
        stored := FOUND;
    END IF;
END $visit$;
"""  # fmt: skip

_ADD = f"""
CREATE OR REPLACE FUNCTION {{add}}(its_name bytea, its_slot bytea, its_member bytea, ttl float8)
RETURNS void LANGUAGE plpgsql AS $add$
#variable_conflict use_column
DECLARE
    b {{barrier}};
    until timestamptz := {EXPIRY.format("ttl")};
    later timestamptz := {EXPIRY.format("ttl * 1.125")};
    wanted bytea := its_slot;
    had boolean;
    was_header boolean;
    places int;
BEGIN
    SELECT * INTO b FROM {{barrier}} t
    WHERE t.name = its_name AND NOT t.done AND t.expires > clock_timestamp() FOR NO KEY UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM {{slot}} s
        WHERE s.run = b.run AND s.member = its_member AND s.slot = its_slot) THEN
        RETURN;
    END IF;
    IF b.delivery IS NOT NULL THEN
        wanted := '';  -- a stray: after the claim nothing more is expected
    END IF;
    was_header := NOT EXISTS (
        SELECT FROM {{slot}} s WHERE s.run = b.run AND s.member = its_member);
    had := (SELECT bool_or(s.arrived) FROM {{slot}} s WHERE s.run = b.run AND s.slot = wanted);
    places := (SELECT count(*) FROM {{part}} p WHERE p.run = b.run AND p.member = its_member);
    INSERT INTO {{slot}} (run, member, slot, arrived)
    VALUES (b.run, its_member, wanted, places > 0) ON CONFLICT DO NOTHING;
    IF was_header THEN
        b.header := b.header - places;
    END IF;
    IF wanted <> '' AND had IS NULL THEN
        b.slots := b.slots + 1;
        b.unfilled := b.unfilled + (places = 0)::int;
    ELSIF wanted <> '' AND NOT had AND places > 0 THEN
        b.unfilled := b.unfilled - 1;
    END IF;
    UPDATE {{barrier}} t SET header = b.header, slots = b.slots, unfilled = b.unfilled,
        expires = CASE WHEN t.expires >= until THEN t.expires ELSE later END
    WHERE t.name = its_name;
END $add$;
"""

# Results may be in any serializer, and an id may be any text: what cannot be read is NULL.
_VIEW = """
CREATE OR REPLACE FUNCTION {json}(value bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT AS $json$
BEGIN
    RETURN convert_from(value, 'UTF8')::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $json$;
CREATE OR REPLACE FUNCTION {time}(text text) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT AS $time$
BEGIN
    RETURN text::timestamptz;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $time$;
CREATE OR REPLACE VIEW {results} AS
SELECT record ->> 'task_id' AS task_id, coalesce(e.state, record ->> 'status') AS state, e.task,
    e.worker, {time}(coalesce(e.done, record ->> 'date_done')) AS done, e.expires,
    record -> 'result' AS result, record ->> 'traceback' AS traceback, record, e.key, e.value
FROM {entry} AS e CROSS JOIN LATERAL (SELECT {json}(e.value) AS record OFFSET 0) AS decoded
WHERE e.rank IS NOT NULL AND e.expires > clock_timestamp();
"""
_ANSWERS = {"{UNKNOWN}": "0", "{CLOSED}": "1", "{WAITING}": "2", "{CLAIMED}": "3", "{HELD}": "4"}
_INDEXES = ("entry_expires", "entry_tasks", "entry_states", "entry_workers", "barrier_expires",
            "slot_name")  # fmt: skip


def script(names: Names) -> str:
    """The SQL that makes all, in one transaction, and changes nothing where it is made."""
    schema = f'CREATE SCHEMA IF NOT EXISTS "{names.schema}";' if names.schema else ""
    return schema + tables(names)


def grants(names: Names, user: str) -> str:
    """The SQL that gives a user what the adapter needs, and no more."""
    tables = ", ".join(names.of(each) for each in TABLES)
    lines = [
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO "{user}";',
        f'GRANT SELECT ON {names.of("results")} TO "{user}";',
    ]
    if names.schema:
        lines.append(f'GRANT USAGE ON SCHEMA "{names.schema}" TO "{user}";')
    return "\n".join(lines)


def tables(names: Names) -> str:
    """The SQL that makes all in a schema that is there."""
    text = _TABLES + _VISIT + _ADD + _VIEW
    for index in _INDEXES:
        text = text.replace(f"{{{index}}}", names.index(index))
    for answer, number in _ANSWERS.items():
        text = text.replace(answer, number)
    return names.filled(text.replace("{UNLOGGED}", "UNLOGGED" if names.unlogged else ""))


def prepare(link: Link, names: Names) -> None:
    """Make what is missing; of many that come at once one does, and the others wait for it.

    Raises `ConfigurationError` if the user has not the right, or these are not our tables.
    """
    entry = _literal(names.of("entry"))
    ((comment, there),) = link.run(
        f"SELECT obj_description(to_regclass({entry}), 'pg_class'), "
        f"to_regclass({entry}) IS NOT NULL"
    )
    if there == b"t":
        checked(comment and comment.decode(), names)
        return
    try:
        _make(link, names)
    except Refused as error:
        if NO_RIGHT not in str(error):
            raise
        raise ConfigurationError(
            f"{error}. The tables of kvbackends are missing, and this user may not make them: an "
            "administrator runs the SQL that `python -m kvbackends_postgresql` prints"
        ) from error


def _make(link: Link, names: Names) -> None:
    schema = _literal(names.schema)
    # The right to make a schema is asked for even where it is there.
    missing = names.schema and link.run(f"SELECT to_regnamespace(quote_ident({schema})) IS NULL")
    made = script(names) if missing and missing[0][0] == b"t" else tables(names)
    link.run(f"SELECT pg_advisory_xact_lock({names.lock_class}, {len(PARTS) + 1000}); {made}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
