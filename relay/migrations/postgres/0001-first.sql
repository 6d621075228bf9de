-- SPDX-License-Identifier: Apache-2.0
-- One row: the id of the next run, the turn after all that were given, and where the clock of turns stood last, which never goes back. Whoever stores runs updates the
-- row first, so ids are committed in their order, and an export never jumps over one that is committed later.
CREATE TABLE relay (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    next_run BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    clock BIGINT NOT NULL
);
INSERT INTO relay (id, next_run, turn, clock) VALUES (1, 1, 0, 0);

-- Runs go to the chain in the order of their turns (src/store/quotas.rs). State: 0 pending, 1 submitted, 2 finalised, 3 refused, 4 conflicting. Rival: 1 if the run contradicts its device's history,
-- 2 if the device's key signed it all the same. Bytes of entries: 64 each, digest and tag. Settled: when this relay learnt what became of it, in milliseconds since 1970.
-- Kept: 0 once its envelopes were erased.
CREATE TABLE runs (
    id BIGINT PRIMARY KEY,
    run BYTEA NOT NULL UNIQUE,
    device BIGINT NOT NULL,
    study BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    previous BYTEA NOT NULL,
    head BYTEA NOT NULL,
    signature BYTEA,
    rival BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    state BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    batch BIGINT,
    block_number BIGINT,
    block_hash BYTEA,
    extrinsic_index BIGINT,
    reason TEXT,
    settled_at BIGINT,
    kept BIGINT NOT NULL DEFAULT 1,
    entries_bytes BYTEA NOT NULL
);
CREATE INDEX runs_pending ON runs (turn, id) WHERE state = 0;
CREATE INDEX runs_open ON runs (state, entries, received_at) WHERE state < 2;
CREATE INDEX runs_of_batch ON runs (batch) WHERE batch IS NOT NULL;
CREATE INDEX runs_of_device ON runs (device, sequence);
-- What grows too old by its study's rule, the oldest first; what was erased is not in it.
CREATE INDEX runs_expiring ON runs (study, settled_at) WHERE kept = 1 AND state IN (2, 4);

-- Apart from the runs, whose rows change with their state: each envelope with its length before it. Once they were erased the
-- run stays, and what is left here says nothing.
CREATE TABLE payloads (
    id BIGINT PRIMARY KEY,
    envelopes BYTEA NOT NULL
);

-- The end of each device's hashchain with everything that was accepted here.
CREATE TABLE heads (
    device BIGINT PRIMARY KEY,
    length BIGINT NOT NULL,
    hash BYTEA NOT NULL
);

-- Signed transactions, stored before they are sent. State: 0 live, 1 settled, 2 dead. Runs: their ids, 8 bytes each.
CREATE TABLE batches (
    id BIGINT PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    nonce BIGINT NOT NULL,
    death BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    runs BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    state BIGINT NOT NULL,
    block_number BIGINT
);
CREATE UNIQUE INDEX batches_live ON batches (nonce) WHERE state = 0;

-- One row: the id of the next batch, which no other ever had, because runs name theirs for longer than it is kept; and the nonce after
-- all that were spent here for the account, none before one was.
CREATE TABLE sending (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    next_batch BIGINT NOT NULL,
    next_nonce BIGINT
);
INSERT INTO sending (id, next_batch, next_nonce) VALUES (1, 1, NULL);

-- Finalised blocks that were worked off, the latest few hundred.
CREATE TABLE followed (
    number BIGINT PRIMARY KEY,
    hash BYTEA NOT NULL
);

-- Records that were chained here on a device's behalf, by the device's own count.
CREATE TABLE records (
    device BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    run BYTEA NOT NULL,
    PRIMARY KEY (device, sequence)
);

-- What a device takes: bytes that are kept; bytes that count for the day, and when that was so, in milliseconds since 1970;
-- and the turn of its next run. Erased: 1 once its envelopes were ordered to be erased; nothing of it is stored any more.
CREATE TABLE device_usage (
    device BIGINT PRIMARY KEY,
    bytes BIGINT NOT NULL,
    day BIGINT NOT NULL,
    day_at BIGINT NOT NULL,
    turn BIGINT NOT NULL,
    erased BIGINT NOT NULL DEFAULT 0
);

-- Devices whose envelopes were ordered to be erased: digest of the order, whose credential brought it, and when, in seconds
-- since 1970. Done: 1 once there are none left.
CREATE TABLE erasures (
    device BIGINT PRIMARY KEY,
    study BIGINT NOT NULL,
    receipt BYTEA NOT NULL,
    brought_by TEXT NOT NULL,
    ordered_at BIGINT NOT NULL,
    done BIGINT NOT NULL
);

-- One row: how often bytes were to leave the database's files by an order, and up to which of these times they have. The same of what was
-- too old (later, gone), and up to which of these times its hour has come (due).
CREATE TABLE scrubbing (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    wanted BIGINT NOT NULL,
    done BIGINT NOT NULL,
    later BIGINT NOT NULL,
    due BIGINT NOT NULL,
    gone BIGINT NOT NULL
);
INSERT INTO scrubbing (id, wanted, done, later, due, gone) VALUES (1, 0, 0, 0, 0, 0);
