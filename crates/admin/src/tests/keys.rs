//! Virtual keys: minting, reading, the config, and three-state changes.

use http::Method;
use lw_store::ledger::{Certainty, Detail, Entry, EntryKind, Ledger as _};
use serde_json::{Value, json};

use super::{NOW, Plane, organization, project};

const KEYS: &str = "/api/gateway/v1/virtual-keys";

/// Mints a key for the whole organization; the answer.
pub(super) async fn mint(plane: &Plane, more: Value) -> Value {
    let mut body =
        json!({ "name": "k", "scopes": [{ "scope_type": "organization", "scope_id": "acme" }] });
    let map = body.as_object_mut().expect("an object");
    map.extend(more.as_object().expect("an object").clone());
    plane.post(KEYS, body).await.fine(201)
}

pub(super) fn path_of(minted: &Value) -> String {
    format!(
        "{KEYS}/{}",
        minted["virtual_key"]["id"].as_str().expect("an id")
    )
}

#[tokio::test]
async fn a_minted_key_has_the_documented_shape_and_shows_its_secret_once() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({ "description": "for CI" })).await;
    insta::assert_json_snapshot!(minted);
    let secret = minted["secret"].as_str().expect("a secret");
    assert!(secret.starts_with("vk-lw-") && secret.len() == 32);
    assert_eq!(minted["virtual_key"]["display_prefix"], &secret[..13]);

    let read = plane.get(&path_of(&minted)).await;
    assert_eq!(read.header("etag"), Some("\"1\""));
    assert_eq!(read.header("cache-control"), Some("no-store"));
    assert_eq!(
        read.fine(200),
        json!({ "virtual_key": minted["virtual_key"] })
    );
    assert_eq!(plane.announced(), ["VK_CREATED"]);
    let audit = plane.audit();
    assert_eq!(audit[0].action, "gateway.virtual_key.created");
    assert_eq!(audit[0].user_id.as_deref(), Some("svc_org_acme"));
    let after = audit[0].after.as_deref().expect("the row after");
    assert!(
        !after.contains(secret) && !after.contains("hash"),
        "{after}"
    );
}

#[tokio::test]
async fn scopes_and_trace_projects_are_named_by_id_or_slug() {
    let plane = Plane::new();
    for (kind, name, id) in [
        ("organization", "acme", "org_acme"),
        ("organization", "org_acme", "org_acme"),
        ("team", "default", "team_acme-default"),
        ("project", "default", "proj_acme-default"),
        ("project", "proj_acme-default", "proj_acme-default"),
    ] {
        let body = json!({ "scopes": [{ "scope_type": kind, "scope_id": name }] });
        let minted = mint(&plane, body).await;
        assert_eq!(
            minted["virtual_key"]["scopes"],
            json!([{ "scope_type": kind, "scope_id": id }])
        );
    }
    let minted = mint(&plane, json!({ "trace_project_id": "default" })).await;
    assert_eq!(
        minted["virtual_key"]["trace_project_id"],
        "proj_acme-default"
    );

    for (kind, name) in [
        ("organization", "globex"),
        ("team", "hidden"),
        ("project", "proj_globex-default"),
    ] {
        let scopes = json!([{ "scope_type": kind, "scope_id": name }]);
        let got = plane
            .post(KEYS, json!({ "name": "k", "scopes": scopes }))
            .await;
        assert_eq!(got.code(), (400, "gateway_scope_org_mismatch".into()));
        assert_eq!(got.json()["error"]["meta"], json!({ "scope_type": kind }));
        assert!(!got.text.contains(name), "{}", got.text);
    }
    let named = json!({ "trace_project_id": "proj_globex-default" });
    let mut body =
        json!({ "name": "k", "scopes": [{ "scope_type": "organization", "scope_id": "acme" }] });
    body.as_object_mut()
        .expect("an object")
        .extend(named.as_object().expect("one").clone());
    let got = plane.post(KEYS, body).await;
    assert_eq!(got.code(), (400, "gateway_trace_project_unknown".into()));
    assert!(!got.text.contains("globex"));
}

#[tokio::test]
async fn a_key_without_scopes_takes_the_calling_project_and_needs_one() {
    let plane = Plane::new();
    let got = plane.post(KEYS, json!({ "name": "k" })).await;
    assert_eq!(got.code(), (400, "project_required".into()));
    let headers = [("x-project-id", "default")];
    let body = Some(json!({ "name": "k" }));
    let minted = plane
        .call_with(&plane.acme, Method::POST, KEYS, &headers, body)
        .await
        .fine(201);
    let scope = json!([{ "scope_type": "project", "scope_id": "proj_acme-default" }]);
    assert_eq!(minted["virtual_key"]["scopes"], scope);
    assert_eq!(
        minted["virtual_key"]["trace_project_id"],
        "proj_acme-default"
    );
    assert_eq!(
        plane.audit()[0].user_id.as_deref(),
        Some("svc_proj_acme-default")
    );
}

#[tokio::test]
async fn the_trace_destination_is_decided_once_and_null_decides_again() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({})).await;
    let governance = "proj_acme-governance";
    assert_eq!(minted["virtual_key"]["trace_project_id"], governance);
    let path = path_of(&minted);
    let to = |got: Value| {
        got["virtual_key"]["trace_project_id"]
            .as_str()
            .map(str::to_owned)
    };
    let scopes = json!([{ "scope_type": "project", "scope_id": "default" }]);
    let moved = plane
        .patch(&path, json!({ "scopes": scopes }))
        .await
        .fine(200);
    assert_eq!(
        to(moved).as_deref(),
        Some(governance),
        "scope edits never move it"
    );
    let again = plane
        .patch(&path, json!({ "trace_project_id": null }))
        .await
        .fine(200);
    assert_eq!(to(again).as_deref(), Some("proj_acme-default"));

    let strict = Plane::with(|admin| admin.settings.trace_project_strict = true);
    let scopes = json!([{ "scope_type": "organization", "scope_id": "acme" }]);
    let got = strict
        .post(KEYS, json!({ "name": "k", "scopes": scopes }))
        .await;
    assert_eq!(got.code(), (400, "gateway_trace_project_ambiguous".into()));
    assert_eq!(
        got.json()["error"]["meta"],
        json!({ "project_scope_count": 0 })
    );
}

#[tokio::test]
async fn config_is_normalised_merged_and_shown_in_the_official_shape() {
    let plane = Plane::new();
    let provider = plane
        .post(
            "/api/gateway/v1/model-providers",
            json!({ "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-1" } }),
        )
        .await
        .fine(201);
    let id = &provider["model_provider"]["id"];
    let minted = mint(
        &plane,
        json!({ "config": {
            "models_allowed": ["gpt-5*", "claude-opus"],
            "providers_allowed": [id, id],
            "cache": { "mode": "force", "ttl_s": 60 },
            "fallback": {
                "max_attempts": 2, "on": ["rate_limit_exceeded", "network", "not_found", "rate_limit"],
                "timeout_ms": 1000, "model_map": { "gpt-5": { "anthropic": "claude-opus" } },
            },
            "rate_limits": { "rpm": 5, "concurrent": 2 },
            "realtime": { "max_open_sessions": 2 },
            "capture_payload": "none",
            "openai_compat_translate": true,
            "model_aliases": { "fast": "openai/gpt-5-mini" },
            "policy_rules": { "tools": { "deny": ["^rm"], "allow": [] } },
            "semantic_cache": { "embedding_model_provider_id": id, "embedding_model": "te-3" },
            "metadata": { "label": "dev", "tags": [" a ", "a", "", "b", 7, "c".repeat(200)] },
            "unknown": 1,
        } }),
    )
    .await;
    insta::assert_json_snapshot!(minted["virtual_key"]["config"]);

    let path = path_of(&minted);
    let patched = plane
        .patch(
            &path,
            json!({ "config": {
            "fallback": { "on": ["5xx"] }, "rateLimits": { "rpd": 7, "concurrent": null },
            "modelAliases": {}, "capturePayload": null,
            "semanticCache": null, "policyRules": null, "openaiCompatTranslate": null,
        } }),
        )
        .await
        .fine(200);
    let config = &patched["virtual_key"]["config"];
    assert_eq!(
        config["fallback"],
        json!({ "maxAttempts": 3, "on": ["5xx"] })
    );
    assert_eq!(
        config["cache"],
        json!({ "mode": "force", "ttlS": 60 }),
        "others stay"
    );
    let limits = json!({ "rpm": null, "tpm": null, "rpd": 7 });
    assert_eq!(config["rateLimits"], limits, "ours is gone when unset");
    let ours = [
        "modelAliases",
        "capturePayload",
        "semanticCache",
        "policyRules",
        "openaiCompatTranslate",
    ];
    for ours in ours {
        assert!(config.get(ours).is_none(), "{ours}");
    }
}

#[tokio::test]
async fn providers_allowed_must_be_reachable_from_the_scopes() {
    let plane = Plane::new();
    let provider = plane
        .post(
            "/api/gateway/v1/model-providers",
            json!({
                "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-1" },
                "scopes": [{ "scope_type": "project", "scope_id": "default" }],
            }),
        )
        .await
        .fine(201);
    let id = provider["model_provider"]["id"].as_str().expect("an id");
    let body = |allowed: Value, kind: &str, scope: &str| {
        json!({
            "name": "k", "config": { "providersAllowed": allowed },
            "scopes": [{ "scope_type": kind, "scope_id": scope }],
        })
    };
    let got = plane
        .post(KEYS, body(json!([id, "mp_no"]), "organization", "acme"))
        .await;
    assert_eq!(got.code(), (400, "providers_not_in_scope".into()));
    let message = got.json()["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(message, format!("providers_not_in_scope: {id}, mp_no"));
    let got = plane
        .post(KEYS, body(json!([]), "project", "default"))
        .await;
    assert_eq!(got.code(), (400, "providers_allowed_empty".into()));

    let minted = plane
        .post(KEYS, body(json!([id]), "project", "default"))
        .await
        .fine(201);
    let scopes = json!([{ "scope_type": "organization", "scope_id": "acme" }]);
    let got = plane
        .patch(&path_of(&minted), json!({ "scopes": scopes }))
        .await;
    assert_eq!(
        got.code(),
        (400, "providers_not_in_scope".into()),
        "re-scoping is a write too"
    );
}

#[tokio::test]
async fn a_patch_tells_absent_from_null_from_a_value() {
    let plane = Plane::new();
    let minted = mint(
        &plane,
        json!({
            "description": "d", "external_id": " ext ", "metadata": { "a": "1" },
            "expires_at": "2027-01-01T00:00:00+01:00",
        }),
    )
    .await;
    let path = path_of(&minted);
    let key = &minted["virtual_key"];
    assert_eq!(
        (&key["external_id"], &key["expires_at"]),
        (&json!("ext"), &json!("2026-12-31T23:00:00.000Z"))
    );

    let same = plane.patch(&path, json!({ "name": "n" })).await.fine(200)["virtual_key"].clone();
    for field in [
        "description",
        "external_id",
        "metadata",
        "expires_at",
        "config",
        "scopes",
    ] {
        assert_eq!(same[field], key[field], "{field} is kept");
    }
    assert_eq!(
        (&same["name"], &same["revision"]),
        (&json!("n"), &json!("2"))
    );

    let nulls =
        json!({ "description": null, "external_id": null, "metadata": {}, "expires_at": null });
    let cleared = plane.patch(&path, nulls).await.fine(200)["virtual_key"].clone();
    for (field, value) in [
        ("description", json!(null)),
        ("external_id", json!(null)),
        ("metadata", json!({})),
        ("expires_at", json!(null)),
    ] {
        assert_eq!(cleared[field], value, "{field} is cleared");
    }
    for field in ["name", "scopes", "metadata", "config", "routing_mode"] {
        let got = plane.patch(&path, json!({ field: null })).await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{field}");
        assert_eq!(got.json()["error"]["meta"]["fields"], json!([field]));
    }
    assert_eq!(
        plane.announced(),
        ["VK_CREATED", "VK_CONFIG_UPDATED", "VK_CONFIG_UPDATED"]
    );
}

#[tokio::test]
async fn a_date_in_the_past_is_refused_in_both_spellings() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({})).await;
    let got = plane
        .patch(
            &path_of(&minted),
            json!({ "expires_at": "2020-01-01T00:00:00Z" }),
        )
        .await;
    assert_eq!(got.code(), (400, "virtual_key_expiry_in_past".into()));
    let errors = &got.json()["error"]["meta"]["fieldErrors"];
    assert!(errors["expiresAt"].is_array() && errors["expires_at"].is_array());
}

#[tokio::test]
async fn an_external_id_is_unique_in_its_organization() {
    let plane = Plane::new();
    mint(&plane, json!({ "external_id": "e" })).await;
    let scopes = json!([{ "scope_type": "organization", "scope_id": "acme" }]);
    let body = json!({ "name": "k", "external_id": "e", "scopes": scopes });
    let got = plane.post(KEYS, body.clone()).await;
    assert_eq!(got.code(), (409, "external_id_conflict".into()));
    let meta = json!({ "resource": "virtual_key", "external_id": "e" });
    assert_eq!(got.json()["error"]["meta"], meta);

    let mut theirs = body;
    theirs["scopes"][0]["scope_id"] = json!("globex");
    plane
        .call_with(&plane.globex, Method::POST, KEYS, &[], Some(theirs))
        .await
        .fine(201);
    let found = plane.get(&format!("{KEYS}?external_id=e")).await.fine(200);
    assert_eq!(found["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["data"][0]["organization_id"], "org_acme");
}

#[tokio::test]
async fn lists_page_newest_first_and_a_project_sees_what_reaches_it() {
    let plane = Plane::new();
    let mut ids = Vec::new();
    for second in 0..5 {
        plane.clock.set(NOW.plus_micros(second * 1_000_000));
        let (kind, scope) = if second % 2 == 0 {
            ("organization", "acme")
        } else {
            ("project", "governance")
        };
        let scopes = json!([{ "scope_type": kind, "scope_id": scope }]);
        let minted = mint(&plane, json!({ "scopes": scopes })).await;
        ids.insert(0, minted["virtual_key"]["id"].clone());
    }
    let (mut walked, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let more = cursor
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
        let page = plane.get(&format!("{KEYS}?limit=2{more}")).await.fine(200);
        walked.extend(
            page["data"]
                .as_array()
                .expect("rows")
                .iter()
                .map(|row| row["id"].clone()),
        );
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(walked, ids);

    let headers = [("x-project-id", "default")];
    let seen = plane
        .call_with(&plane.acme, Method::GET, KEYS, &headers, None)
        .await
        .fine(200);
    assert_eq!(
        seen["data"].as_array().map(Vec::len),
        Some(3),
        "not the other project's"
    );
    let hidden = format!("{KEYS}/{}", ids[1].as_str().expect("an id"));
    let got = plane
        .call_with(&plane.acme, Method::GET, &hidden, &headers, None)
        .await;
    assert_eq!(got.code(), (404, "virtual_key_not_found".into()));
    let theirs = plane
        .call_with(&plane.globex, Method::GET, KEYS, &[], None)
        .await
        .fine(200);
    assert_eq!(theirs, json!({ "data": [], "next_cursor": null }));
}

#[tokio::test]
async fn spend_is_summed_over_the_window() {
    let plane = Plane::new();
    let minted = mint(&plane, json!({})).await;
    let key = lw_core::VirtualKeyId::parse(minted["virtual_key"]["id"].as_str().expect("an id"))
        .expect("one");
    // The id of a request begins with the milliseconds of its arrival.
    let arrival = NOW.plus_micros(-1_000_000);
    let mut bytes = [9; 15];
    bytes[..6].copy_from_slice(&arrival.millis().to_be_bytes()[2..]);
    let request_id = lw_core::RequestId::from_bytes(bytes);
    let entry = Entry {
        request_id,
        attempt: 0,
        kind: EntryKind::Settle,
        at: arrival,
        amount: lw_core::NanoUsd(656_850),
        certainty: Certainty::Exact,
        priced: true,
        price_version: Some("v1".into()),
        period: "2026-11".into(),
        organization_id: organization("acme"),
        project_id: project("acme", "governance"),
        virtual_key_id: key,
        model_provider_id: None,
        model: "gpt-5-mini".into(),
        usage: lw_core::Usage::default(),
        detail: Detail::default(),
        made: Vec::new(),
        budgets: String::new(),
    };
    plane.ledger.append(&[entry], &[]).expect("stored");
    let path = format!("{}/spend", path_of(&minted));
    insta::assert_json_snapshot!("spend", plane.get(&path).await.fine(200));
    let before = plane.get(&format!("{path}?from=0&to=1")).await.fine(200);
    assert_eq!(
        (&before["spent_usd"], &before["requests"]),
        (&json!("0"), &json!(0))
    );
    let got = plane.get(&format!("{path}?from=5&to=5")).await;
    assert_eq!(got.code(), (400, "validation_error".into()));

    let request = format!("/api/gateway/v1/requests/{request_id}");
    insta::assert_json_snapshot!("request_of_the_ledger", plane.get(&request).await.fine(200));
}
