-- One row is one gateway request. What lists need stands first, the bodies last: reading the former
-- never touches the pages of the latter.
CREATE TABLE trace (
    id INTEGER NOT NULL PRIMARY KEY,
    request_id BLOB NOT NULL UNIQUE,
    trace_id BLOB NOT NULL,
    span_id BLOB NOT NULL,
    parent_span_id BLOB,
    organization_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    virtual_key_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    http_status INTEGER NOT NULL,
    error INTEGER NOT NULL,
    facts TEXT NOT NULL,
    input_form INTEGER,
    input_truncated INTEGER,
    output_form INTEGER,
    output_truncated INTEGER,
    input BLOB,
    output BLOB
);

CREATE INDEX trace_trace ON trace (trace_id);

-- Lists and counts are answered from the index alone.
CREATE INDEX trace_project ON trace (project_id, started_at, request_id, error);
