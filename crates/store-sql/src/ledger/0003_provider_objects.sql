-- Whose request made what is kept at a provider. The provider row and the project are numbers of `name`.
-- at: microseconds.
CREATE TABLE provider_object (
    provider_id INTEGER NOT NULL,
    object TEXT NOT NULL,
    project_id INTEGER NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (provider_id, object)
) WITHOUT ROWID;

-- Answers that were stored before there was this table, so that their conversations can go on.
CREATE TEMPORARY TABLE answered AS
SELECT e.provider_id, json_extract(e.detail, '$.response_id') AS object, a.project_id, e.at
FROM entry e JOIN account a ON a.id = e.account_id
WHERE e.step = 1 AND e.provider_id IS NOT NULL
    AND e.detail LIKE '%"request_type":"responses"%'
    AND json_extract(e.detail, '$.response_id') IS NOT NULL;

INSERT OR IGNORE INTO name (text) SELECT DISTINCT project_id FROM answered;

INSERT OR IGNORE INTO provider_object (provider_id, object, project_id, at)
SELECT r.provider_id, r.object, n.id, r.at FROM answered r JOIN name n ON n.text = r.project_id;

DROP TABLE answered;
