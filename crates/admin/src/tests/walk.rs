//! The walk over the table of routes: every row refuses strangers, whoever lacks its permission, other
//! organizations and siblings; and the matrix of who may call what.
//!
//! A new row is walked without being named here. What it needs is a row of its kind in [`Rows`] when its
//! path has a parameter, and a body in [`body`] when it takes one. The lists of exceptions may only shrink:
//! each entry must still be one.

use std::collections::BTreeMap;

use http::Method;
use lw_store::rows::{BoundRole, MemberRole, PermissionMode};
use lw_store::trace::TraceStore as _;
use serde_json::{Value, json};

use super::traces::record;
use super::{Got, INSTANCE_KEY, Plane, project, project_token};
use crate::edge::Family;
use crate::routes::{Route, table};

/// Rows that any credential of the family may call: what they answer is limited to what it sees, or they say
/// that they are gone.
const NO_PERMISSION: &[&str] = &[
    "DELETE /api/gateway/v1/providers/{id}",
    "GET /api/gateway/v1/providers",
    "GET /api/me/project",
    "GET /api/projects",
    "PATCH /api/gateway/v1/providers/{id}",
    "POST /api/gateway/v1/providers",
];

/// Kinds that belong to the whole organization: whoever may look at them sees all of them, so there are no
/// siblings to hide.
const ORGANIZATION_WIDE: &[&str] = &["cache-rules", "model-prices"];

/// Ids of one row of each kind, by the segment that stands before the parameter in the path.
type Rows = BTreeMap<&'static str, String>;

fn unknown_rows() -> Rows {
    [
        ("virtual-keys", "vk_unknown"),
        ("model-providers", "mp_unknown"),
        ("providers", "mp_unknown"),
        ("budgets", "bgt_unknown"),
        ("cache-rules", "rule_unknown"),
        ("routing-policies", "rp_unknown"),
        ("guardrails", "guard_unknown"),
        ("model-prices", "price_unknown"),
        ("requests", "req_ffffffffffffffffffffffffffffff"),
        ("traces", "ffffffffffffffffffffffffffffffff"),
        ("projects", "proj_unknown"),
        ("teams", "team_unknown"),
        ("groups", "grp_unknown"),
        ("roles", "role_unknown"),
        ("role-bindings", "rb_unknown"),
        ("bindings", "rb_unknown"),
        ("members", "user_unknown"),
        ("invites", "inv_unknown"),
        ("api-keys", "ak_unknown"),
        ("organizations", "org_unknown"),
    ]
    .map(|(kind, id)| (kind, id.to_owned()))
    .into()
}

/// One row of every kind in a project of acme and its team, both called `name`.
async fn rows(plane: &Plane, name: &str) -> Rows {
    let gateway = "/api/gateway/v1";
    let scopes = json!([{ "scope_type": "project", "scope_id": name }]);
    let id = |body: &Value, pointer: &str| {
        let id = body.pointer(pointer).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("{pointer} in {body}"))
            .to_owned()
    };
    let post = |path: String, body: Value| async move { plane.post(&path, body).await.fine(201) };
    let provider = post(
        format!("{gateway}/model-providers"),
        json!({ "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-1" }, "scopes": scopes }),
    )
    .await;
    let provider = id(&provider, "/model_provider/id");
    let key = post(
        format!("{gateway}/virtual-keys"),
        json!({ "name": name, "scopes": scopes }),
    )
    .await;
    let budget = post(
        format!("{gateway}/budgets"),
        json!({
            "name": name, "window": "month", "limit_usd": 5,
            "scope": { "kind": "project", "project_id": name },
        }),
    )
    .await;
    let policy = post(
        format!("{gateway}/routing-policies"),
        json!({ "name": name, "scopes": scopes, "model_provider_ids": [provider] }),
    )
    .await;
    let rule = post(
        format!("{gateway}/cache-rules"),
        json!({ "name": name, "matchers": { "model": "m" }, "action": { "mode": "force" } }),
    )
    .await;
    let guardrail = post(
        format!("{gateway}/guardrails"),
        json!({
            "name": name, "project_id": name, "direction": "pre",
            "evaluator": { "slug": "length", "settings": { "max_chars": 10 } },
        }),
    )
    .await;
    let price = post(
        format!("{gateway}/model-prices"),
        json!({ "model": name, "rates": { "input_cost_per_token": "0.000001" } }),
    )
    .await;
    let traced = {
        let mut record = record("acme", u8::try_from(name.len()).expect("short"));
        record.project_id = project("acme", name);
        record
    };
    plane
        .traces
        .append(std::slice::from_ref(&traced))
        .expect("stored");
    let user = plane.member("acme", &format!("person-{name}"), MemberRole::Member);
    plane.in_team("acme", name, &user, BoundRole::Viewer);
    let role = post(
        "/api/roles".into(),
        json!({ "name": name, "permissions": ["virtualKeys:view"] }),
    )
    .await;
    let group = post(
        "/api/groups".into(),
        json!({ "name": name, "memberIds": [user] }),
    )
    .await;
    let group = id(&group, "/id");
    let binding = post(
        "/api/role-bindings".into(),
        json!({ "groupId": group, "role": "VIEWER", "scopeType": "PROJECT", "scopeId": name }),
    )
    .await;
    let api_key = post(
        "/api/api-keys".into(),
        json!({
            "keyType": "service", "name": name,
            "bindings": [{ "role": "VIEWER", "scopeType": "PROJECT", "scopeId": name }],
        }),
    )
    .await;
    let email = format!("{name}@example.org");
    let invites = post(
        "/api/organization/invites".into(),
        json!({ "invites": [{ "email": email, "role": "MEMBER", "teams": [] }] }),
    )
    .await;
    let binding = id(&binding, "/id");
    [
        ("virtual-keys", id(&key, "/virtual_key/id")),
        ("providers", provider.clone()),
        ("model-providers", provider),
        ("budgets", id(&budget, "/budget/id")),
        ("cache-rules", id(&rule, "/cache_rule/id")),
        ("routing-policies", id(&policy, "/routing_policy/id")),
        ("guardrails", id(&guardrail, "/guardrail/id")),
        ("model-prices", id(&price, "/model_price/id")),
        ("requests", traced.request_id.to_string()),
        ("traces", traced.trace_id.to_string()),
        ("projects", project("acme", name).to_string()),
        ("teams", super::team("acme", name).to_string()),
        ("groups", group),
        ("roles", id(&role, "/id")),
        ("role-bindings", binding.clone()),
        ("bindings", binding),
        ("members", user.to_string()),
        ("invites", id(&invites, "/invites/0/id")),
        ("api-keys", id(&api_key, "/apiKey/id")),
        ("organizations", "org_acme".to_owned()),
    ]
    .into()
}

/// The path of a route with ids in it. A parameter without a row of its kind (`/api/model-providers/{provider}`
/// names a vendor) stays as it is in all walks.
fn filled(route: &Route, rows: &Rows) -> String {
    let parts: Vec<&str> = route.path.split('/').collect();
    let mut out: Vec<String> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let kind = at.checked_sub(1).and_then(|before| parts.get(before));
        let vendor = *part == "{provider}";
        out.push(match (part.starts_with('{'), kind) {
            (true, _) if vendor => "openai".to_owned(),
            (true, Some(kind)) => rows
                .get(kind)
                .unwrap_or_else(|| panic!("{}: no row of kind {kind}", route.path))
                .clone(),
            _ => (*part).to_owned(),
        });
    }
    out.join("/")
}

fn name_of(route: &Route) -> String {
    format!("{} {}", route.method, route.path)
}

/// A body that a route would take.
fn body(route: &Route) -> Option<Value> {
    let scopes = json!([{ "scope_type": "organization", "scope_id": "acme" }]);
    Some(match (&route.method, route.path.as_str()) {
        (&Method::GET | &Method::DELETE, _) => return None,
        (_, "/api/traces/search") => json!({ "startDate": 0, "endDate": "2030-01-01" }),
        (&Method::PUT, "/api/model-providers/{provider}") => json!({ "enabled": true }),
        (&Method::POST, "/api/gateway/v1/virtual-keys") => {
            json!({ "name": "k", "scopes": scopes })
        }
        (&Method::POST, path) if path.ends_with("v1/model-providers") => {
            json!({ "provider": "openai", "custom_keys": { "OPENAI_API_KEY": "sk-1" } })
        }
        (&Method::POST, "/api/gateway/v1/budgets") => json!({
            "name": "b", "window": "day", "limit_usd": 1,
            "scope": { "kind": "organization", "organization_id": "acme" },
        }),
        (&Method::POST, "/api/gateway/v1/routing-policies") => {
            json!({ "name": "p", "model_provider_ids": ["mp_unknown"] })
        }
        (&Method::POST, "/api/gateway/v1/cache-rules") => {
            json!({ "name": "r", "matchers": { "model": "m" }, "action": { "mode": "force" } })
        }
        (&Method::POST, "/api/gateway/v1/guardrails") => json!({
            "name": "g", "direction": "pre", "project_id": "default",
            "evaluator": { "slug": "length", "settings": { "max_chars": 1 } },
        }),
        (&Method::POST, "/api/gateway/v1/model-prices") => {
            json!({ "model": "m", "rates": { "input_cost_per_token": "0.1" } })
        }
        (&Method::POST, "/api/api-keys") => json!({ "keyType": "service", "name": "k" }),
        (&Method::POST, "/api/projects") => {
            json!({ "name": "p", "language": "other", "framework": "other", "newTeamName": "t" })
        }
        (&Method::POST, path) if path.ends_with("/check-request") => json!({ "model": "m" }),
        (&Method::POST, path) if path.ends_with("/members") => json!({ "userId": "user_unknown" }),
        (&Method::POST, "/api/groups/{id}/bindings") => {
            json!({ "role": "VIEWER", "scopeType": "PROJECT", "scopeId": "default" })
        }
        (&Method::POST, "/api/roles") => json!({ "name": "n", "permissions": ["traces:view"] }),
        (&Method::POST, "/api/role-bindings") => json!({
            "userId": "user_unknown", "role": "VIEWER", "scopeType": "PROJECT",
            "scopeId": "default",
        }),
        (_, "/api/role-bindings/{id}") => json!({ "role": "VIEWER" }),
        (&Method::POST, "/api/organization/invites") => {
            json!({ "invites": [{ "email": "x@example.com", "role": "MEMBER", "teams": [] }] })
        }
        (_, "/api/organization/members/{userId}") => json!({ "role": "MEMBER" }),
        (&Method::POST, _) => json!({ "name": "n" }),
        _ => json!({ "name": "n" }),
    })
}

async fn call(plane: &Plane, route: &Route, token: &str, path: &str, project: Option<&str>) -> Got {
    let headers: Vec<(&str, &str)> = project.map(|id| ("x-project-id", id)).into_iter().collect();
    plane
        .call_with(token, route.method.clone(), path, &headers, body(route))
        .await
}

/// The code of a refusal, in either envelope.
fn code(got: &Got) -> String {
    let body = got.json();
    let found = [&body["error"]["code"], &body["code"], &body["error"]];
    let code = found.into_iter().find_map(Value::as_str);
    code.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_route_refuses_who_has_no_usable_credential() {
    let plane = Plane::new();
    let mut wrong_secret = plane.acme.clone();
    wrong_secret.replace_range(wrong_secret.len() - 4.., "zzzz");
    let unknown = lw_crypto::api_key::mint(&lw_core::SystemEntropy)
        .token
        .expose()
        .to_owned();
    let legacy = format!("sk-lw-{}", "a".repeat(48));
    let bad = [
        "nonsense",
        &unknown,
        &legacy,
        &wrong_secret,
        &plane.revoked,
        &plane.expired,
    ];
    let rows = unknown_rows();
    for route in &table().guarded {
        let (path, at) = (filled(route, &rows), name_of(route));
        let refused = |got: &Got, expected: &str| {
            assert_eq!(got.status.as_u16(), 401, "{at}: {}", got.text);
            assert_eq!(code(got), expected, "{at}");
            assert!(got.header("www-authenticate").is_some(), "{at}");
        };
        refused(
            &call(&plane, route, "", &path, None).await,
            "missing_credentials",
        );
        for token in bad {
            let got = call(&plane, route, token, &path, None).await;
            refused(&got, "invalid_credentials");
            assert!(!got.text.contains(token), "{at}");
        }
    }
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn every_route_refuses_the_wrong_class_of_credential() {
    let plane = Plane::new();
    let rows = unknown_rows();
    for route in &table().guarded {
        let (path, at) = (filled(route, &rows), name_of(route));
        let legacy = call(
            &plane,
            route,
            &project_token("acme", "default"),
            &path,
            None,
        )
        .await;
        let organization = call(&plane, route, &plane.acme, &path, None).await;
        let instance = call(&plane, route, INSTANCE_KEY, &path, None).await;
        match route.family {
            Family::Organization => {
                assert_eq!(code(&legacy), "credential_class_mismatch", "{at}");
                assert_eq!(code(&instance), "invalid_credentials", "{at}");
            }
            Family::Instance => {
                for got in [&legacy, &organization] {
                    assert_eq!(code(got), "invalid_credentials", "{at}");
                }
                assert_ne!(instance.status.as_u16(), 401, "{at}");
            }
            Family::Gateway | Family::Project | Family::OwnProject => {
                assert_ne!(legacy.status.as_u16(), 401, "{at}: {}", legacy.text);
                assert_eq!(code(&instance), "invalid_credentials", "{at}");
            }
        }
    }
}

#[tokio::test]
async fn every_route_refuses_who_lacks_its_permission() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let list = ["annotations:share"];
    let other = [
        (BoundRole::Custom, Some(&list[..]), "organization", "acme"),
        (BoundRole::Custom, Some(&list[..]), "project", "default"),
        (BoundRole::Custom, Some(&list[..]), "project", "web"),
    ];
    let token = plane.service_key("acme", "other", &other, |_| {});
    let rows = unknown_rows();
    let mut exceptions = Vec::new();
    for route in &table().guarded {
        if route.family == Family::Instance {
            continue;
        }
        for context in [None, Some("default")] {
            if context.is_none() && route.family == Family::OwnProject {
                continue;
            }
            let got = call(&plane, route, &token, &filled(route, &rows), context).await;
            if got.status.as_u16() != 403 {
                exceptions.push(name_of(route));
                let status = got.status.as_u16();
                assert!(
                    [200, 410].contains(&status),
                    "{}: {}",
                    name_of(route),
                    got.text
                );
            }
        }
    }
    exceptions.sort();
    exceptions.dedup();
    assert_eq!(exceptions, NO_PERMISSION);
    assert_eq!(plane.announced(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_foreign_id_answers_exactly_like_an_unknown_one() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let (ours, unknown) = (rows(&plane, "web").await, unknown_rows());
    plane.announced();
    let before = everything(&plane, &ours).await;
    for route in table()
        .guarded
        .iter()
        .filter(|route| route.path.contains('{'))
    {
        if route.family == Family::Instance {
            continue;
        }
        let at = name_of(route);
        let foreign = call(&plane, route, &plane.globex, &filled(route, &ours), None).await;
        let missing = call(&plane, route, &plane.globex, &filled(route, &unknown), None).await;
        assert_eq!(foreign, missing, "{at}");
        let expected: &[u16] = if route.path.contains("v1/providers/") {
            &[410]
        } else if route.path.ends_with("{provider}") {
            // A vendor's name, not an id: it is everybody's own.
            &[200, 400]
        } else {
            &[404]
        };
        assert!(
            expected.contains(&foreign.status.as_u16()),
            "{at}: {}",
            foreign.text
        );
    }
    assert_eq!(
        everything(&plane, &ours).await,
        before,
        "a foreigner changed something"
    );
}

/// What acme reads of its rows.
async fn everything(plane: &Plane, rows: &Rows) -> Vec<String> {
    let mut all = Vec::new();
    for route in table().guarded {
        let reads = route.method == Method::GET && route.path.contains('{');
        if reads && route.family != Family::Instance {
            let got = call(plane, &route, &plane.acme, &filled(&route, rows), None).await;
            all.push(format!("{} {} {}", name_of(&route), got.status, got.text));
        }
    }
    all
}

#[tokio::test]
async fn what_is_a_siblings_answers_exactly_like_what_does_not_exist() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let (theirs, unknown) = (rows(&plane, "web").await, unknown_rows());
    plane.announced();
    let admin = [(BoundRole::Admin, None, "project", "default")];
    let tokens = [
        plane.service_key("acme", "sibling", &admin, |_| {}),
        project_token("acme", "default"),
        plane.service_key(
            "acme",
            "team-sibling",
            &[(BoundRole::Admin, None, "team", "default")],
            |_| {},
        ),
    ];
    let before = everything(&plane, &theirs).await;
    for token in &tokens {
        for route in table()
            .guarded
            .iter()
            .filter(|route| route.path.contains('{'))
        {
            let wide = ORGANIZATION_WIDE
                .iter()
                .any(|kind| route.path.contains(&format!("/{kind}/")));
            if wide || route.family == Family::Instance || route.path.ends_with("{provider}") {
                continue;
            }
            let at = name_of(route);
            let sibling = call(&plane, route, token, &filled(route, &theirs), None).await;
            let missing = call(&plane, route, token, &filled(route, &unknown), None).await;
            assert_eq!(sibling, missing, "{at}");
            assert!(!sibling.status.is_success(), "{at}: {}", sibling.text);
        }
    }
    assert_eq!(
        everything(&plane, &theirs).await,
        before,
        "a sibling changed something"
    );
}

#[tokio::test]
async fn a_foreign_project_is_not_found_and_an_own_one_is_found_by_id_or_slug() {
    let plane = Plane::new();
    let foreign = project("acme", "default");
    let rows = unknown_rows();
    for route in &table().guarded {
        let (path, at) = (filled(route, &rows), name_of(route));
        if !route.family.has_project_context() {
            continue;
        }
        let alien = call(&plane, route, &plane.globex, &path, Some(foreign.as_str())).await;
        let unknown = call(&plane, route, &plane.globex, &path, Some("proj_unknown")).await;
        assert_eq!(alien, unknown, "{at}");
        assert_eq!(
            (alien.status.as_u16(), code(&alien).as_str()),
            (404, "project_not_found"),
            "{at}"
        );
        for own in ["default", "proj_globex-default"] {
            let got = call(&plane, route, &plane.globex, &path, Some(own)).await;
            assert!(
                ![401, 403].contains(&got.status.as_u16()),
                "{at}: {}",
                got.text
            );
            assert!(!got.text.contains("project_not_found"), "{at}");
        }
    }
}

/// Who may call what: for each row, what each kind of caller is answered for a row of its own team's project
/// (`.` is a refusal for want of permission, `-` one of the credential's class).
#[tokio::test]
async fn the_matrix_of_callers_and_routes_is_a_promise() {
    let plane = Plane::new();
    plane.further_team("acme", "web");
    let (rows, unknown) = (rows(&plane, "web").await, unknown_rows());
    let bound = |name: &str, role, kind, scope| {
        plane.service_key("acme", name, &[(role, None, kind, scope)], |_| {})
    };
    let migration = ["modelProviders:update", "virtualKeys:create"];
    let lite = plane.member("acme", "lite", MemberRole::External);
    plane.in_team("acme", "web", &lite, BoundRole::Admin);
    let callers = [
        ("org-admin", plane.acme.clone()),
        (
            "org-member",
            bound("om", BoundRole::Member, "organization", "acme"),
        ),
        ("team-admin", bound("ta", BoundRole::Admin, "team", "web")),
        ("team-member", bound("tm", BoundRole::Member, "team", "web")),
        ("team-viewer", bound("tv", BoundRole::Viewer, "team", "web")),
        (
            "project-admin",
            bound("pa", BoundRole::Admin, "project", "web"),
        ),
        (
            "project-viewer",
            bound("pv", BoundRole::Viewer, "project", "web"),
        ),
        ("external", {
            let everything = [(BoundRole::Admin, None, "organization", "acme")];
            let lite = lite.clone();
            plane.service_key("acme", "ext", &everything, move |row| {
                row.user_id = Some(lite.clone());
            })
        }),
        ("migration", {
            let custom = [(
                BoundRole::Custom,
                Some(&migration[..]),
                "organization",
                "acme",
            )];
            plane.service_key("acme", "mig", &custom, |row| {
                row.permission_mode = PermissionMode::Restricted;
            })
        }),
        ("project-key", project_token("acme", "web")),
    ];
    let names: Vec<&str> = callers.iter().map(|(name, _)| *name).collect();
    let mut lines = vec![format!("{:63} {}", "", names.join(" "))];
    for route in &table().guarded {
        if route.family == Family::Instance {
            continue;
        }
        // Writes are asked with a body that no rule takes, so that what is permitted does not happen.
        // A delete of an organization family has no `If-Match` to fail on: it is asked of nothing.
        let harmless = route.method == Method::DELETE && route.family == Family::Organization;
        let path = filled(route, if harmless { &unknown } else { &rows });
        let mut marks = Vec::new();
        for (name, token) in &callers {
            let wrong = (route.method != Method::GET).then(|| json!([]));
            let headers = [("if-match", "\"0\"")];
            let got = plane
                .call_with(token, route.method.clone(), &path, &headers, wrong)
                .await;
            let mark = match got.status.as_u16() {
                403 => ".",
                404 if !harmless => "x",
                401 => "-",
                _ => "#",
            };
            marks.push(format!("{mark:<width$}", width = name.len()));
        }
        let method = route.method.as_str();
        let line = format!("{method:6} {:56} {}", route.path, marks.join(" "));
        lines.push(line.trim_end().to_owned());
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn a_credential_is_taken_in_each_of_its_three_forms() {
    let plane = Plane::new();
    let path = "/api/gateway/v1/virtual-keys";
    let basic = |user: &str| {
        let text = format!("{user}:{}", plane.acme);
        format!("Basic {}", data_encoding::BASE64.encode(text.as_bytes()))
    };
    let alias = plane.acme.replace("sk-lw-", "lwp_");
    for headers in [
        vec![("authorization", format!("Bearer {}", plane.acme))],
        vec![("authorization", format!("Bearer {alias}"))],
        vec![("authorization", basic("proj_acme-default"))],
        vec![("authorization", basic("default"))],
        vec![("x-auth-token", plane.acme.clone())],
        vec![
            ("authorization", "Basic %%%".into()),
            ("x-auth-token", plane.acme.clone()),
        ],
    ] {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let got = plane.call_with("", Method::GET, path, &headers, None).await;
        assert_eq!(got.status.as_u16(), 200, "{headers:?}: {}", got.text);
    }
    let got = plane
        .call_with(
            "",
            Method::GET,
            path,
            &[("authorization", &basic("nope"))],
            None,
        )
        .await;
    assert_eq!(got.code(), (404, "project_not_found".into()));
}

#[tokio::test]
async fn the_open_routes_are_these_and_no_others() {
    let plane = Plane::new();
    let table = table();
    let open: Vec<&str> = table.open.iter().map(|open| open.path).collect();
    assert_eq!(
        open,
        [
            "/",
            "/api/health",
            "/healthz",
            "/readyz",
            "/api/gateway/v1/openapi.json",
            "/api/openapi.json",
            "/.well-known/openapi",
            "/.well-known/langwatch",
        ]
    );
    for path in open {
        assert_eq!(
            plane
                .call_with("", Method::GET, path, &[], None)
                .await
                .status
                .as_u16(),
            200,
            "{path}"
        );
        let head = plane.call_with("", Method::HEAD, path, &[], None).await;
        assert_eq!(
            (head.status.as_u16(), head.text.as_str()),
            (200, ""),
            "{path}"
        );
    }
    insta::assert_snapshot!(plane.call_with("", Method::GET, "/", &[], None).await.text);
    let path = "/.well-known/langwatch";
    assert_eq!(
        plane.call_with("", Method::GET, path, &[], None).await.text,
        r#"{"gateway_url":"http://127.0.0.1:5563"}"#
    );
    let starting = Plane::with(|admin| admin.ready = std::sync::Arc::new(|| false));
    let got = starting
        .call_with("", Method::GET, "/readyz", &[], None)
        .await;
    assert_eq!(got.status.as_u16(), 503);
}

#[test]
fn the_table_of_routes_and_permissions_is_a_promise() {
    let rows: Vec<String> = table()
        .guarded
        .iter()
        .map(|route| {
            let Route {
                method,
                path,
                permission,
                at,
                ..
            } = route;
            format!("{:6} {path} {permission} {at:?}", method.as_str())
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[tokio::test]
async fn the_last_use_of_a_key_moves_after_a_success_and_once_a_minute() {
    let plane = Plane::new();
    let lookup = lw_crypto::api_key::parse(&plane.acme)
        .expect("a token")
        .lookup_id;
    let last = || {
        plane
            .store
            .access_by_lookup_id(&lookup)
            .expect("asked")
            .expect("a key")
            .key
            .last_used_at
    };
    assert_eq!(
        plane
            .get("/api/gateway/v1/virtual-keys/vk_x")
            .await
            .status
            .as_u16(),
        404
    );
    assert_eq!(last(), None);
    plane.get("/api/organization").await.fine(200);
    assert_eq!(last(), Some(super::NOW));
    plane.clock.set(super::NOW.plus_micros(59_000_000));
    plane.get("/api/organization").await.fine(200);
    assert_eq!(last(), Some(super::NOW));
    let minute = super::NOW.plus_micros(60_000_000);
    plane.clock.set(minute);
    plane.get("/api/organization").await.fine(200);
    assert_eq!(last(), Some(minute));
}
