-- SPDX-License-Identifier: Apache-2.0
--
-- The chain's check in PostgreSQL, in three forms. Every function takes a batch as arrays and returns how many entries it
-- registered. `_previous` is empty for an entry that follows the one before it in its run.

CREATE TABLE head (
    device integer PRIMARY KEY,
    sequence bigint NOT NULL,
    hash bytea NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE entry (
    device integer NOT NULL,
    sequence bigint NOT NULL,
    digest bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (device, sequence)
);

-- H("link", sequence, previous, digest, tag) of docs/protocol/hashchain.md.
CREATE FUNCTION link(_sequence bigint, _previous bytea, _digest bytea, _tag bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256(
        '\x000000136d6865616c74682d68617368636861696e2f31000000046c696e6b00000008'::bytea
        || int8send(_sequence)
        || '\x00000020'::bytea || _previous || '\x00000020'::bytea || _digest || '\x00000020'::bytea || _tag)
$$;

-- One statement for a batch in which no device comes twice.
CREATE FUNCTION ingest_set(_device integer[], _sequence bigint[], _previous bytea[], _digest bytea[], _tag bytea[])
RETURNS bigint LANGUAGE sql AS $$
    WITH batch AS (
        SELECT * FROM unnest(_device, _sequence, _previous, _digest, _tag) AS b(device, sequence, previous, digest, tag)
    ), moved AS (
        UPDATE head SET sequence = b.sequence, hash = link(b.sequence, b.previous, b.digest, b.tag)
        FROM batch b
        WHERE head.device = b.device AND head.sequence + 1 = b.sequence AND head.hash = b.previous
        RETURNING b.device, b.sequence, b.digest, head.hash
    ), kept AS (
        INSERT INTO entry SELECT * FROM moved RETURNING 1
    )
    SELECT count(*) FROM kept
$$;

-- The same for batches with runs of several entries, or several runs of a device: links within a device's part of the batch are
-- computed step by step, all devices at once.
CREATE FUNCTION ingest_set_with_repeats(
    _device integer[], _sequence bigint[], _previous bytea[], _digest bytea[], _tag bytea[])
RETURNS bigint LANGUAGE sql AS $$
    WITH RECURSIVE batch AS MATERIALIZED (
        SELECT b.*, row_number() OVER (PARTITION BY device ORDER BY place) AS turn
        FROM unnest(_device, _sequence, _previous, _digest, _tag) WITH ORDINALITY
            AS b(device, sequence, previous, digest, tag, place)
    ), linked AS (
        SELECT b.device, b.turn, b.sequence, b.digest, link(b.sequence, b.previous, b.digest, b.tag) AS hash
        FROM batch b JOIN head h ON h.device = b.device
        WHERE b.turn = 1 AND h.sequence + 1 = b.sequence AND h.hash = b.previous
        UNION ALL
        SELECT b.device, b.turn, b.sequence, b.digest, link(b.sequence, l.hash, b.digest, b.tag)
        FROM linked l JOIN batch b ON b.device = l.device AND b.turn = l.turn + 1
        WHERE b.sequence = l.sequence + 1 AND (b.previous = l.hash OR b.previous = ''::bytea)
    ), moved AS (
        UPDATE head SET sequence = l.sequence, hash = l.hash
        FROM (SELECT DISTINCT ON (device) device, sequence, hash FROM linked ORDER BY device, turn DESC) l
        WHERE head.device = l.device
    ), kept AS (
        INSERT INTO entry SELECT device, sequence, digest, hash FROM linked RETURNING 1
    )
    SELECT count(*) FROM kept
$$;

-- Entry by entry.
CREATE FUNCTION ingest_in_a_loop(
    _device integer[], _sequence bigint[], _previous bytea[], _digest bytea[], _tag bytea[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    _head head;
    _hash bytea;
    _count bigint := 0;
BEGIN
    FOR _i IN 1 .. cardinality(_device) LOOP
        SELECT * INTO _head FROM head WHERE device = _device[_i];
        CONTINUE WHEN _head.sequence + 1 <> _sequence[_i]
            OR (_previous[_i] <> ''::bytea AND _previous[_i] <> _head.hash);
        _hash := link(_sequence[_i], _head.hash, _digest[_i], _tag[_i]);
        UPDATE head SET sequence = _sequence[_i], hash = _hash WHERE device = _device[_i];
        INSERT INTO entry VALUES (_device[_i], _sequence[_i], _digest[_i], _hash);
        _count := _count + 1;
    END LOOP;
    RETURN _count;
END
$$;

-- A trigger on a view, so that what is inserted can carry what the table does not keep.
CREATE VIEW arrival AS
    SELECT device, sequence, hash AS previous, digest, hash AS tag FROM entry;

CREATE FUNCTION register() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    _head head;
    _hash bytea;
BEGIN
    SELECT * INTO _head FROM head WHERE device = NEW.device FOR UPDATE;
    IF _head.sequence + 1 <> NEW.sequence OR (NEW.previous <> ''::bytea AND NEW.previous <> _head.hash) THEN
        RETURN NULL;
    END IF;
    _hash := link(NEW.sequence, _head.hash, NEW.digest, NEW.tag);
    UPDATE head SET sequence = NEW.sequence, hash = _hash WHERE device = NEW.device;
    INSERT INTO entry VALUES (NEW.device, NEW.sequence, NEW.digest, _hash);
    RETURN NEW;
END
$$;

CREATE TRIGGER register INSTEAD OF INSERT ON arrival FOR EACH ROW EXECUTE FUNCTION register();

CREATE FUNCTION ingest_by_trigger(
    _device integer[], _sequence bigint[], _previous bytea[], _digest bytea[], _tag bytea[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    _count bigint;
BEGIN
    INSERT INTO arrival SELECT * FROM unnest(_device, _sequence, _previous, _digest, _tag);
    GET DIAGNOSTICS _count = ROW_COUNT;
    RETURN _count;
END
$$;
