-- What each budget was charged, by bucket. A row of `entry` names its buckets by the number of the text of
-- their list, so that a row stays small and the charge of a hold without an outcome knows them.
ALTER TABLE entry ADD COLUMN budgets_id INTEGER;

-- opened: whether what was spent before there was the budget is in `opening`.
CREATE TABLE budget (
    id INTEGER NOT NULL PRIMARY KEY,
    text TEXT NOT NULL UNIQUE,
    opened INTEGER NOT NULL DEFAULT 0
);

-- One bucket of a budget: a person of a group, an end user of a template, or the only one (member '').
CREATE TABLE bucket (
    id INTEGER NOT NULL PRIMARY KEY,
    budget_id INTEGER NOT NULL,
    member TEXT NOT NULL,
    UNIQUE (budget_id, member)
);

-- The buckets of a list. list_id: a number of `name`.
CREATE TABLE listed (
    list_id INTEGER NOT NULL,
    bucket_id INTEGER NOT NULL,
    PRIMARY KEY (list_id, bucket_id)
) WITHOUT ROWID;

-- What was spent of a bucket before there was its budget. at: microseconds.
CREATE TABLE opening (
    bucket_id INTEGER NOT NULL,
    at BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (bucket_id, at)
) WITHOUT ROWID;

-- Sums over the charges of a bucket, as in `spent`. charges: how many attempts moved something. The bucket
-- comes first, so that reading one does not depend on how many others there are.
CREATE TABLE charged (
    bucket_id INTEGER NOT NULL,
    span INTEGER NOT NULL,
    start BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    charges BIGINT NOT NULL,
    PRIMARY KEY (bucket_id, span, start)
) WITHOUT ROWID;
