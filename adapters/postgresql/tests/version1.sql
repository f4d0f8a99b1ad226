
CREATE  TABLE IF NOT EXISTS "old_entry" (
    key bytea PRIMARY KEY,
    version uuid NOT NULL DEFAULT gen_random_uuid(),
    expires timestamptz NOT NULL,
    rank smallint,
    state text, task text, worker text, done text,
    value bytea NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE "old_entry" ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS "old_entry_expires" ON "old_entry" (expires) WHERE expires < 'infinity';
CREATE INDEX IF NOT EXISTS "old_entry_task" ON "old_entry" (task, state, key) WHERE task IS NOT NULL;
CREATE INDEX IF NOT EXISTS "old_entry_state" ON "old_entry" (state, key) WHERE state IS NOT NULL;
CREATE INDEX IF NOT EXISTS "old_entry_worker" ON "old_entry" (worker, key) WHERE worker IS NOT NULL;
CREATE  TABLE IF NOT EXISTS "old_barrier" (
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
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX IF NOT EXISTS "old_barrier_expires" ON "old_barrier" (expires) WHERE expires < 'infinity';
CREATE  TABLE IF NOT EXISTS "old_about" (run uuid PRIMARY KEY, value bytea NOT NULL);
CREATE  TABLE IF NOT EXISTS "old_part" (
    run uuid, member bytea, place int, number int NOT NULL, value bytea NOT NULL,
    PRIMARY KEY (run, member, place)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE "old_part" ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE  TABLE IF NOT EXISTS "old_slot" (
    run uuid, member bytea, slot bytea, arrived boolean NOT NULL, PRIMARY KEY (run, member, slot)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX IF NOT EXISTS "old_slot_name" ON "old_slot" (run, slot);
CREATE  TABLE IF NOT EXISTS "old_trash" (run uuid PRIMARY KEY);
COMMENT ON TABLE "old_entry" IS 'kvbackends, tables of version 1';

CREATE OR REPLACE FUNCTION "old_visit"(
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
    b "old_barrier";
    until timestamptz := coalesce(clock_timestamp() + make_interval(secs => ttl::float8), 'infinity');
    later timestamptz := coalesce(clock_timestamp() + make_interval(secs => ttl * 1.125::float8), 'infinity');
    brings boolean := its_value IS NOT NULL OR its_size IS NOT NULL;
    places int;
    fills int;
BEGIN
    SELECT * INTO b FROM "old_barrier" t
    WHERE t.name = its_name AND t.expires > clock_timestamp() FOR NO KEY UPDATE;
    outcome := CASE WHEN NOT FOUND THEN 0 WHEN b.done THEN 1
                    ELSE 2 END;
    IF outcome = 2 THEN
        b.size := coalesce(its_size, b.size);
        IF its_value IS NOT NULL THEN
            INSERT INTO "old_part" (run, member, place, number, value)
            VALUES (b.run, its_member, its_place, b.arrived + 1, its_value) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                b.arrived := b.arrived + 1;
                places := 0;
                IF b.slots > 0 OR b.delivery IS NOT NULL THEN
                    SELECT count(*), count(*) FILTER (WHERE s.slot <> '' AND NOT EXISTS (
                        SELECT FROM "old_slot" o
                        WHERE o.run = s.run AND o.slot = s.slot AND o.arrived)) INTO places, fills
                    FROM "old_slot" s WHERE s.run = b.run AND s.member = its_member;
                END IF;
                IF places = 0 THEN
                    b.header := b.header + 1;
                ELSE
                    b.unfilled := b.unfilled - fills;
                    UPDATE "old_slot" s SET arrived = true
                    WHERE s.run = b.run AND s.member = its_member;
                END IF;
            END IF;
        END IF;
        IF b.size IS NOT NULL AND b.header >= b.size AND b.unfilled = 0 THEN
            IF b.delivery IS NULL OR b.delivery IN (its_delivery, evict)
                OR brings AND b.place = its_place AND b.member = its_member
            THEN
                outcome := 3;
                b.place := its_place; b.member := its_member; b.delivery := its_delivery;
                brings := true;
                parts := b.header + b.slots;
                payload := (SELECT a.value FROM "old_about" a WHERE a.run = b.run);
            ELSE
                outcome := 4;
                holder := b.delivery;
            END IF;
        END IF;
        IF brings THEN
            UPDATE "old_barrier" t
            SET size = b.size, arrived = b.arrived, header = b.header, unfilled = b.unfilled,
                place = b.place, member = b.member, delivery = b.delivery,
                expires = CASE WHEN t.expires >= until THEN t.expires ELSE later END
            WHERE t.name = its_name;
        END IF;
    END IF;
    IF its_rank < 3 OR its_rank = 3 AND outcome = 2 THEN
        
INSERT INTO "old_entry" AS e (key, value, expires, rank, state, task, worker, done)
VALUES (its_key::bytea, its_value::bytea, coalesce(clock_timestamp() + make_interval(secs => its_ttl::float8), 'infinity'), its_rank::smallint, its_state, its_task, its_worker, its_done)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, expires = excluded.expires, version = excluded.version,
    rank = excluded.rank, state = excluded.state, task = excluded.task,
    worker = excluded.worker, done = excluded.done
WHERE e.expires <= clock_timestamp() OR e.rank <= excluded.rank AND e.rank <> 3
    OR e.value = excluded.value
RETURNING NOT pg_try_advisory_xact_lock(924948930, its_bucket::int) INTO listened;
        stored := FOUND;
    END IF;
END $visit$;

CREATE OR REPLACE FUNCTION "old_add"(its_name bytea, its_slot bytea, its_member bytea, ttl float8)
RETURNS void LANGUAGE plpgsql AS $add$
#variable_conflict use_column
DECLARE
    b "old_barrier";
    until timestamptz := coalesce(clock_timestamp() + make_interval(secs => ttl::float8), 'infinity');
    later timestamptz := coalesce(clock_timestamp() + make_interval(secs => ttl * 1.125::float8), 'infinity');
    wanted bytea := its_slot;
    had boolean;
    was_header boolean;
    places int;
BEGIN
    SELECT * INTO b FROM "old_barrier" t
    WHERE t.name = its_name AND NOT t.done AND t.expires > clock_timestamp() FOR NO KEY UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM "old_slot" s
        WHERE s.run = b.run AND s.member = its_member AND s.slot = its_slot) THEN
        RETURN;
    END IF;
    IF b.delivery IS NOT NULL THEN
        wanted := '';  -- a stray: after the claim nothing more is expected
    END IF;
    was_header := NOT EXISTS (
        SELECT FROM "old_slot" s WHERE s.run = b.run AND s.member = its_member);
    had := (SELECT bool_or(s.arrived) FROM "old_slot" s WHERE s.run = b.run AND s.slot = wanted);
    places := (SELECT count(*) FROM "old_part" p WHERE p.run = b.run AND p.member = its_member);
    INSERT INTO "old_slot" (run, member, slot, arrived)
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
    UPDATE "old_barrier" t SET header = b.header, slots = b.slots, unfilled = b.unfilled,
        expires = CASE WHEN t.expires >= until THEN t.expires ELSE later END
    WHERE t.name = its_name;
END $add$;

CREATE OR REPLACE FUNCTION "old_json"(value bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT AS $json$
BEGIN
    RETURN convert_from(value, 'UTF8')::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $json$;
CREATE OR REPLACE FUNCTION "old_time"(text text) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT AS $time$
BEGIN
    RETURN text::timestamptz;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $time$;
CREATE OR REPLACE VIEW "old_results" AS
SELECT record ->> 'task_id' AS task_id, coalesce(e.state, record ->> 'status') AS state, e.task,
    e.worker, "old_time"(coalesce(e.done, record ->> 'date_done')) AS done, e.expires,
    record -> 'result' AS result, record ->> 'traceback' AS traceback, record, e.key, e.value
FROM "old_entry" AS e CROSS JOIN LATERAL (SELECT "old_json"(e.value) AS record OFFSET 0) AS decoded
WHERE e.rank IS NOT NULL AND e.expires > clock_timestamp();

