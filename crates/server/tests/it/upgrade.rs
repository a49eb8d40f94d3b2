//! A data folder that the first released version left starts with this one and has lost nothing.
//!
//! The folder is built here from the first schema itself, with the rows that the released version wrote:
//! its tenant, its API key, a provider, keys in every state, and what one of them spent.

use std::fs;
use std::path::Path;

use lw_core::{NanoUsd, Secret, SystemEntropy, UnixMicros};
use lw_crypto::{Pepper, Place, Sealer, SealingKey, api_key, virtual_key};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::support::{Ask, Gateway, chat, provider};

const ORGANIZATION: &str = "org_01M84S1K9E86RMPPP00Y9P77H6";
const PROJECT: &str = "proj_01M84S1K9E0M2056D16GH0VPKG";
const PROVIDER: &str = "mp_01M84S2GNCNR1TXAETEEXNNB8Q";
const API_KEY: &str = "ak_01M84S1K9EYMGWTKQA4ZFBJJGM";
const ACTIVE: &str = "vk_D32tbhhaSbB7R6FZyF3Xtg";
const DISABLED: &str = "vk_L-hyby7vkvZyGx1zvkOMXQ";
const REVOKED: &str = "vk_Lc9v6d23D9UV1zvVkPgh6g";

/// When everything was made: November 2025.
const THEN: i64 = 1_764_000_000_000_000;
/// Long after any day on which this runs.
const FAR: i64 = 4_102_444_800_000_000;
/// What the active key had spent.
const SPENT: NanoUsd = NanoUsd(4_950);

/// What the released version had handed out.
struct Handed {
    api_key: Secret,
    current: Secret,
    /// Of the active key, before its rotation.
    previous: Secret,
    disabled: Secret,
    revoked: Secret,
}

#[test]
fn a_folder_of_the_first_release_starts_and_has_lost_nothing() {
    let mock = provider();
    let builder = Gateway::builder()
        .without("LANGWATCH_INIT_API_KEY")
        .env("LANGWATCH_INIT_ORG", "somebody-else");
    let handed = old_folder(&builder.data(), &format!("{}/v1", mock.base_url()));
    let mut gateway = builder.start();
    for start in ["first", "second"] {
        nothing_is_lost(&gateway, &handed, start);
        gateway.restart();
    }
    assert_eq!(mock.requests().len(), 4, "two secrets, two starts");

    // And its key can do what it always could, and what is new.
    let api = |method: &str, path: &str, body: Value| {
        gateway.api_as(handed.api_key.expose(), method, path, Some(&body))
    };
    let minted = api(
        "POST",
        "/api/gateway/v1/virtual-keys",
        json!({"name": "new", "scopes": [{"scope_type": "project", "scope_id": "default"}],
               "budget": {"limit_usd": 5, "window": "month"}}),
    )
    .fine(201);
    let secret = minted["secret"].as_str().expect("a secret");
    let ask = Ask::post("/v1/chat/completions", secret, chat("hi"));
    gateway.call(&ask).fine(200);
    let patched = api(
        "PATCH",
        &format!("/api/gateway/v1/virtual-keys/{ACTIVE}"),
        json!({"description": "Still here", "budget": {"limit_usd": 1, "window": "day"}}),
    )
    .fine(200);
    assert_eq!(patched["virtual_key"]["revision"], "4");
    api(
        "PATCH",
        &format!("/api/gateway/v1/model-providers/{PROVIDER}"),
        json!({"name": "Renamed"}),
    )
    .fine(200);
    api(
        "POST",
        &format!("/api/gateway/v1/virtual-keys/{DISABLED}/enable"),
        json!({}),
    )
    .fine(200);
    let ask = Ask::post("/v1/chat/completions", handed.disabled.expose(), chat("hi"));
    gateway.call(&ask).fine(200);
    what_is_new_works(&gateway, &handed);
}

/// What the released version did not have, on the tenant that it made.
fn what_is_new_works(gateway: &Gateway, handed: &Handed) {
    let api = |method: &str, path: &str, body: Option<Value>| {
        gateway.api_as(handed.api_key.expose(), method, path, body.as_ref())
    };
    let shown = api("GET", &format!("/api/api-keys/{API_KEY}"), None).fine(200);
    let bindings = shown["roleBindings"].as_array().expect("a list");
    let bound: Vec<_> = bindings
        .iter()
        .map(|binding| [&binding["role"], &binding["scopeType"], &binding["scopeId"]])
        .collect();
    assert_eq!(
        bound,
        [[
            &json!("ADMIN"),
            &json!("ORGANIZATION"),
            &json!(ORGANIZATION)
        ]]
    );
    assert_eq!(shown["permissionMode"], "all", "{shown}");
    let members = api("GET", "/api/organization/members", None).fine(200);
    assert_eq!(members["totalCount"], 1, "{members}");
    let teams = api("GET", "/api/teams", None).fine(200);
    assert_eq!(teams["data"][0]["slug"], "default", "{teams}");

    // A project of then has no key of its own until it is given one.
    let key = api(
        "POST",
        "/api/projects/default/regenerate-api-key",
        Some(json!({})),
    )
    .fine(200);
    let key = key["apiKey"].as_str().expect("a key");
    let own = gateway
        .api_as(key, "GET", "/api/me/project", None)
        .fine(200);
    assert_eq!(own["slug"], "default");

    let policy = json!({
        "name": "first", "model_provider_ids": [PROVIDER], "model_aliases": {"fast": "openai/gpt-4o"},
    });
    let policy = api("POST", "/api/gateway/v1/routing-policies", Some(policy)).fine(201);
    let id = &policy["routing_policy"]["id"];
    let path = format!("/api/gateway/v1/virtual-keys/{ACTIVE}");
    api("PATCH", &path, Some(json!({"routing_policy_id": id}))).fine(200);
    let body = json!({"model": "fast", "messages": chat("hi")["messages"]});
    let ask = Ask::post("/v1/chat/completions", handed.current.expose(), body);
    let answer = gateway.call(&ask);
    assert_eq!(
        answer.header("x-langwatch-model"),
        Some("gpt-4o"),
        "{}",
        answer.text()
    );

    // The record of what happened goes on where it was.
    let audit = api("GET", "/api/gateway/v1/audit-log?limit=200", None).fine(200);
    let actions: Vec<&Value> = audit["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| &row["action"])
        .collect();
    assert!(
        actions.contains(&&json!("management.organization.provision")),
        "{actions:?}"
    );
}

fn nothing_is_lost(gateway: &Gateway, handed: &Handed, start: &str) {
    let call = |secret: &Secret| {
        gateway.call(&Ask::post(
            "/v1/chat/completions",
            secret.expose(),
            chat("hi"),
        ))
    };
    for secret in [&handed.current, &handed.previous] {
        call(secret).fine(200);
    }
    let refused = |secret| call(secret).code();
    assert_eq!(
        [refused(&handed.disabled), refused(&handed.revoked)],
        [
            (403, "virtual_key_disabled".to_owned()),
            (403, "virtual_key_revoked".to_owned())
        ],
        "{start}"
    );

    let read = |path: &str| {
        gateway
            .api_as(handed.api_key.expose(), "GET", path, None)
            .fine(200)
    };
    let organization = read("/api/organization");
    assert_eq!(
        (&organization["id"], &organization["slug"]),
        (&json!(ORGANIZATION), &json!("acme"))
    );
    let listed = read("/api/gateway/v1/virtual-keys");
    let ids: Vec<&str> = listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|key| key["id"].as_str())
        .collect();
    assert_eq!(ids, [REVOKED, DISABLED, ACTIVE], "newest first");
    let key = &read(&format!("/api/gateway/v1/virtual-keys/{ACTIVE}"))["virtual_key"];
    let shown = json!({
        "external_id": key["external_id"], "metadata": key["metadata"], "revision": key["revision"],
        "routing_mode": key["routing_mode"], "expires_at": key["expires_at"],
        "models": key["config"]["modelsAllowed"], "rpm": key["config"]["rateLimits"]["rpm"],
        "tags": key["config"]["metadata"]["tags"], "created_at": key["created_at"],
    });
    assert_eq!(
        shown,
        json!({
            "external_id": "ext-one", "metadata": {"a": "b"}, "revision": "3",
            "routing_mode": "fallback_all", "expires_at": "2100-01-01T00:00:00.000Z",
            "models": ["gpt-*"], "rpm": 50, "tags": ["t"],
            "created_at": "2025-11-24T16:00:00.000Z",
        })
    );
    let then_ms = THEN / 1_000;
    let spend = read(&format!(
        "/api/gateway/v1/virtual-keys/{ACTIVE}/spend?from={then_ms}&to={}",
        then_ms + 3_600_000
    ));
    assert_eq!(
        (&spend["spent_usd"], &spend["requests"]),
        (&json!("0.00000495"), &json!(1))
    );
    let shown = read(&format!("/api/gateway/v1/model-providers/{PROVIDER}"));
    let masked = &shown["model_provider"]["custom_keys"]["OPENAI_API_KEY"];
    assert!(
        masked
            .as_str()
            .is_some_and(|text| text.starts_with("HAS_KEY")),
        "{shown}"
    );
}

/// Everything that the released version kept, as it kept it.
fn old_folder(data: &Path, upstream: &str) -> Handed {
    fs::create_dir(data).expect("a folder");
    let (key, text) = SealingKey::generate(&SystemEntropy);
    fs::write(data.join("sealing.key"), format!("{}\n", text.expose())).expect("a file");
    let sealer = Sealer::new(&key, &[]);
    let seal = |text: &str, table, column, row_id| {
        let place = Place {
            table,
            column,
            row_id,
        };
        sealer
            .seal(text.as_bytes(), place, &SystemEntropy)
            .expect("sealed")
    };
    let check = seal("langwatch", "folder", "sealing.check", "1");
    fs::write(data.join("sealing.check"), check).expect("a file");

    let keys = Pepper::new(&key.derive("LW_VIRTUAL_KEY_PEPPER"));
    let credentials = Pepper::new(&key.derive("API_KEY_PEPPER"));
    let mint = || virtual_key::mint(UnixMicros(THEN), &SystemEntropy);
    let api = api_key::mint(&SystemEntropy);
    let handed = Handed {
        api_key: api.token,
        current: mint(),
        previous: mint(),
        disabled: mint(),
        revoked: mint(),
    };

    let db = first_schema(
        &data.join("config.db"),
        include_str!("../../../store-sql/src/config/0001_first.sql"),
    );
    db.execute_batch(&format!(
        "INSERT INTO organizations VALUES ('{ORGANIZATION}', 'acme', 'acme', {THEN}, {THEN});
         INSERT INTO teams VALUES
             ('team_01M84S1K9ETN38KBKA8CHA7R7Q', '{ORGANIZATION}', 'Default team', 'default', 0, {THEN}),
             ('team_01M84S1K9E4QX3WGZ5BY2NPARB', '{ORGANIZATION}', 'Governance', 'internal-governance',
              1, {THEN});
         INSERT INTO projects VALUES
             ('proj_01M84S1K9EHE5CS5WF24VYBT0S', '{ORGANIZATION}', 'team_01M84S1K9ETN38KBKA8CHA7R7Q',
              'Default project', 'default', 'application', NULL, {THEN}),
             ('{PROJECT}', '{ORGANIZATION}', 'team_01M84S1K9E4QX3WGZ5BY2NPARB',
              'Governance', 'internal-governance', 'internal_governance', NULL, {THEN});
         INSERT INTO users VALUES
             ('user_01M84S1K9EQEYNQ51A2CD09012', NULL, 'Administrator', NULL, {THEN});
         INSERT INTO organization_users VALUES
             ('{ORGANIZATION}', 'user_01M84S1K9EQEYNQ51A2CD09012', 'ADMIN');
         INSERT INTO audit_log (id, created_at, user_id, organization_id, action, target_id) VALUES
             ('audit_01M84S1K9EBQ1704W7T6J55NAE', {THEN}, 'instance-admin', '{ORGANIZATION}',
              'management.organization.provision', '{ORGANIZATION}');
         UPDATE change_counter SET revision = 2;
         INSERT INTO change_events VALUES
             (1, '{ORGANIZATION}', 'MODEL_PROVIDER_UPDATED', NULL, '{PROVIDER}', NULL, {THEN}),
             (2, '{ORGANIZATION}', 'VK_CREATED', '{ACTIVE}', NULL, '{PROJECT}', {THEN});"
    ))
    .expect("the tenant");
    db.execute(
        "INSERT INTO api_keys VALUES (?1, ?2, 'First organization key', ?3, ?4, ?5, NULL, NULL, NULL)",
        params![
            API_KEY,
            ORGANIZATION,
            api.lookup_id,
            credentials.hash(api.secret.expose()),
            THEN
        ],
    )
    .expect("the API key");
    let bag = json!({"OPENAI_API_KEY": "sk-of-the-first-release", "OPENAI_BASE_URL": upstream});
    let headers = json!([{"key": "x-old", "value": "yes"}]);
    db.execute(
        "INSERT INTO model_providers VALUES (?1, ?2, 'Mock', 'openai', 'main', 1, ?3, ?4, NULL, NULL,
             NULL, 100, NULL, NULL, NULL, '{\"timeout_ms\":30000}', 1, ?5, ?5)",
        params![
            PROVIDER,
            ORGANIZATION,
            seal(&bag.to_string(), "model_providers", "sealed_keys", PROVIDER),
            seal(
                &headers.to_string(),
                "model_providers",
                "sealed_extra_headers",
                PROVIDER
            ),
            THEN
        ],
    )
    .expect("the provider");
    db.execute(
        "INSERT INTO model_provider_scopes VALUES (?1, ?2, 0, NULL, NULL)",
        [ORGANIZATION, PROVIDER],
    )
    .expect("its scope");
    for (place, (id, name, status, secret, previous)) in [
        (
            ACTIVE,
            "one",
            "ACTIVE",
            &handed.current,
            Some(&handed.previous),
        ),
        (DISABLED, "two", "DISABLED", &handed.disabled, None),
        (REVOKED, "three", "REVOKED", &handed.revoked, None),
    ]
    .into_iter()
    .enumerate()
    {
        let made = THEN + i64::try_from(place).expect("a small number");
        let until = previous.map(|_| FAR);
        db.execute(
            "INSERT INTO virtual_keys VALUES (?1, ?2, ?3, NULL, ?4, 'live', ?5, '{\"a\":\"b\"}', ?6, NULL,
                 ?7, ?8, ?9, 3, ?10, ?11, ?12, ?13, ?14, ?15, ?16, NULL, ?17, ?18, ?18)",
            params![
                id,
                ORGANIZATION,
                name,
                status,
                format!("ext-{name}"),
                PROJECT,
                if name == "one" { "fallback_all" } else { "none" },
                FAR,
                r#"{"capturePayload":"raw","metadata":{"tags":["t"]},"modelsAllowed":["gpt-*"],"rateLimits":{"rpm":50}}"#,
                keys.hash(secret.expose()),
                virtual_key::display_prefix(secret.expose()),
                previous.map(|secret| keys.hash(secret.expose())),
                until,
                (status == "DISABLED").then_some("why"),
                (status == "DISABLED").then_some(THEN),
                (status == "REVOKED").then_some(THEN),
                format!("svc_{ORGANIZATION}"),
                made
            ],
        )
        .expect("a key");
        db.execute(
            "INSERT INTO virtual_key_scopes VALUES (?1, ?2, 0, NULL, NULL)",
            [ORGANIZATION, id],
        )
        .expect("its scope");
    }

    let ledger = first_schema(
        &data.join("ledger.db"),
        include_str!("../../../store-sql/src/ledger/0001_first.sql"),
    );
    let (minute, hour) = (THEN / 60_000_000 * 60_000, THEN / 3_600_000_000 * 3_600_000);
    let detail = r#"{"request_type":"chat","trace_id":"01a20991435873f35bae9d544eed00df"}"#;
    ledger
        .execute_batch(&format!(
            "INSERT INTO account VALUES (1, '{ACTIVE}', '{PROJECT}', '{ORGANIZATION}');
             INSERT INTO name VALUES (1, 'registry@2025-11-24'), (2, '{PROVIDER}'), (3, 'gpt-4o-mini');
             INSERT INTO entry VALUES
                 (X'019ab697e80000000000000000000a', 0, 0, 0, {THEN}, 16656750, 0, 1, 1, 202511, 1, 2, 3,
                  '{detail}', 0, 0, 0, 0, 0, 0, 0, 0),
                 (X'019ab697e80000000000000000000a', 0, 1, 1, {THEN}, {}, 0, 1, 1, 202511, 1, 2, 3,
                  '{detail}', 1, 0, 0, 0, 8, 0, 0, 0);
             INSERT INTO spent VALUES (60000, {minute}, 1, {}, 1), (3600000, {hour}, 1, {}, 1);",
            SPENT.0, SPENT.0, SPENT.0
        ))
        .expect("the spend");
    first_schema(
        &data.join("traces.db"),
        include_str!("../../../store-sql/src/trace/0001_first.sql"),
    );
    handed
}

/// A database of the first schema.
fn first_schema(path: &Path, sql: &str) -> Connection {
    let db = Connection::open(path).expect("a file");
    db.pragma_update(None, "journal_mode", "WAL")
        .expect("a setting");
    db.execute_batch(sql).expect("the first schema");
    db.execute_batch(
        "CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY);
         INSERT INTO schema_version VALUES (1);",
    )
    .expect("its version");
    db
}
