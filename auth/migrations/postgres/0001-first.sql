-- SPDX-License-Identifier: Apache-2.0
-- The database of an authentication server. Times are seconds since 1970.

-- Enrolment codes. `hash` is `H("code", symbols)`.
CREATE TABLE codes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    participant TEXT NOT NULL,
    participant_key BYTEA,
    predecessor BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    claimed_at BIGINT
);
CREATE INDEX codes_by_participant ON codes (participant);

-- What devices redeemed their codes with, and what became of it. Written before the chain is asked.
CREATE TABLE enrolments (
    code BIGINT PRIMARY KEY REFERENCES codes (id),
    device_key BYTEA NOT NULL UNIQUE,
    commitment BYTEA NOT NULL,
    escrow BYTEA NOT NULL,
    auditor_epoch BIGINT NOT NULL,
    key_proof BYTEA NOT NULL,
    device BIGINT UNIQUE,
    genesis BYTEA,
    block_number BIGINT,
    block_hash BYTEA,
    enrolled_at BIGINT
);

-- What the server is to do on the chain. State: 0 pending, 1 done, 2 refused. Pending since then, in seconds since 1970: from when it was
-- given, or given anew.
CREATE TABLE orders (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action TEXT NOT NULL,
    code BIGINT UNIQUE REFERENCES codes (id),
    device BIGINT,
    argument TEXT NOT NULL,
    actor TEXT NOT NULL,
    why TEXT NOT NULL,
    pending_since BIGINT NOT NULL,
    state BIGINT NOT NULL,
    outcome TEXT
);
CREATE INDEX orders_by_state ON orders (state, id);
-- What staff ordered is found among however many enrolments.
CREATE INDEX orders_of_staff ON orders (state, id) WHERE code IS NULL;

-- Keys that sign tokens. The newest signs. `wrapped` is encrypted, and forgotten when the key has been followed by another.
CREATE TABLE signing_keys (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kid TEXT NOT NULL UNIQUE,
    public_key BYTEA NOT NULL,
    wrapped BYTEA,
    created_at BIGINT NOT NULL,
    followed_at BIGINT
);

-- Proofs of token requests, for as long as they would still be taken.
CREATE TABLE proofs (
    id BYTEA PRIMARY KEY,
    until BIGINT NOT NULL
);
CREATE INDEX proofs_by_time ON proofs (until);

-- What a second person has to agree to. State: 0 open, 1 approved, 2 rejected, 3 ended by time.
CREATE TABLE approvals (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    why TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state BIGINT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT
);
CREATE INDEX approvals_by_state ON approvals (state, expires_at);

-- Staff who logged in by the provider. `hash` is the SHA-256 of the credential, `claims` what the provider said of the person.
CREATE TABLE sessions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    name TEXT NOT NULL,
    claims TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_time ON sessions (expires_at);
CREATE INDEX sessions_by_name ON sessions (name);

-- Who did what, when and why. Each line's hash covers the line before it.
CREATE TABLE log (
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    why TEXT NOT NULL,
    hash BYTEA NOT NULL
);
CREATE FUNCTION refuse_to_change_the_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only';
END;
$$;
CREATE TRIGGER log_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_log();
