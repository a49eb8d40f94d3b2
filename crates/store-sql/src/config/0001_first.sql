-- Tenants, people, credentials, and the record of changes.
-- Composite foreign keys keep every row inside its organization: a team, project or scope of another one
-- is refused by the engine itself.

CREATE TABLE organizations (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    slug TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE teams (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    hidden INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (organization_id, slug),
    UNIQUE (organization_id, id)
);

CREATE TABLE projects (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    team_id TEXT NOT NULL,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    kind TEXT NOT NULL,
    archived_at BIGINT,
    created_at BIGINT NOT NULL,
    UNIQUE (organization_id, slug),
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id)
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT,
    created_at BIGINT NOT NULL
);

CREATE TABLE organization_users (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);

CREATE INDEX organization_users_by_user ON organization_users (user_id);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    lookup_id TEXT NOT NULL UNIQUE,
    hashed_secret TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);

CREATE TABLE model_providers (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    routing_handle TEXT,
    enabled INTEGER NOT NULL,
    sealed_keys TEXT NOT NULL,
    sealed_extra_headers TEXT,
    custom_models TEXT,
    custom_embeddings_models TEXT,
    deployment_mapping TEXT,
    rate_limit_rpm BIGINT,
    rate_limit_tpm BIGINT,
    rate_limit_rpd BIGINT,
    fallback_priority_global BIGINT,
    provider_config TEXT,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, routing_handle),
    UNIQUE (organization_id, id)
);

CREATE INDEX model_providers_by_age ON model_providers (organization_id, created_at, id);

-- A row without team and project is the organization itself.
CREATE TABLE model_provider_scopes (
    organization_id TEXT NOT NULL,
    model_provider_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    team_id TEXT,
    project_id TEXT,
    PRIMARY KEY (model_provider_id, place),
    FOREIGN KEY (organization_id, model_provider_id)
        REFERENCES model_providers (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id),
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id)
);

CREATE INDEX model_provider_scopes_by_target
    ON model_provider_scopes (organization_id, team_id, project_id);

CREATE TABLE virtual_keys (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    description TEXT,
    status TEXT NOT NULL,
    env TEXT NOT NULL,
    external_id TEXT,
    metadata TEXT NOT NULL,
    trace_project_id TEXT NOT NULL,
    principal_user_id TEXT REFERENCES users (id),
    routing_mode TEXT NOT NULL,
    expires_at BIGINT,
    config TEXT NOT NULL,
    revision BIGINT NOT NULL,
    hashed_secret TEXT NOT NULL UNIQUE,
    display_prefix TEXT NOT NULL,
    previous_hashed_secret TEXT,
    previous_secret_valid_until BIGINT,
    disabled_reason TEXT,
    disabled_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, external_id),
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, trace_project_id) REFERENCES projects (organization_id, id)
);

CREATE INDEX virtual_keys_by_age ON virtual_keys (organization_id, created_at, id);
CREATE INDEX virtual_keys_by_previous ON virtual_keys (previous_hashed_secret);

-- A row without team and project is the organization itself.
CREATE TABLE virtual_key_scopes (
    organization_id TEXT NOT NULL,
    virtual_key_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    team_id TEXT,
    project_id TEXT,
    PRIMARY KEY (virtual_key_id, place),
    FOREIGN KEY (organization_id, virtual_key_id)
        REFERENCES virtual_keys (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id),
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id)
);

-- One row, taken under the lock of the writing transaction: revisions become visible in order.
CREATE TABLE change_counter (
    id INTEGER NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);

INSERT INTO change_counter (id, revision) VALUES (1, 0);

CREATE TABLE change_events (
    revision BIGINT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    virtual_key_id TEXT,
    model_provider_id TEXT,
    project_id TEXT,
    created_at BIGINT NOT NULL
);

-- Append-only.
CREATE TABLE audit_log (
    id TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    user_id TEXT,
    organization_id TEXT,
    project_id TEXT,
    action TEXT NOT NULL,
    target_kind TEXT,
    target_id TEXT,
    before_row TEXT,
    after_row TEXT,
    args TEXT,
    metadata TEXT,
    error TEXT,
    ip_address TEXT,
    user_agent TEXT
);

CREATE INDEX audit_log_by_age ON audit_log (organization_id, created_at, id);
