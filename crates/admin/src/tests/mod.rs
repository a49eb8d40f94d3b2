//! The whole router on real SQLite: two organizations, a clock that stands still, chance that repeats.

mod errors;
mod keys;
mod lifecycle;
mod providers;
mod tenants;
mod traces;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use lw_core::{
    ApiKeyId, Clock, Entropy, ManualClock, OrganizationId, ProjectId, Secret, SystemEntropy,
    TeamId, UnixMicros,
};
use lw_crypto::{Pepper, Sealer, SealingKey};
use lw_store::config::{AuditRow, Change, ChangeEvent, ConfigStore, Freshness, Tenant};
use lw_store::rows::{ApiKey, Organization, Project, ProjectKind, Team};
use lw_store_sql::Tuning;
use lw_store_sql::config::SqliteConfig;
use lw_store_sql::ledger::SqliteLedger;
use lw_store_sql::trace::SqliteTraces;
use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{Admin, AdminSettings, router};

/// Where the clock stands: 2026-11-23T14:00:00Z.
pub(super) const NOW: UnixMicros = UnixMicros(1_795_442_400_000_000);

/// A control plane with two organizations, `acme` and `globex`.
pub(super) struct Plane {
    pub(super) router: Router,
    pub(super) store: Arc<SqliteConfig>,
    pub(super) ledger: Arc<SqliteLedger>,
    pub(super) traces: Arc<SqliteTraces>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) news: Arc<News>,
    /// Organization-wide keys.
    pub(super) acme: String,
    pub(super) globex: String,
    /// Keys of acme that stopped working.
    pub(super) revoked: String,
    pub(super) expired: String,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug, PartialEq)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Got {
    /// The body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("a JSON body")
    }

    /// The JSON body of a success.
    pub(super) fn fine(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// Status and `error.code` of a canonical refusal.
    pub(super) fn code(&self) -> (u16, String) {
        let code = self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (self.status.as_u16(), code)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What gateways were told.
#[derive(Debug, Default)]
pub(super) struct News(pub(super) Mutex<Vec<ChangeEvent>>);

impl Freshness for News {
    fn changed(&self, change: &ChangeEvent) {
        self.0.lock().push(change.clone());
    }
}

/// Chance that is the same in every run.
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let bytes = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

impl Plane {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Admin)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tuning = Tuning {
            durable: false,
            ..Tuning::default()
        };
        let path = folder.path();
        let open = |name: &str| path.join(name);
        let store = Arc::new(SqliteConfig::open(&open("config.db"), tuning).expect("a store"));
        let ledger = Arc::new(SqliteLedger::open(&open("ledger.db"), tuning).expect("a ledger"));
        let traces = Arc::new(SqliteTraces::open(&open("traces.db"), tuning).expect("traces"));
        let clock = Arc::new(ManualClock::at(NOW));
        let news = Arc::new(News::default());
        let pepper = Pepper::new(&Secret::new("test-pepper-0123456789abcdef0123"));
        let (sealing, _) = SealingKey::generate(&SystemEntropy);
        let mut admin = Admin {
            store: Arc::clone(&store) as Arc<dyn ConfigStore>,
            ledger: Arc::clone(&ledger) as _,
            traces: Arc::clone(&traces) as _,
            freshness: Arc::clone(&news) as _,
            sealer: Arc::new(Sealer::new(&sealing, &[])),
            key_pepper: pepper.clone(),
            credential_pepper: pepper.clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::new(Counted(AtomicU64::new(7))),
            base_url_policy: Arc::new(|url| {
                let private = url.contains("//10.");
                if private {
                    Err("must not be a private address".into())
                } else {
                    Ok(())
                }
            }),
            settings: AdminSettings {
                version: "0.1.0".into(),
                ui_base_url: "http://127.0.0.1:5560".into(),
                gateway_public_url: "http://127.0.0.1:5563".into(),
                trace_project_strict: false,
            },
            ready: Arc::new(|| true),
        };
        change(&mut admin);
        for name in ["acme", "globex"] {
            store
                .create_organization(&tenant(name), &quiet(name))
                .expect("an organization");
        }
        let key = |org: &str, name: &str, change: &dyn Fn(&mut ApiKey)| {
            let minted = lw_crypto::api_key::mint(&SystemEntropy);
            let mut row = ApiKey {
                id: ApiKeyId::parse(&format!("ak_{org}-{name}")).expect("an id"),
                organization_id: organization(org),
                name: name.to_owned(),
                lookup_id: minted.lookup_id,
                hashed_secret: pepper.hash(minted.secret.expose()),
                created_at: NOW,
                expires_at: None,
                revoked_at: None,
                last_used_at: None,
            };
            change(&mut row);
            store
                .create_api_key(&row, &quiet(&format!("{org}{name}")))
                .expect("an API key");
            minted.token.expose().to_owned()
        };
        Self {
            acme: key("acme", "live", &|_| {}),
            globex: key("globex", "live", &|_| {}),
            revoked: key("acme", "revoked", &|row| row.revoked_at = Some(NOW)),
            expired: key("acme", "expired", &|row| row.expires_at = Some(NOW)),
            router: router(admin),
            store,
            ledger,
            traces,
            clock,
            news,
            _folder: folder,
        }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Got {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Got {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    /// A call with a bearer token and further headers.
    pub(super) async fn call_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("a request")).await
    }

    /// A call of acme's.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Got {
        self.call_with(&self.acme, method, path, &[], body).await
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Got {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Got {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// Kinds of the change events that were announced since the last time somebody asked.
    pub(super) fn announced(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.news.0.lock())
            .iter()
            .map(|event| event.kind.as_str())
            .collect()
    }

    /// Everything that the audit log holds of acme, newest first.
    pub(super) fn audit(&self) -> Vec<AuditRow> {
        self.store
            .audit(&organization("acme"), 200, None)
            .expect("the audit log")
            .rows
    }
}

pub(super) fn organization(name: &str) -> OrganizationId {
    OrganizationId::parse(&format!("org_{name}")).expect("an id")
}

pub(super) fn project(org: &str, name: &str) -> ProjectId {
    ProjectId::parse(&format!("proj_{org}-{name}")).expect("an id")
}

fn tenant(org: &str) -> Tenant {
    let team = |name: &str, hidden| Team {
        id: TeamId::parse(&format!("team_{org}-{name}")).expect("an id"),
        organization_id: organization(org),
        name: name.to_owned(),
        slug: name.to_owned(),
        hidden,
        created_at: NOW,
    };
    let (default_team, hidden_team) = (team("default", false), team("hidden", true));
    let in_team = |team: &Team, name: &str, kind| Project {
        id: project(org, name),
        team_id: team.id.clone(),
        organization_id: organization(org),
        name: name.to_owned(),
        slug: name.to_owned(),
        kind,
        archived_at: None,
        created_at: NOW,
    };
    Tenant {
        organization: Organization {
            id: organization(org),
            name: org.to_owned(),
            slug: org.to_owned(),
            created_at: NOW,
            updated_at: NOW,
        },
        default_project: in_team(&default_team, "default", ProjectKind::Application),
        governance_project: in_team(&hidden_team, "governance", ProjectKind::InternalGovernance),
        default_team,
        hidden_team,
    }
}

/// A change that nobody is told of.
pub(super) fn quiet(name: &str) -> Change {
    Change {
        event: None,
        audit: AuditRow {
            id: format!("audit_setup-{name}"),
            created_at: NOW,
            user_id: None,
            organization_id: None,
            project_id: None,
            action: "setup".into(),
            target_kind: None,
            target_id: None,
            before: None,
            after: None,
            args: None,
            metadata: None,
            error: None,
            ip_address: None,
            user_agent: None,
        },
    }
}
