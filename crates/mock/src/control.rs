//! `/_mock/*`: scripts, credentials, strictness, and what was recorded.
//!
//! Open to everyone who can reach the port, which is why the mock listens on loopback unless told
//! otherwise. Never recorded itself. Start at [`answer`].

use std::collections::HashSet;

use http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::accounts::AwsSecret;
use crate::directive::Script;
use crate::json::Obj;
use crate::state::Shared;
use crate::strict::Strictness;
use crate::target::argument;

const OK: &str = r#"{"status":"ok"}"#;

/// Where all of it lives.
pub(crate) const PREFIX: &str = "/_mock/";

/// Where a control request went.
pub(crate) struct Place<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// The `host` header.
    pub(crate) host: &'a str,
}

/// Status and JSON body.
pub(crate) fn answer(
    shared: &Shared,
    method: &Method,
    place: &Place<'_>,
    body: &[u8],
) -> (u16, String) {
    let Place { path, query, host } = *place;
    let done = |body: String| (200, body);
    match (
        method.as_str(),
        path.strip_prefix(PREFIX).unwrap_or_default(),
    ) {
        ("GET", "health") => done(Obj::new().str("status", "ok").end()),
        ("GET", "stats") => done(shared.stats_json()),
        ("GET", "requests") => since(query).map_or_else(refused, |since| {
            let seen = shared.records.seen_since(since);
            let last = seen.last().map_or(since, |seen| seen.seq);
            done(page(&seen, last))
        }),
        ("GET", "truth") => since(query).map_or_else(refused, |since| {
            let truth = shared.records.truth_since(since);
            let last = truth.last().map_or(since, |truth| truth.seq);
            done(page(&truth, last))
        }),
        ("POST", "script") => match scripts(body) {
            Ok(more) => {
                let queued = shared.queue(more);
                done(
                    Obj::new()
                        .num("queued", u64::try_from(queued).unwrap_or(u64::MAX))
                        .end(),
                )
            }
            Err(why) => refused(why),
        },
        ("DELETE", "script") => {
            shared.unqueue_all();
            done(Obj::new().num("queued", 0).end())
        }
        ("POST", "keys") => match serde_json::from_slice::<Keys>(body) {
            Ok(Keys { valid }) => {
                let shown = serde_json::to_string(&valid.as_ref().map(HashSet::len));
                shared.restrict_keys(valid);
                done(
                    Obj::new()
                        .raw("valid", shown.as_deref().unwrap_or("null"))
                        .end(),
                )
            }
            Err(error) => refused(error.to_string()),
        },
        ("POST", "reset") => {
            shared.reset();
            done(OK.to_owned())
        }
        ("POST", "strict") => set(body, |Strict { strict }| {
            shared.set_strictness(match strict {
                Some(true) => Strictness::All,
                Some(false) => Strictness::None,
                None => Strictness::Usual,
            });
            Ok(())
        }),
        ("POST", "deployments") => set(body, |Keys { valid }| {
            shared.accounts.restrict_deployments(valid);
            Ok(())
        }),
        ("POST", "tokens") => set(body, |Tokens { expires_in, revoke }| {
            if let Some(seconds) = expires_in {
                shared.accounts.set_lifetime(seconds);
            }
            if revoke {
                shared.accounts.revoke();
            }
            Ok(())
        }),
        ("POST", "aws-credentials") => set(body, |pair: AwsPair| {
            let AwsPair {
                access_key,
                secret_key,
                session_token,
                region,
            } = pair;
            let secret = AwsSecret {
                secret_key,
                session_token,
                region,
                expires_at: None,
            };
            shared.accounts.add_aws(access_key, secret);
            Ok(())
        }),
        ("POST", "service-accounts") => set(body, |account: ServiceAccount| {
            let ServiceAccount {
                client_email,
                public_key_pem,
                private_key_id,
            } = account;
            shared
                .accounts
                .add_service_key(client_email, private_key_id, &public_key_pem)
        }),
        ("GET", "service-account.json") => {
            let scheme = if shared.tls { "https" } else { "http" };
            let own = || format!("{scheme}://{host}/token");
            let token_uri = argument(query, "token_uri").unwrap_or_else(own);
            match shared.accounts.service_account(&token_uri) {
                Ok(json) => done(json),
                Err(why) => (500, error(&why)),
            }
        }
        _ => (404, error(&format!("no such control: {method} {path}"))),
    }
}

/// `null` lifts the restriction; the list replaces the one before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    valid: Option<HashSet<String>>,
}

/// `true` checks every dialect, `false` none, `null` the usual ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    strict: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tokens {
    /// Seconds that tokens live from now on.
    expires_in: Option<u64>,
    /// Take back what was handed out.
    revoke: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AwsPair {
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
    region: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceAccount {
    client_email: String,
    public_key_pem: String,
    private_key_id: Option<String>,
}

/// Reads the body and acts on it.
fn set<T: serde::de::DeserializeOwned>(
    body: &[u8],
    act: impl FnOnce(T) -> Result<(), String>,
) -> (u16, String) {
    let read = serde_json::from_slice(body).map_err(|error| error.to_string());
    match read.and_then(act) {
        Ok(()) => (200, OK.to_owned()),
        Err(why) => refused(why),
    }
}

fn scripts(body: &[u8]) -> Result<Vec<Script>, String> {
    let entries: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let read = |(at, raw): (usize, &&RawValue)| {
        Script::from_json(raw.get()).map_err(|error| format!("entry {at}: {error}"))
    };
    entries.iter().enumerate().map(read).collect()
}

fn since(query: &str) -> Result<u64, String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    match pairs.find(|(name, _)| *name == "since") {
        Some((_, value)) => value
            .parse()
            .map_err(|_| String::from("`since` must be a whole number")),
        None => Ok(0),
    }
}

fn page<T: serde::Serialize>(rows: &[T], last: u64) -> String {
    let rows = serde_json::to_string(rows).unwrap_or_else(|_| String::from("[]"));
    Obj::new().raw("data", &rows).num("last_seq", last).end()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_or_else wants"
)]
fn refused(why: String) -> (u16, String) {
    (400, error(&why))
}

fn error(message: &str) -> String {
    let error = Obj::new()
        .str("type", "mock_control_error")
        .str("message", message)
        .end();
    Obj::new().raw("error", &error).end()
}
