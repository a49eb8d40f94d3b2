//! Organizations, made by whoever runs the installation.

use http::Method;
use lw_core::OrganizationId;
use lw_store::config::AuditFilter;
use serde_json::{Value, json};

use super::organization::word;
use super::{Got, INSTANCE_KEY, Plane};

const PATH: &str = "/api/organizations";

async fn operate(plane: &Plane, method: Method, path: &str, body: Option<Value>) -> Got {
    plane.call_with(INSTANCE_KEY, method, path, &[], body).await
}

#[tokio::test]
async fn an_organization_is_made_whole_and_its_key_runs_it() {
    let plane = Plane::new();
    let body = json!({ "name": "Initech GmbH", "adminApiKeyName": "root" });
    let got = operate(&plane, Method::POST, PATH, Some(body))
        .await
        .fine(201);
    assert_eq!(got["organization"]["slug"], "initech-gmbh");
    let token = got["adminApiKey"]["token"].as_str().expect("a token");
    let own = |path: &'static str| plane.call_with(token, Method::GET, path, &[], None);
    let organization = own("/api/organization").await.fine(200);
    assert_eq!(organization["id"], got["organization"]["id"]);
    let teams = own("/api/teams").await.fine(200);
    assert_eq!(teams["data"][0]["id"], got["team"]["id"]);
    let projects = own("/api/projects").await.fine(200);
    let kinds: Vec<&Value> = projects["data"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| &row["kind"])
        .collect();
    assert_eq!(kinds, ["application", "internal_governance"]);
    for project in ["default", "internal-governance"] {
        let path = format!("/api/projects/{project}/api-key");
        let key = plane.call_with(token, Method::GET, &path, &[], None).await;
        assert!(key.fine(200)["apiKey"].is_string());
    }
    let id = got["adminApiKey"]["id"].as_str().expect("an id");
    let path = format!("/api/api-keys/{id}");
    let key = plane
        .call_with(token, Method::GET, &path, &[], None)
        .await
        .fine(200);
    assert_eq!(
        (&key["name"], &key["keyType"]),
        (&json!("root"), &json!("service"))
    );

    let id = got["organization"]["id"].as_str().expect("an id");
    let organization = OrganizationId::parse(id).expect("an id");
    let audit = plane
        .store
        .audit(&organization, &AuditFilter::default(), 9, None)
        .expect("the log");
    let first = audit
        .rows
        .iter()
        .find(|row| row.action == "management.organization.provision")
        .expect("a row");
    assert_eq!(first.user_id.as_deref(), Some("instance-admin"));
    assert!(!format!("{audit:?}").contains(&token[token.len() - 48..]));

    // It is found by id and by slug, and stands in the list.
    for name in [id, "initech-gmbh"] {
        let one = operate(&plane, Method::GET, &format!("{PATH}/{name}"), None).await;
        assert_eq!(one.fine(200)["organization"]["id"], id);
    }
    let list = operate(&plane, Method::GET, PATH, None).await.fine(200);
    assert_eq!(list["organizations"].as_array().map(Vec::len), Some(3));
    let got = operate(&plane, Method::GET, &format!("{PATH}/org_x"), None).await;
    assert_eq!(word(&got), (404, "organization_not_found".into()));
}

#[tokio::test]
async fn slugs_are_checked_and_unique() {
    let plane = Plane::new();
    let make = |body: Value| {
        let plane = &plane;
        async move { operate(plane, Method::POST, PATH, Some(body)).await }
    };
    let got = make(json!({ "name": "A", "slug": "acme" })).await;
    assert_eq!(word(&got), (409, "slug_conflict".into()));
    let got = make(json!({ "name": "Acme" })).await.fine(201);
    assert_eq!(got["organization"]["slug"], "acme-2");
    for slug in ["Acme", "a b", "-a", "a--b", "a_b", "", "org_x"] {
        let got = make(json!({ "name": "A", "slug": slug })).await;
        assert_eq!(word(&got), (422, "validation_error".into()), "{slug}");
    }
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "A", "adminApiKeyName": "" }),
    ] {
        assert_eq!(make(body).await.status.as_u16(), 422);
    }
    let calls = (0..16).map(|_| make(json!({ "name": "Same" })));
    for got in futures_util::future::join_all(calls).await {
        got.fine(201);
    }
    let calls = (0..16).map(|_| make(json!({ "name": "One", "slug": "one" })));
    let got = futures_util::future::join_all(calls).await;
    let made = got.iter().filter(|got| got.status.as_u16() == 201).count();
    assert_eq!(made, 1);
    assert!(
        got.iter()
            .all(|got| [201, 409].contains(&got.status.as_u16()))
    );
}

#[tokio::test]
async fn only_the_instance_key_opens_it_and_without_one_there_is_nothing() {
    let plane = Plane::new();
    let closed = Plane::with(|admin| admin.instance_key = None);
    let body = || Some(json!({ "name": "A" }));
    for (method, path, body) in [
        (Method::GET, PATH, None),
        (Method::POST, PATH, body()),
        (Method::GET, "/api/organizations/org_acme", None),
    ] {
        let with = |plane, token| {
            let (method, body): (Method, Option<Value>) = (method.clone(), body.clone());
            async move { Plane::call_with(plane, token, method, path, &[], body).await }
        };
        assert_eq!(
            word(&with(&plane, "").await),
            (401, "missing_credentials".into())
        );
        for token in [
            plane.acme.as_str(),
            "instance-key",
            "instance-key-of-the-tests2",
        ] {
            let got = with(&plane, token).await;
            assert_eq!(word(&got), (401, "invalid_credentials".into()));
        }
        for token in ["", INSTANCE_KEY, closed.acme.as_str()] {
            let got = with(&closed, token).await;
            assert_eq!(word(&got), (404, "not_found".into()));
        }
    }
    // And the instance key opens nothing else.
    let got = operate(&plane, Method::GET, "/api/organization", None).await;
    assert_eq!(word(&got), (401, "invalid_credentials".into()));
}
