// SPDX-License-Identifier: Apache-2.0

//! Tables of the state file.

/// Version of the tables, in the file as SQLite's `user_version`. A program refuses files of other versions.
pub(super) const VERSION: i64 = 4;

/// Says whose file this is, as SQLite's `application_id` ("mHdv").
pub(super) const APPLICATION_ID: i64 = 0x6d48_6476;

/// Made in one transaction together with the two numbers above: a file is either empty or complete.
pub(super) const TABLES: &str = "
CREATE TABLE terms (
    only_one       INTEGER PRIMARY KEY CHECK (only_one = 1),
    chain          BLOB NOT NULL CHECK (length(chain) = 32),
    study          INTEGER NOT NULL,
    auditor_key    BLOB NOT NULL CHECK (length(auditor_key) = 32),
    auditor_epoch  INTEGER NOT NULL CHECK (auditor_epoch >= 0),
    salt           BLOB NOT NULL CHECK (length(salt) = 32)
) STRICT;

-- What was proved of the chain's authorities. Proofs are checked from here on.
CREATE TABLE anchor (
    only_one  INTEGER PRIMARY KEY CHECK (only_one = 1),
    known     BLOB NOT NULL
) STRICT;

-- Blocks that the devices' holder trusts to be of the chain, as the consortium named them.
CREATE TABLE checkpoint (
    number  INTEGER NOT NULL CHECK (number BETWEEN 0 AND 4294967295),
    hash    BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (number, hash)
) STRICT;

-- One row a device. `seed` and `ratchet` are secret. `chain_id` is the device's number on the chain, as it was proved; `said`
-- is the number that a server named when it enrolled the device. `seen` is the block in which its head was proved last.
-- `code` is secret, too: whoever has it can enrol in the participant's name. It is erased once the enrolment is proved.
-- `recipient` is the participant's X25519 key, to which payloads are sealed; none in studies with plain envelopes. It is enrolled
-- with the device and does not change from then on. `auditor_key` is what the escrow is sealed to, the study's key of that epoch.
CREATE TABLE device (
    id                 INTEGER PRIMARY KEY,
    participant        TEXT NOT NULL UNIQUE,
    key                BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
    seed               BLOB NOT NULL CHECK (length(seed) = 32),
    secret_commitment  BLOB NOT NULL CHECK (length(secret_commitment) = 32),
    escrow             BLOB NOT NULL,
    auditor_key        BLOB NOT NULL CHECK (length(auditor_key) = 32),
    auditor_epoch      INTEGER NOT NULL CHECK (auditor_epoch >= 0),
    predecessor        INTEGER,
    predecessor_head   BLOB CHECK (length(predecessor_head) = 32),
    genesis            BLOB NOT NULL CHECK (length(genesis) = 32),
    chain_id           INTEGER UNIQUE,
    said               INTEGER,
    seen               INTEGER NOT NULL DEFAULT 0 CHECK (seen >= 0),
    length             INTEGER NOT NULL CHECK (length >= 0),
    head               BLOB NOT NULL CHECK (length(head) = 32),
    ratchet            BLOB NOT NULL CHECK (length(ratchet) = 32),
    checksum           BLOB NOT NULL CHECK (length(checksum) = 16),
    confirmed          INTEGER NOT NULL DEFAULT 0 CHECK (confirmed BETWEEN 0 AND length),
    frozen             TEXT,
    created            INTEGER NOT NULL,
    code               TEXT,
    recipient          BLOB CHECK (length(recipient) = 32)
) STRICT;

-- One row an entry. `source` is the caller's name for what was sealed, for example the day of the night; an entry that
-- corrects another one has the same. `content` is a keyed digest of what the source said: it tells a repetition from a
-- correction. Whoever has this file can try out with it what somebody recorded.
CREATE TABLE entry (
    device    INTEGER NOT NULL REFERENCES device (id),
    sequence  INTEGER NOT NULL CHECK (sequence > 0),
    source    TEXT NOT NULL,
    digest    BLOB NOT NULL CHECK (length(digest) = 32),
    tag       BLOB NOT NULL CHECK (length(tag) = 32),
    hash      BLOB NOT NULL CHECK (length(hash) = 32),
    content   BLOB NOT NULL CHECK (length(content) = 16),
    sealed    INTEGER NOT NULL,
    envelope  BLOB NOT NULL,
    UNIQUE (device, sequence),
    UNIQUE (device, source, sequence)
) STRICT;

-- What was first taken in under a name that looks like this, as a pseudonym: the same person does not come back under a
-- name that differs from it by what nobody sees.
CREATE TABLE likeness (
    likeness     TEXT PRIMARY KEY,
    participant  TEXT NOT NULL
) STRICT;

-- One row a run that was formed and is not confirmed yet. Its bytes never change: a retry sends the same ones.
CREATE TABLE run (
    device     INTEGER NOT NULL REFERENCES device (id),
    first      INTEGER NOT NULL CHECK (first > 0),
    last       INTEGER NOT NULL CHECK (last >= first),
    signature  BLOB NOT NULL CHECK (length(signature) = 64),
    refusal    TEXT,
    PRIMARY KEY (device, first)
) STRICT;

-- Relays that acknowledged a run which has to be held by several.
CREATE TABLE copy (
    device  INTEGER NOT NULL REFERENCES device (id),
    first   INTEGER NOT NULL,
    relay   TEXT NOT NULL,
    PRIMARY KEY (device, first, relay)
) STRICT;

-- Base addresses of the servers: at most one authentication server, any number of relays. `bare`: they chain bare records
-- on the devices' behalf.
CREATE TABLE server (
    address  TEXT NOT NULL,
    role     TEXT NOT NULL CHECK (role IN ('authentication', 'relay')),
    bare     INTEGER NOT NULL CHECK (bare IN (0, 1)),
    PRIMARY KEY (role, address)
) STRICT;

-- Relays that did not do what they said, and until when others are turned to first, in seconds since 1970.
CREATE TABLE doubt (
    relay  TEXT PRIMARY KEY,
    until  INTEGER NOT NULL
) STRICT;
";
