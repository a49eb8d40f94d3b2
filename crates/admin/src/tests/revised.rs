//! What the tests of routing policies, cache rules, guardrails and own prices share.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::Method;
use lw_store::config::AuditRow;
use serde_json::{Value, json};

use super::{Got, Plane};

/// The path of the row in an answer.
pub(super) fn path_of(base: &str, kind: &str, answer: &Value) -> String {
    format!("{base}/{}", answer[kind]["id"].as_str().expect("an id"))
}

/// What each body is refused with: the code, and every problem with its field.
pub(super) async fn refusals(
    plane: &Plane,
    method: Method,
    path: &str,
    bodies: &[Value],
) -> String {
    let mut out = String::new();
    for body in bodies {
        let got = plane.call(method.clone(), path, Some(body.clone())).await;
        assert_eq!(got.status.as_u16(), 400, "{body}: {}", got.text);
        let answer = got.json();
        let error = &answer["error"];
        let mut sent = body.to_string();
        if sent.len() > 120 {
            sent.truncate(100);
            sent.push_str(" …");
        }
        out.push_str(&format!(
            "{sent}\n  {}\n",
            error["code"].as_str().expect("a code")
        ));
        match error["meta"]["reasons"].as_array() {
            None => out.push_str(&format!("  {}\n", error["message"])),
            Some(reasons) => {
                for reason in reasons {
                    let (field, text) = (&reason["meta"]["field"], &reason["message"]);
                    out.push_str(&format!("  {field} {} {text}\n", reason["code"]));
                }
            }
        }
    }
    out
}

/// The ids of a list, page by page; `between` is done after each page.
pub(super) async fn walk(
    plane: &Plane,
    path: &str,
    limit: usize,
    mut between: impl AsyncFnMut(&[String]),
) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}limit={limit}{cursor}");
        let page = plane.get(&path).await.fine(200);
        let rows = page["data"].as_array().expect("rows").iter();
        let ids: Vec<String> = rows
            .map(|row| row["id"].as_str().expect("an id").to_owned())
            .collect();
        between(&ids).await;
        seen.extend(ids);
        let Some(next) = page["next_cursor"].as_str() else {
            return seen;
        };
        cursor = format!("&cursor={next}");
    }
}

/// What was done to rows of a kind, sorted: the tests' clock stands still, so the log has no order.
pub(super) fn acts(plane: &Plane, kind: &str) -> Vec<String> {
    let mut rows = plane.audit();
    rows.retain(|row| row.target_kind.as_deref() == Some(kind));
    let mut acts: Vec<String> = rows.into_iter().map(|row| row.action).collect();
    acts.sort();
    acts
}

/// Patches one row from 32 threads, each without a revision, and makes sure that every change was made on
/// top of another. `body` must not repeat itself.
pub(super) async fn contended(
    plane: &Plane,
    path: &str,
    kind: &str,
    body: impl Fn(usize) -> Value,
) {
    let patches = (0..32).map(|place| plane.patch(path, body(place)));
    for got in join_all(patches).await {
        got.fine(200);
    }
    let read = plane.get(path).await;
    assert_eq!(
        read.header("etag"),
        Some("\"33\""),
        "32 changes of revision 1"
    );
    let mut updates = plane.audit();
    updates.retain(|row| row.target_kind.as_deref() == Some(kind) && row.before.is_some());
    assert_eq!(updates.len(), 32);
    // Each change was made to what another one had left, and no two to the same: none was lost.
    let texts = |cell: fn(&AuditRow) -> &Option<String>| -> BTreeSet<String> {
        updates.iter().filter_map(|row| cell(row).clone()).collect()
    };
    let (befores, afters) = (texts(|row| &row.before), texts(|row| &row.after));
    assert_eq!((befores.len(), afters.len()), (32, 32));
    let newest: Vec<&String> = afters.difference(&befores).collect();
    assert_eq!(newest, [&read.json()[kind].to_string()]);
}

/// A change of a revision that is not the newest is refused with the newest; the right one is taken.
pub(super) async fn revisions_conflict(plane: &Plane, path: &str, kind: &str, body: &Value) {
    let read = plane.get(path).await;
    let newest = read.header("etag").expect("an ETag").to_owned();
    let patch = async |tag: &str| {
        plane
            .call_with(
                &plane.acme,
                Method::PATCH,
                path,
                &[("if-match", tag)],
                Some(body.clone()),
            )
            .await
    };
    let refused = patch("\"999\"").await;
    assert_eq!(refused.code(), (409, "revision_conflict".into()));
    assert_eq!(
        refused.json()["error"]["meta"]["current"],
        read.json()[kind]
    );
    assert_eq!(
        patch("nonsense").await.code(),
        (400, "validation_error".into())
    );
    let done = patch(&newest).await;
    assert_ne!(done.header("etag"), Some(newest.as_str()), "{}", done.text);
    done.fine(200);
    assert_eq!(
        patch(&newest).await.code(),
        (409, "revision_conflict".into())
    );
    let stale = plane
        .call_with(
            &plane.acme,
            Method::DELETE,
            path,
            &[("if-match", &newest)],
            None,
        )
        .await;
    assert_eq!(stale.code(), (409, "revision_conflict".into()));
}

/// A create with a key is done once; with another body it is refused.
pub(super) async fn created_once(plane: &Plane, base: &str, body: &Value) -> Value {
    let create = async |body: &Value| -> Got {
        let headers = [
            ("idempotency-key", "idem-0001"),
            ("x-project-id", "default"),
        ];
        plane
            .call_with(
                &plane.acme,
                Method::POST,
                base,
                &headers,
                Some(body.clone()),
            )
            .await
    };
    let first = create(body).await;
    let again = create(body).await;
    assert_eq!(first.header("x-idempotent-replay"), None);
    assert_eq!(again.header("x-idempotent-replay"), Some("true"));
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(first.header("etag"), again.header("etag"));
    let mut other = body.clone();
    other["description"] = json!("another");
    other["provider"] = json!("another");
    let refused = create(&other).await;
    assert_eq!(refused.code(), (409, "idempotency_error".into()));
    first.fine(201)
}
