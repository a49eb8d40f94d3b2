-- Sums also by provider, and by day, so that budgets with a provider filter and budgets of a long period
-- are summed without walking rows. provider_id: 0 for rows without a provider. Filled from the rows, as
-- the sums before were; the first six bytes of a request id are its milliseconds.
CREATE TABLE spent_by_provider (
    span INTEGER NOT NULL,
    start BIGINT NOT NULL,
    account_id INTEGER NOT NULL,
    provider_id INTEGER NOT NULL,
    amount BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (span, start, account_id, provider_id)
) WITHOUT ROWID;

WITH outcome AS (
    SELECT account_id, coalesce(provider_id, 0) AS provider_id, amount,
        hex(substr(request_id, 1, 6)) AS digits,
        step = 1 AND NOT EXISTS (
            SELECT 1 FROM entry o WHERE o.request_id = e.request_id AND o.step = 1
                AND o.attempt < e.attempt) AS counts
    FROM entry e WHERE step > 0
), timed AS (
    SELECT account_id, provider_id, amount, counts,
        ((instr('0123456789ABCDEF', substr(digits, 1, 1)) - 1) << 44)
        + ((instr('0123456789ABCDEF', substr(digits, 2, 1)) - 1) << 40)
        + ((instr('0123456789ABCDEF', substr(digits, 3, 1)) - 1) << 36)
        + ((instr('0123456789ABCDEF', substr(digits, 4, 1)) - 1) << 32)
        + ((instr('0123456789ABCDEF', substr(digits, 5, 1)) - 1) << 28)
        + ((instr('0123456789ABCDEF', substr(digits, 6, 1)) - 1) << 24)
        + ((instr('0123456789ABCDEF', substr(digits, 7, 1)) - 1) << 20)
        + ((instr('0123456789ABCDEF', substr(digits, 8, 1)) - 1) << 16)
        + ((instr('0123456789ABCDEF', substr(digits, 9, 1)) - 1) << 12)
        + ((instr('0123456789ABCDEF', substr(digits, 10, 1)) - 1) << 8)
        + ((instr('0123456789ABCDEF', substr(digits, 11, 1)) - 1) << 4)
        + (instr('0123456789ABCDEF', substr(digits, 12, 1)) - 1) AS millis
    FROM outcome
)
INSERT INTO spent_by_provider
SELECT 60000, millis - millis % 60000, account_id, provider_id, sum(amount), sum(counts)
FROM timed GROUP BY 2, 3, 4;

INSERT INTO spent_by_provider
SELECT 3600000, start - start % 3600000, account_id, provider_id, sum(amount), sum(requests)
FROM spent_by_provider WHERE span = 60000 GROUP BY 2, 3, 4;

INSERT INTO spent_by_provider
SELECT 86400000, start - start % 86400000, account_id, provider_id, sum(amount), sum(requests)
FROM spent_by_provider WHERE span = 3600000 GROUP BY 2, 3, 4;

DROP TABLE spent;
ALTER TABLE spent_by_provider RENAME TO spent;

-- The accounts of a project and of an organization. Those of a key are found by the table's own key.
CREATE INDEX account_by_project ON account (organization_id, project_id);
