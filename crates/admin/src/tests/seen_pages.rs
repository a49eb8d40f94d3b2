//! Pages hold what the caller sees, however much lies between it that the caller does not see.

use http::Method;
use lw_store::rows::BoundRole;
use serde_json::{Value, json};

use super::{NOW, Plane, project_token};

const KEYS: &str = "/api/gateway/v1/virtual-keys";
const PROVIDERS: &str = "/api/gateway/v1/model-providers";

/// Scopes of rows in the order of their creation, named `0`, `1`, …
const SCOPES: [(&str, &str); 15] = [
    ("project", "default"),
    ("organization", "acme"),
    ("team", "default"),
    ("project", "web"),
    ("project", "shop"),
    ("project", "default"),
    ("team", "web"),
    ("team", "shop"),
    ("team", "blog"),
    ("project", "blog"),
    ("project", "shop"),
    ("organization", "acme"),
    ("project", "web"),
    ("project", "default"),
    ("project", "shop"),
];

/// The rows of [`SCOPES`] that `seen` holds for, newest first.
fn names(seen: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let scopes = SCOPES.iter().enumerate();
    scopes
        .filter(|(_, (kind, id))| seen(kind, id))
        .map(|(place, _)| place.to_string())
        .rev()
        .collect()
}

async fn filled() -> Plane {
    let plane = Plane::new();
    for team in ["web", "shop", "blog"] {
        plane.further_team("acme", team);
    }
    for (place, (kind, id)) in SCOPES.iter().enumerate() {
        let at = i64::try_from(place).expect("small") * 1_000_000;
        plane.clock.set(NOW.plus_micros(at));
        let scopes = json!([{ "scope_type": kind, "scope_id": id }]);
        let name = place.to_string();
        let key = json!({ "name": name, "scopes": scopes });
        plane.post(KEYS, key).await.fine(201);
        let provider = json!({ "provider": "openai", "name": name, "scopes": scopes,
            "custom_keys": { "OPENAI_API_KEY": "sk-x" } });
        plane.post(PROVIDERS, provider).await.fine(201);
    }
    plane
}

/// Walks a list in pages of `limit`; every page but the last must be full.
async fn walk(plane: &Plane, token: &str, list: &str, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{list}?limit={limit}&cursor={cursor}");
        let page = plane
            .call_with(token, Method::GET, &path, &[], None)
            .await
            .fine(200);
        let rows = page["data"].as_array().expect("rows");
        let names = rows.iter().filter_map(|row| row["name"].as_str());
        found.extend(names.map(str::to_owned));
        let Some(next) = page["next_cursor"].as_str() else {
            return found;
        };
        assert_eq!(rows.len(), limit, "a short page of {list} in between");
        next.clone_into(&mut cursor);
    }
}

#[tokio::test]
async fn a_page_is_full_of_what_is_seen_whatever_lies_in_between() {
    let plane = filled().await;
    let bound = |name: &str, at: &[(&str, &str)]| {
        let bindings: Vec<_> = at
            .iter()
            .map(|(kind, id)| (BoundRole::Admin, None, *kind, *id))
            .collect();
        plane.service_key("acme", name, &bindings, |_| {})
    };
    let of_team = bound("team", &[("team", "default")]);
    // A key of one project is in its context; one of two is not.
    let of_three = [("team", "web"), ("project", "shop"), ("project", "default")];
    let of_three = bound("three", &of_three);
    let in_project = project_token("acme", "default");
    let default = |_: &str, id: &str| id == "default";
    let three = |kind: &str, id: &str| {
        id == "web" || kind == "project" && ["shop", "default"].contains(&id)
    };
    let handed = |_: &str, id: &str| id == "acme";
    let cases: [(&str, Value, Value); 4] = [
        (
            &of_team,
            json!(names(default)),
            json!(names(|kind, id| default(kind, id) || handed(kind, id))),
        ),
        (
            &of_three,
            json!(names(three)),
            // A provider of the team above a visible project is handed down to it.
            json!(names(|_, id| id != "blog")),
        ),
        (
            &in_project,
            json!(names(|kind, id| default(kind, id) || handed(kind, id))),
            json!(names(|kind, id| default(kind, id) || handed(kind, id))),
        ),
        (
            &plane.acme,
            json!(names(|_, _| true)),
            json!(names(|_, _| true)),
        ),
    ];
    for (token, keys, providers) in cases {
        for limit in 1..=6 {
            assert_eq!(json!(walk(&plane, token, KEYS, limit).await), keys);
            let found = walk(&plane, token, PROVIDERS, limit).await;
            assert_eq!(json!(found), providers);
        }
    }
}

#[tokio::test]
async fn a_filter_finds_only_what_is_seen() {
    let plane = filled().await;
    let admin = [(BoundRole::Admin, None, "team", "web")];
    let token = plane.service_key("acme", "web", &admin, |_| {});
    for (status, expected) in [("active", &["12", "6", "3"][..]), ("revoked", &[])] {
        let path = format!("{KEYS}?status={status}");
        let page = plane
            .call_with(&token, Method::GET, &path, &[], None)
            .await
            .fine(200);
        let rows = page["data"].as_array().expect("rows");
        let found: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
        assert_eq!(found, expected, "{status}");
    }
}
