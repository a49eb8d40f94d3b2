//! Creating calls that may be repeated safely: the same `Idempotency-Key` and body get the same answer for
//! a day (management-api 6, domain 21).
//!
//! The answer is stored in the transaction of what it answers for ([`lw_store::config::Receipt`]). A call
//! that died left either both or nothing, so nobody ever has to wait for a claim to go silent, and of two
//! calls at once one creates and the other gets its answer.
//!
//! Checks of the body and of permissions come before; the answer is sealed, because it may hold a secret.
//! Must never keep an answer that is not a success. Start at [`once`].

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use http::Method;
use lw_core::{Code, Error};
use lw_crypto::Place;
use lw_store::config::Receipt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::caller::Caller;
use crate::edge::stored;
use crate::input::{HEADER, refuse};
use crate::serve::{Answer, Call};

/// How long an answer is kept: 24 hours.
const KEPT_US: i64 = 24 * 60 * 60 * 1_000_000;

/// The operations that take a key; the same key on another one is another body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    VirtualKeys,
    Budgets,
    CacheRules,
    RoutingPolicies,
    ModelProviders,
    Guardrails,
    ModelPrices,
}

impl Operation {
    /// The operation that a path serves.
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/api/gateway/v1/virtual-keys" => Self::VirtualKeys,
            "/api/gateway/v1/budgets" => Self::Budgets,
            "/api/gateway/v1/cache-rules" => Self::CacheRules,
            "/api/gateway/v1/routing-policies" => Self::RoutingPolicies,
            "/api/gateway/v1/model-providers" => Self::ModelProviders,
            "/api/gateway/v1/guardrails" => Self::Guardrails,
            "/api/gateway/v1/model-prices" => Self::ModelPrices,
            _ => return None,
        })
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::VirtualKeys => "gateway.v1.virtual-keys.create",
            Self::Budgets => "gateway.v1.budgets.create",
            Self::CacheRules => "gateway.v1.cache-rules.create",
            Self::RoutingPolicies => "gateway.v1.routing-policies.create",
            Self::ModelProviders => "gateway.v1.model-providers.create",
            Self::Guardrails => "gateway.v1.guardrails.create",
            Self::ModelPrices => "gateway.v1.model-prices.create",
        }
    }
}

/// What a creating call attaches to its write.
#[derive(Debug)]
pub(crate) struct Keep<'a>(Option<&'a Claim>);

/// A key that a caller sent, with what it was sent for.
#[derive(Debug)]
struct Claim {
    scope_id: String,
    key: String,
    fingerprint: String,
}

/// The stored form of an answer.
#[derive(Serialize, Deserialize)]
struct Stored {
    body: String,
    revision: Option<i64>,
}

/// Runs `work`, or gives the answer that an earlier run with the same key had.
///
/// # Errors
/// `validation_error` at the header, `idempotency_error`, those of `work`, or the store failed.
pub(crate) fn once<P>(
    call: &Call<P>,
    operation: Operation,
    body: &Map<String, Value>,
    work: impl Fn(&Keep<'_>) -> Result<Answer, Error>,
) -> Result<Answer, Error> {
    let Some(claim) = claim(call, operation, body)? else {
        return work(&Keep(None));
    };
    let admin = call.admin();
    if let Some(answer) = claim.earlier(admin)? {
        return Ok(answer);
    }
    match work(&Keep(Some(&claim))) {
        // Somebody else was faster: whatever stood in the way of this run, theirs is the answer.
        Err(error) => claim.earlier(admin)?.ok_or(error),
        done => done,
    }
}

impl Keep<'_> {
    /// What is to be stored of `answer`; `None` when the caller sent no key.
    pub(crate) fn receipt(&self, admin: &Admin, answer: &Answer) -> Result<Option<Receipt>, Error> {
        let Some(claim) = self.0 else {
            return Ok(None);
        };
        let now = admin.clock.now();
        let (status, body, revision) = answer.parts();
        let text = json!(Stored {
            body: body.to_owned(),
            revision
        })
        .to_string();
        let sealed_body = admin
            .sealer
            .seal(
                text.as_bytes(),
                claim.place(&claim.row_id()),
                admin.entropy.as_ref(),
            )
            .map_err(|error| {
                Error::new(Code::InternalError, "an answer could not be sealed").because(error)
            })?;
        Ok(Some(Receipt {
            scope_id: claim.scope_id.clone(),
            key: claim.key.clone(),
            fingerprint: claim.fingerprint.clone(),
            status,
            sealed_body,
            created_at: now,
            expires_at: now.plus_micros(KEPT_US),
        }))
    }
}

impl Claim {
    fn row_id(&self) -> String {
        format!("{}|{}", self.scope_id, self.key)
    }

    fn place<'a>(&self, row_id: &'a str) -> Place<'a> {
        Place {
            table: "idempotency_receipts",
            column: "sealed_body",
            row_id,
        }
    }

    /// The answer of an earlier run.
    fn earlier(&self, admin: &Admin) -> Result<Option<Answer>, Error> {
        let now = admin.clock.now();
        let found = admin
            .store
            .receipt(&self.scope_id, &self.key, now)
            .map_err(stored)?;
        let Some(receipt) = found else {
            return Ok(None);
        };
        if receipt.fingerprint != self.fingerprint {
            let message = "This Idempotency-Key was used for another request. Send the same body, or a \
                           new key.";
            return Err(Error::new(Code::IdempotencyError, message).with("reason", "body_mismatch"));
        }
        let broken = |cause: &dyn std::fmt::Display| {
            Error::new(Code::InternalError, "a stored answer cannot be read").because(cause)
        };
        let plain = admin
            .sealer
            .open(&receipt.sealed_body, self.place(&self.row_id()))
            .map_err(|error| broken(&error))?;
        let Stored { body, revision } =
            serde_json::from_slice(&plain).map_err(|error| broken(&error))?;
        Ok(Some(Answer::again(receipt.status, body, revision)))
    }
}

/// Reads the header. A key belongs to the project or the organization of the call.
fn claim<P>(
    call: &Call<P>,
    operation: Operation,
    body: &Map<String, Value>,
) -> Result<Option<Claim>, Error> {
    let Some(value) = call.header("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().trim();
    if !(8..=255).contains(&key.chars().count()) {
        return Err(refuse(
            HEADER,
            "idempotency-key",
            "invalid_length",
            "must be 8 to 255 characters long",
        ));
    }
    let caller: &Caller = &call.permit;
    let scope_id = match &caller.project {
        Some(project) => project.id.to_string(),
        None => caller.organization.id.to_string(),
    };
    let canonical =
        json!({ "operation": operation.as_str(), "body": asked_for(operation, body) }).to_string();
    let digest = lw_crypto::digest(&canonical);
    Ok(Some(Claim {
        scope_id,
        key: key.to_owned(),
        fingerprint: data_encoding::HEXLOWER.encode(digest.as_bytes()),
    }))
}

/// What a body asks for: without the fields that the operation does not know, and without the white space
/// around its texts, so that neither makes another request of it. Maps are kept sorted: the order of keys
/// does not count either.
fn asked_for(operation: Operation, body: &Map<String, Value>) -> Map<String, Value> {
    static FIELDS: OnceLock<HashMap<&'static str, BTreeSet<String>>> = OnceLock::new();
    let fields = FIELDS.get_or_init(|| {
        let schemas = crate::schemas::all();
        let routes = crate::routes::table().guarded;
        let bodies = routes.iter().filter(|route| route.method == Method::POST);
        bodies
            .filter_map(|route| {
                let schema = &route.doc.body.as_ref()?.schema;
                let named = schema.get("$ref").and_then(Value::as_str);
                let schema = match named.and_then(|path| path.rsplit('/').next()) {
                    Some(name) => schemas.get(name)?,
                    None => schema,
                };
                let names = schema.get("properties")?.as_object()?.keys().cloned();
                let operation = Operation::of(&route.path)?;
                Some((operation.as_str(), names.collect()))
            })
            .collect()
    });
    let known = fields.get(operation.as_str());
    body.iter()
        .filter(|(name, _)| known.is_none_or(|known| known.contains(*name)))
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.trim().into(),
                other => other.clone(),
            };
            (name.clone(), value)
        })
        .collect()
}
