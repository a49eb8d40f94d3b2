//! What the mock received and what it generated: the truth that bills are tested against.
//!
//! A [`Truth`] is written before the first byte of its answer leaves, and completed before the last
//! one does, so a caller that has read the whole answer finds it complete. Both rings are bounded.
//! Never keeps a credential in clear. Start at [`Truth`], then [`Records`].

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::now_ms;
use crate::identity::SECRET_FIELDS;
use crate::sigv4::Claim;
use crate::target::{Route, Target, decoded};

const RING: usize = 200_000;
const BODY_CAP: usize = 64 * 1024;
const BODIES_CAP: usize = 64 * 1024 * 1024;

/// Tokens by class. The four input classes do not overlap.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Usage {
    /// Input that is neither read from nor written to a cache.
    pub input: u64,
    /// Input read from the cache.
    pub cached_read: u64,
    /// Input written to the short-lived cache (five minutes at Anthropic, thirty at OpenAI).
    pub cache_write_5m: u64,
    /// Input written to the long-lived cache (one hour at Anthropic, twelve at OpenAI).
    pub cache_write_1h: u64,
    /// All output, reasoning included.
    pub output: u64,
    /// Reasoning, a part of `output`.
    pub reasoning: u64,
    /// Audio, a part of `input`.
    pub audio_input: u64,
    /// Audio, a part of `output`.
    pub audio_output: u64,
}

/// One generation, as the provider knows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Truth {
    /// Counts up from 1 over the life of the server, also across a reset.
    pub seq: u64,
    /// The `seq` of the request in `/_mock/requests`.
    pub request_seq: u64,
    /// The response id in the body; empty where the body has none.
    pub id: String,
    /// Path without its query.
    pub path: String,
    /// How its body looks: `openai`, `anthropic`, `gemini` or `bedrock`.
    pub dialect: String,
    /// Whose server the mock was: these, `vertex` or `azure`.
    pub vendor: String,
    /// Azure's deployment.
    pub deployment: Option<String>,
    /// Azure's `api-version`.
    pub api_version: Option<String>,
    /// Of Vertex AI the location in the path, of Bedrock that of the signature.
    pub region: Option<String>,
    /// Digest of the credential ([`key_digest`]); of a signed request, of its access key.
    pub credential: Option<String>,
    /// The model that the request named.
    pub model: String,
    /// Whether the request asked for a stream.
    pub stream: bool,
    /// Status sent; 0 where no head was sent.
    pub status: u16,
    /// The body's `user`, else its `metadata.user_id`.
    pub user: Option<String>,
    /// What the whole answer costs, also if it was cut short. Zero for errors.
    pub usage: Usage,
    /// Whether the bytes handed out contained the (final) usage numbers.
    pub usage_reported: bool,
    /// Bytes of answer text and tool arguments handed out, before JSON escaping.
    pub delivered_text_bytes: u64,
    /// Words in them: the output tokens, without reasoning, that the caller could have seen.
    pub delivered_tokens: u64,
    /// Stream frames handed out, of any kind.
    pub frames_sent: u64,
    /// Body bytes handed out.
    pub bytes_sent: u64,
    /// Every byte of the answer was handed to the socket.
    pub completed: bool,
    /// The caller hung up before that.
    pub disconnected: bool,
    /// SHA-256 of the body bytes handed out.
    pub body_sha256: String,
    /// Milliseconds since 1970.
    pub started_at: u64,
    /// Milliseconds since 1970; `None` while it runs.
    pub finished_at: Option<u64>,
}

/// One request as it arrived.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Counts up from 1 over the life of the server, also across a reset.
    pub seq: u64,
    /// The method.
    pub method: String,
    /// Path and query; a `key` in it is a digest.
    pub path: String,
    /// As in [`Truth`].
    pub dialect: String,
    /// As in [`Truth`].
    pub vendor: String,
    /// As in [`Truth`].
    pub deployment: Option<String>,
    /// As in [`Truth`].
    pub api_version: Option<String>,
    /// As in [`Truth`].
    pub region: Option<String>,
    /// As in [`Truth`].
    pub credential: Option<String>,
    /// By lower-case name, several values joined with `, `; a credential is `sha256:<hex>` of the
    /// key alone (see [`key_digest`]).
    pub headers: BTreeMap<String, String>,
    /// SHA-256 of the whole body.
    pub body_sha256: String,
    /// Length of the whole body.
    pub body_len: usize,
    /// The first 64 KiB of the body; `None` once old bodies had to make room.
    pub body: Option<String>,
    /// Milliseconds since 1970.
    pub received_at: u64,
}

/// How a credential is written down: `sha256:` and the hash of the key, without its scheme.
pub fn key_digest(key: &str) -> String {
    format!("sha256:{}", sha256(key.as_bytes()))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The two rings.
#[derive(Default)]
pub(crate) struct Records {
    rings: Mutex<Rings>,
}

#[derive(Default)]
struct Rings {
    truth: VecDeque<Truth>,
    truth_seq: u64,
    seen: VecDeque<Seen>,
    seen_seq: u64,
    body_bytes: usize,
    /// Requests up to this `seq` have no body any more.
    bodies_dropped_to: u64,
}

impl Records {
    /// Stores a request and gives it its number.
    pub(crate) fn saw(
        &self,
        head: &http::request::Parts,
        target: &Target<'_>,
        key: Option<&str>,
        body: &[u8],
    ) -> u64 {
        let shown = match target.route {
            Route::Identity(_) => without_secrets(&text_up_to(body, BODY_CAP)),
            _ => text_up_to(body, BODY_CAP),
        };
        let path = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let signed = head
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(Claim::read);
        let region = target.region.clone();
        let mut seen = Seen {
            seq: 0,
            method: head.method.as_str().to_owned(),
            path: without_key(path),
            dialect: target.dialect.name().to_owned(),
            vendor: target.vendor.name().to_owned(),
            deployment: target.deployment.clone(),
            api_version: target.api_version.clone(),
            region: region.or_else(|| signed.map(|claim| claim.region.to_owned())),
            credential: key.map(key_digest),
            headers: readable(&head.headers),
            body_sha256: sha256(body),
            body_len: body.len(),
            body: Some(shown),
            received_at: now_ms(),
        };
        let mut rings = self.rings.lock();
        rings.seen_seq += 1;
        seen.seq = rings.seen_seq;
        rings.push(seen);
        rings.seen_seq
    }

    /// Stores a generation and gives it its number.
    pub(crate) fn began(&self, mut truth: Truth) -> u64 {
        let mut rings = self.rings.lock();
        rings.truth_seq += 1;
        truth.seq = rings.truth_seq;
        if rings.truth.len() >= RING {
            rings.truth.pop_front();
        }
        rings.truth.push_back(truth);
        rings.truth_seq
    }

    /// Changes a generation, if it is still there.
    pub(crate) fn update(&self, seq: u64, change: impl FnOnce(&mut Truth)) {
        let mut rings = self.rings.lock();
        let first = rings.truth.front().map_or(u64::MAX, |truth| truth.seq);
        let at = seq
            .checked_sub(first)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(truth) = at.and_then(|at| rings.truth.get_mut(at)) {
            change(truth);
        }
    }

    pub(crate) fn truth_since(&self, seq: u64) -> Vec<Truth> {
        let rings = self.rings.lock();
        rings
            .truth
            .iter()
            .filter(|truth| truth.seq > seq)
            .cloned()
            .collect()
    }

    pub(crate) fn seen_since(&self, seq: u64) -> Vec<Seen> {
        let rings = self.rings.lock();
        rings
            .seen
            .iter()
            .filter(|seen| seen.seq > seq)
            .cloned()
            .collect()
    }

    pub(crate) fn clear(&self) {
        let mut rings = self.rings.lock();
        rings.truth.clear();
        rings.seen.clear();
        rings.body_bytes = 0;
    }
}

impl Rings {
    fn push(&mut self, seen: Seen) {
        self.body_bytes += seen.body.as_ref().map_or(0, String::len);
        if self.seen.len() >= RING {
            let oldest = self.seen.pop_front();
            let freed = oldest
                .and_then(|oldest| oldest.body)
                .map_or(0, |body| body.len());
            self.body_bytes = self.body_bytes.saturating_sub(freed);
        }
        self.seen.push_back(seen);
        while self.body_bytes > BODIES_CAP {
            let first = self.seen.front().map_or(0, |seen| seen.seq);
            let next = self.bodies_dropped_to.max(first.saturating_sub(1)) + 1;
            let at = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
            let Some(seen) = self.seen.get_mut(at) else {
                break;
            };
            let freed = seen.body.take().map_or(0, |body| body.len());
            self.body_bytes = self.body_bytes.saturating_sub(freed);
            self.bodies_dropped_to = next;
        }
    }
}

fn text_up_to(body: &[u8], cap: usize) -> String {
    String::from_utf8_lossy(body.get(..cap).unwrap_or(body)).into_owned()
}

/// A `key` in the query becomes its digest.
fn without_key(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else {
        return path.to_owned();
    };
    let shown = |pair: &str| match pair.strip_prefix("key=") {
        Some(key) => format!("key={}", key_digest(&decoded(key))),
        None => pair.to_owned(),
    };
    let pairs: Vec<String> = query.split('&').map(shown).collect();
    format!("{path}?{}", pairs.join("&"))
}

/// Secrets in a form become their digests.
fn without_secrets(form: &str) -> String {
    let shown = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if SECRET_FIELDS.contains(&name) => {
            format!("{name}={}", key_digest(&decoded(value)))
        }
        Some(_) | None => pair.to_owned(),
    };
    let pairs: Vec<String> = form.split('&').map(shown).collect();
    pairs.join("&")
}

fn readable(headers: &http::HeaderMap) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = match name.as_str() {
            "authorization" | "proxy-authorization" => {
                let key = value.split_once(' ').map_or(&*value, |(_, key)| key.trim());
                key_digest(key)
            }
            "x-api-key"
            | "api-key"
            | "x-goog-api-key"
            | "cookie"
            | "x-amz-security-token"
            | "x-aws-ec2-metadata-token" => key_digest(&value),
            _ => value.into_owned(),
        };
        let slot = out.entry(name.as_str().to_owned()).or_default();
        if !slot.is_empty() {
            slot.push_str(", ");
        }
        slot.push_str(&value);
    }
    out
}
