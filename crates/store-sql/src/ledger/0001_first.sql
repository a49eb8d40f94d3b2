-- Ids that repeat on every row are numbers here, so that a row stays small.
CREATE TABLE account (
    id INTEGER NOT NULL PRIMARY KEY,
    virtual_key_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    UNIQUE (virtual_key_id, project_id, organization_id)
);

-- Models, provider rows and price lists.
CREATE TABLE name (
    id INTEGER NOT NULL PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
);

-- Append-only. step: 0 hold, 1 the outcome (settle or release), 2 adjust. One outcome per attempt is
-- what makes a second one harmless. Request ids begin with their time, so the tree grows at its end.
-- period: 202611 for November 2026.
CREATE TABLE entry (
    request_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    step INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    at BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    certainty INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    price_id INTEGER,
    period INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    provider_id INTEGER,
    model_id INTEGER NOT NULL,
    detail TEXT NOT NULL,
    input BIGINT NOT NULL DEFAULT 0,
    cache_read BIGINT NOT NULL DEFAULT 0,
    cache_write_5m BIGINT NOT NULL DEFAULT 0,
    cache_write_1h BIGINT NOT NULL DEFAULT 0,
    output BIGINT NOT NULL DEFAULT 0,
    reasoning BIGINT NOT NULL DEFAULT 0,
    input_audio BIGINT NOT NULL DEFAULT 0,
    output_audio BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (request_id, attempt, step)
) WITHOUT ROWID;

-- Sums over the outcomes and adjustments of an account, by minute and by hour (span: 60000, 3600000;
-- start: milliseconds) of the request ids. Written with the rows, and derived from nothing else. An
-- index over the rows would cost a page for every account of a batch; this costs one or two in all.
CREATE TABLE spent (
    span INTEGER NOT NULL,
    start BIGINT NOT NULL,
    account_id INTEGER NOT NULL,
    amount BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (span, start, account_id)
) WITHOUT ROWID;

-- How far each spool file was folded.
CREATE TABLE progress (
    file TEXT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
) WITHOUT ROWID;

-- One row: no open hold has a smaller request id.
CREATE TABLE open_from (
    only INTEGER NOT NULL PRIMARY KEY,
    request_id BLOB NOT NULL
);
