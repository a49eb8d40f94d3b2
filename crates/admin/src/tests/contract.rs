//! Every answer of every test keeps the promises of the API description: the route is there, the status
//! is documented, the body has the documented shape, and a refusal has one of the documented codes.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use http::{HeaderMap, Method, StatusCode};
use jsonschema::Validator;
use lw_core::Code;
use serde_json::{Value, json};

use crate::openapi::{common_refusals, document};
use crate::routes::table;

struct Contract {
    /// Validators by method, path template and status.
    shapes: HashMap<(String, String, String), Validator>,
    /// Codes that a route may refuse with.
    codes: HashMap<(String, String), Vec<&'static str>>,
    templates: Vec<String>,
}

fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let document = document();
        let components = &document["components"];
        let mut shapes = HashMap::new();
        let paths = document["paths"].as_object().expect("paths");
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().expect("methods") {
                let responses = operation["responses"].as_object().expect("responses");
                for (status, response) in responses {
                    let mut schema = response["content"]["application/json"]["schema"].clone();
                    schema["components"] = components.clone();
                    let validator = jsonschema::validator_for(&schema)
                        .unwrap_or_else(|error| panic!("{method} {path} {status}: {error}"));
                    shapes.insert((method.clone(), path.clone(), status.clone()), validator);
                }
            }
        }
        let mut codes: HashMap<(String, String), Vec<&'static str>> = HashMap::new();
        for route in table().guarded {
            let method = route.method.as_str().to_ascii_lowercase();
            let all = common_refusals(route.family)
                .iter()
                .chain(&route.doc.refusals);
            codes
                .entry((method, route.path))
                .or_default()
                .extend(all.map(|code: &Code| code.row().name));
        }
        Contract {
            shapes,
            codes,
            templates: paths.keys().cloned().collect(),
        }
    })
}

/// The template that a path is served by: the one with the most literal parts.
fn template(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let mut best: BTreeMap<usize, &'static str> = BTreeMap::new();
    for template in &contract().templates {
        let wanted: Vec<&str> = template.split('/').collect();
        let fits = wanted.len() == parts.len()
            && wanted
                .iter()
                .zip(&parts)
                .all(|(wanted, part)| wanted.starts_with('{') || wanted == part);
        if fits {
            let literal = wanted.iter().filter(|part| !part.starts_with('{')).count();
            best.insert(literal, template);
        }
    }
    best.into_values().last()
}

/// Checks one answer.
pub(super) fn check(
    method: &Method,
    path: &str,
    status: StatusCode,
    headers: &HeaderMap,
    text: &str,
) {
    let json = headers
        .get("content-type")
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    // What no row of the table answers, and what has no body, is not described.
    let Some(template) = template(path).filter(|_| json && !text.is_empty()) else {
        return;
    };
    let method = method.as_str().to_ascii_lowercase();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let at = format!("{method} {template} {status}");
    let key = (
        method.clone(),
        template.to_owned(),
        status.as_u16().to_string(),
    );
    let shape = contract()
        .shapes
        .get(&key)
        .unwrap_or_else(|| panic!("{at} is not documented: {text}"));
    let body: Value = serde_json::from_str(text).expect("a JSON body");
    let wrong: Vec<String> = shape
        .iter_errors(&body)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{at}: {wrong:#?}\n{text}");
    if status.is_success() {
        return;
    }
    let canonical = &body["error"]["code"];
    let code = [canonical, &body["code"], &body["error"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default();
    let known = &contract().codes[&(method, template.to_owned())];
    assert!(
        known.contains(&code),
        "{at}: the code {code} is not documented"
    );
}

#[test]
fn the_description_is_complete() {
    let document = document();
    let mut ids = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let at = format!("{method} {path}");
            let id = operation["operationId"].as_str().expect("an id");
            assert!(!id.is_empty(), "{at} has no operationId");
            ids.push(id.to_owned());
            assert_ne!(operation["summary"], "", "{at} says nothing");
            let writes = ["post", "put", "patch"].contains(&method.as_str());
            assert_eq!(operation["requestBody"].is_object(), writes, "{at}: body");
            let responses = operation["responses"].as_object().expect("responses");
            let good = responses.iter().find(|(status, _)| status.starts_with('2'));
            // What is gone says so in its summary, and answers 410 to everybody.
            let gone = operation["summary"]
                .as_str()
                .is_some_and(|summary| summary.starts_with("Gone: "));
            assert_eq!(gone, responses.contains_key("410"), "{at}: gone");
            assert_eq!(gone, good.is_none(), "{at}: never succeeds");
            let good = good.map_or_else(|| &responses["410"], |(_, good)| good);
            let schema = &good["content"]["application/json"]["schema"];
            assert_ne!(*schema, json!({}), "{at} does not say what it answers");
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operationId is there twice");
}

#[test]
fn the_committed_description_is_the_current_one() {
    let committed = include_str!("../../../../docs/openapi.json");
    assert!(
        committed == crate::openapi_text(),
        "the API changed: run `cargo xtask openapi` and read what the difference says to callers"
    );
}
