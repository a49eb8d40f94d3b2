-- The rest of the management plane: settings, groups, roles and bindings, routing policies, budgets, cache
-- rules, guardrails, own prices, invitations, and the answers to repeated calls.
--
-- Composite foreign keys keep every row inside its organization, as before. A column that is added to a
-- table cannot be part of one: where it matters, the statements that write it look.
--
-- Tables with a column `doc` keep their row as one JSON document; the other columns are what is filtered,
-- sorted, unique or referenced. See document.rs.

-- What was there before.

ALTER TABLE organizations ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';

ALTER TABLE teams ADD COLUMN personal_owner TEXT REFERENCES users (id);
ALTER TABLE teams ADD COLUMN archived_at BIGINT;
ALTER TABLE teams ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE teams SET updated_at = created_at;

ALTER TABLE projects ADD COLUMN language TEXT NOT NULL DEFAULT 'other';
ALTER TABLE projects ADD COLUMN framework TEXT NOT NULL DEFAULT 'other';
ALTER TABLE projects ADD COLUMN pii_redaction_level TEXT NOT NULL DEFAULT 'ESSENTIAL';
ALTER TABLE projects ADD COLUMN key_hash TEXT;
ALTER TABLE projects ADD COLUMN key_sealed TEXT;
ALTER TABLE projects ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE projects SET updated_at = created_at;
CREATE UNIQUE INDEX projects_by_key ON projects (key_hash);
CREATE INDEX projects_by_team ON projects (organization_id, team_id);
CREATE INDEX projects_of_governance ON projects (organization_id, created_at, id)
    WHERE kind = 'internal_governance';

ALTER TABLE organization_users ADD COLUMN disabled_at BIGINT;
ALTER TABLE organization_users ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
-- Nobody wrote down when it began: it cannot have been before both sides were there.
UPDATE organization_users SET created_at = (
    SELECT CASE WHEN o.created_at > u.created_at THEN o.created_at ELSE u.created_at END
    FROM organizations o, users u
    WHERE o.id = organization_users.organization_id AND u.id = organization_users.user_id
);

ALTER TABLE api_keys ADD COLUMN description TEXT;
ALTER TABLE api_keys ADD COLUMN user_id TEXT REFERENCES users (id);
ALTER TABLE api_keys ADD COLUMN created_by_user_id TEXT REFERENCES users (id);
ALTER TABLE api_keys ADD COLUMN permission_mode TEXT NOT NULL DEFAULT 'all';
CREATE UNIQUE INDEX api_keys_of_organization ON api_keys (organization_id, id);
CREATE INDEX api_keys_by_age ON api_keys (organization_id, created_at, id);

ALTER TABLE model_providers ADD COLUMN disabled_at BIGINT;
CREATE INDEX model_providers_by_kind ON model_providers (organization_id, provider, created_at, id);

-- Scope rows repeat when their owner was created: a list of what one scope holds walks along one index.
-- The organization is not its first column, or deleting an owner would be led to it and walk through all
-- scope rows of the organization.
ALTER TABLE model_provider_scopes ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
UPDATE model_provider_scopes SET created_at = (
    SELECT p.created_at FROM model_providers p WHERE p.id = model_provider_scopes.model_provider_id
);
DROP INDEX model_provider_scopes_by_target;
CREATE INDEX model_provider_scopes_by_target
    ON model_provider_scopes (team_id, project_id, organization_id, created_at, model_provider_id);

ALTER TABLE virtual_key_scopes ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
UPDATE virtual_key_scopes SET created_at = (
    SELECT k.created_at FROM virtual_keys k WHERE k.id = virtual_key_scopes.virtual_key_id
);
CREATE INDEX virtual_key_scopes_by_target
    ON virtual_key_scopes (team_id, project_id, organization_id, created_at, virtual_key_id);

ALTER TABLE change_events ADD COLUMN budget_id TEXT;
ALTER TABLE change_events ADD COLUMN payload TEXT;

CREATE INDEX audit_log_by_target ON audit_log (organization_id, target_id, created_at, id);

-- People and what they may do.

CREATE TABLE user_groups (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    slug TEXT NOT NULL,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (organization_id, slug),
    UNIQUE (organization_id, id)
);

CREATE TABLE group_members (
    organization_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (organization_id, group_id, user_id),
    FOREIGN KEY (organization_id, group_id)
        REFERENCES user_groups (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, user_id)
        REFERENCES organization_users (organization_id, user_id)
);

CREATE INDEX group_members_by_user ON group_members (organization_id, user_id, group_id);

CREATE TABLE custom_roles (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (organization_id, id)
);

-- Private roles of API keys may be called alike.
CREATE UNIQUE INDEX custom_roles_by_name ON custom_roles (organization_id, name)
    WHERE kind = 'custom';

CREATE TABLE team_users (
    organization_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role TEXT NOT NULL,
    custom_role_id TEXT,
    PRIMARY KEY (organization_id, team_id, user_id),
    FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id),
    FOREIGN KEY (organization_id, user_id)
        REFERENCES organization_users (organization_id, user_id),
    FOREIGN KEY (organization_id, custom_role_id) REFERENCES custom_roles (organization_id, id)
);

CREATE INDEX team_users_by_user ON team_users (organization_id, user_id);
CREATE INDEX team_users_by_role ON team_users (organization_id, custom_role_id)
    WHERE custom_role_id IS NOT NULL;

-- Exactly one principal. A row without team and project is the organization itself.
CREATE TABLE role_bindings (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT,
    group_id TEXT,
    api_key_id TEXT,
    role TEXT NOT NULL,
    custom_role_id TEXT,
    team_id TEXT,
    project_id TEXT,
    created_at BIGINT NOT NULL,
    CHECK (
        CASE WHEN user_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN group_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN api_key_id IS NULL THEN 0 ELSE 1 END = 1
    ),
    CHECK ((role = 'CUSTOM') = (custom_role_id IS NOT NULL)),
    FOREIGN KEY (organization_id, user_id)
        REFERENCES organization_users (organization_id, user_id),
    FOREIGN KEY (organization_id, group_id)
        REFERENCES user_groups (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, api_key_id) REFERENCES api_keys (organization_id, id),
    FOREIGN KEY (organization_id, custom_role_id) REFERENCES custom_roles (organization_id, id),
    FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id),
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id)
);

CREATE INDEX role_bindings_by_age ON role_bindings (organization_id, created_at, id);
CREATE INDEX role_bindings_by_user ON role_bindings (organization_id, user_id, created_at, id)
    WHERE user_id IS NOT NULL;
CREATE INDEX role_bindings_by_group ON role_bindings (organization_id, group_id, created_at, id)
    WHERE group_id IS NOT NULL;
CREATE INDEX role_bindings_by_api_key ON role_bindings (organization_id, api_key_id, created_at, id)
    WHERE api_key_id IS NOT NULL;
CREATE INDEX role_bindings_by_role ON role_bindings (organization_id, custom_role_id)
    WHERE custom_role_id IS NOT NULL;
CREATE INDEX role_bindings_by_scope
    ON role_bindings (organization_id, team_id, project_id, created_at, id);

-- Until now every API key could do everything in its organization; it keeps that.
INSERT INTO role_bindings (id, organization_id, api_key_id, role, created_at)
SELECT 'rb_' || substr(id, 4), organization_id, id, 'ADMIN', created_at FROM api_keys;

CREATE TABLE invites (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    created_by TEXT NOT NULL,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX invites_by_age ON invites (organization_id, created_at, id);

-- What decides about requests.

CREATE TABLE routing_policies (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    is_default INTEGER NOT NULL,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, id)
);

CREATE INDEX routing_policies_by_name
    ON routing_policies (organization_id, is_default DESC, name, id);

-- A row without team and project is the organization itself.
CREATE TABLE routing_policy_scopes (
    organization_id TEXT NOT NULL,
    routing_policy_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    team_id TEXT,
    project_id TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (routing_policy_id, place),
    FOREIGN KEY (organization_id, routing_policy_id)
        REFERENCES routing_policies (organization_id, id) ON DELETE CASCADE,
    FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id),
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id)
);

CREATE INDEX routing_policy_scopes_by_target
    ON routing_policy_scopes (team_id, project_id, organization_id, created_at, routing_policy_id);

ALTER TABLE virtual_keys ADD COLUMN purpose TEXT NOT NULL DEFAULT 'USER';
-- Not a reference: deleting a policy would look through every key for it. Whoever writes a key looks whether
-- its policy is there, and deleting a policy moves its keys first.
ALTER TABLE virtual_keys ADD COLUMN routing_policy_id TEXT;
ALTER TABLE virtual_keys ADD COLUMN revoked_by TEXT;
-- Most keys were never rotated.
DROP INDEX virtual_keys_by_previous;
CREATE INDEX virtual_keys_by_previous ON virtual_keys (previous_hashed_secret, id)
    WHERE previous_hashed_secret IS NOT NULL;
CREATE INDEX virtual_keys_by_status ON virtual_keys (organization_id, status, created_at, id);
-- The policy comes first: when one is deleted, the engine looks for keys that reference it.
CREATE INDEX virtual_keys_by_policy
    ON virtual_keys (routing_policy_id, organization_id, created_at, id)
    WHERE routing_policy_id IS NOT NULL;
CREATE INDEX virtual_keys_by_principal
    ON virtual_keys (organization_id, principal_user_id, created_at, id)
    WHERE principal_user_id IS NOT NULL;
CREATE INDEX virtual_keys_by_trace_project
    ON virtual_keys (organization_id, trace_project_id, status);

CREATE TABLE guardrails (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    project_id TEXT NOT NULL,
    archived_at BIGINT,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id)
);

CREATE INDEX guardrails_by_age ON guardrails (organization_id, created_at, id);
CREATE INDEX guardrails_by_project ON guardrails (organization_id, project_id, created_at, id);

-- Which keys attach a guardrail, read off their configuration whenever it is written. A configuration may
-- name a guardrail that is not there, so nothing is referenced. Keys of the first version attach nothing:
-- it knew no guardrails.
CREATE TABLE virtual_key_guardrails (
    organization_id TEXT NOT NULL,
    virtual_key_id TEXT NOT NULL,
    guardrail_id TEXT NOT NULL,
    PRIMARY KEY (virtual_key_id, guardrail_id),
    FOREIGN KEY (organization_id, virtual_key_id)
        REFERENCES virtual_keys (organization_id, id) ON DELETE CASCADE
);

CREATE INDEX virtual_key_guardrails_by_guardrail
    ON virtual_key_guardrails (organization_id, guardrail_id, virtual_key_id);

-- The target is not referenced: archived budgets outlive what they were about.
CREATE TABLE budgets (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    target_kind TEXT NOT NULL,
    target_id TEXT NOT NULL,
    external_id TEXT,
    managed_by_virtual_key_id TEXT,
    archived_at BIGINT,
    created_by TEXT NOT NULL,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, external_id),
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, managed_by_virtual_key_id)
        REFERENCES virtual_keys (organization_id, id)
);

CREATE INDEX budgets_by_age ON budgets (organization_id, created_at, id)
    WHERE archived_at IS NULL;
CREATE INDEX budgets_by_kind ON budgets (organization_id, target_kind, created_at, id)
    WHERE archived_at IS NULL;
CREATE INDEX budgets_by_target ON budgets (organization_id, target_kind, target_id)
    WHERE archived_at IS NULL;
-- A key manages at most one live budget.
CREATE UNIQUE INDEX budgets_by_manager ON budgets (organization_id, managed_by_virtual_key_id)
    WHERE archived_at IS NULL AND managed_by_virtual_key_id IS NOT NULL;

CREATE TABLE bucket_boundaries (
    budget_id TEXT NOT NULL REFERENCES budgets (id),
    bucket TEXT NOT NULL,
    period_started_at BIGINT NOT NULL,
    PRIMARY KEY (budget_id, bucket)
);

CREATE TABLE cache_rules (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    priority BIGINT NOT NULL,
    archived_at BIGINT,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX cache_rules_in_order
    ON cache_rules (organization_id, priority DESC, created_at, id)
    WHERE archived_at IS NULL;

-- An empty provider is any provider: null would not be unique.
CREATE TABLE model_prices (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (organization_id, provider, model)
);

CREATE INDEX model_prices_in_order ON model_prices (organization_id, model, provider);

-- The answers to repeated calls.
CREATE TABLE idempotency_receipts (
    scope_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    sealed_body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (scope_id, idempotency_key)
);

CREATE INDEX idempotency_receipts_by_expiry ON idempotency_receipts (expires_at);
