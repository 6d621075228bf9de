-- SPDX-License-Identifier: Apache-2.0
-- What the database of every server has.

-- Whose database this is, such as one chain's and one account's.
CREATE TABLE identity (
    what TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

-- One row: which process works with the chain. The fence grows with every change of hands. Times are milliseconds since 1970
-- by the database's clock.
CREATE TABLE lease (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    holder TEXT NOT NULL,
    fence BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
INSERT INTO lease (id, holder, fence, duration, expires_at) VALUES (1, '', 0, 0, 0);

-- Named credentials. `hash` is the SHA-256 of one, `scopes` what it is good for, `created_at` seconds since 1970.
CREATE TABLE credentials (
    name TEXT PRIMARY KEY NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
