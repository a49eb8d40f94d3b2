//! The whole router on real SQLite: two organizations, a clock that stands still, chance that repeats.

mod api_keys;
mod audit;
mod budgets;
mod cache_rules;
mod contract;
mod errors;
mod explain;
mod groups;
mod guardrails;
mod instance;
mod keys;
mod keys_access;
mod keys_budget;
mod keys_routing;
mod lifecycle;
mod organization;
mod people;
mod policies;
mod prices;
mod projects;
mod providers;
mod providers_access;
mod providers_kinds;
mod providers_official;
mod revised;
mod roles;
mod seen_pages;
mod teams;
mod traces;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use lw_core::{
    ApiKeyId, Clock, Entropy, ManualClock, OrganizationId, ProjectId, RoleBindingId, RoleId,
    Secret, SystemEntropy, TeamId, UnixMicros, UserId,
};
use lw_crypto::{Pepper, Sealer, SealingKey};
use lw_store::config::{
    AuditFilter, AuditRow, Change, ChangeEvent, ConfigStore, Freshness, Tenant, Write,
};
use lw_store::rows::{
    ApiKey, BoundRole, CustomRole, MemberRole, ModelProvider, Organization, OrganizationSettings,
    PermissionMode, PiiRedactionLevel, Principal, Project, ProjectKey, ProjectKind, RoleBinding,
    RoleKind, Scope, Team, TeamMember, User,
};
use lw_store_sql::Tuning;
use lw_store_sql::config::SqliteConfig;
use lw_store_sql::ledger::SqliteLedger;
use lw_store_sql::trace::SqliteTraces;
use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{Admin, AdminSettings, Probe, Prober, router};

/// The instance administrator key of the tests.
pub(super) const INSTANCE_KEY: &str = "instance-key-of-the-tests";

/// Where the clock stands: 2026-11-23T14:00:00Z.
pub(super) const NOW: UnixMicros = UnixMicros(1_795_442_400_000_000);

/// A control plane with two organizations, `acme` and `globex`.
pub(super) struct Plane {
    pub(super) router: Router,
    pub(super) store: Arc<dyn ConfigStore>,
    pub(super) ledger: Arc<SqliteLedger>,
    pub(super) traces: Arc<SqliteTraces>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) news: Arc<News>,
    /// What tests of providers answer.
    pub(super) probes: Arc<Mutex<Probes>>,
    pepper: Pepper,
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
        let store: Arc<dyn ConfigStore> =
            Arc::new(SqliteConfig::open(&open("config.db"), tuning).expect("a store"));
        let ledger = Arc::new(SqliteLedger::open(&open("ledger.db"), tuning).expect("a ledger"));
        let traces = Arc::new(SqliteTraces::open(&open("traces.db"), tuning).expect("traces"));
        let clock = Arc::new(ManualClock::at(NOW));
        let news = Arc::new(News::default());
        let probes = Arc::new(Mutex::new(Probes::default()));
        let pepper = Pepper::new(&Secret::new("test-pepper-0123456789abcdef0123"));
        let (sealing, _) = SealingKey::generate(&SystemEntropy);
        let mut admin = Admin {
            store: Arc::clone(&store),
            ledger: Arc::clone(&ledger) as _,
            traces: Arc::clone(&traces) as _,
            freshness: Arc::clone(&news) as _,
            sealer: Arc::new(Sealer::new(&sealing, &[])),
            key_pepper: pepper.clone(),
            credential_pepper: pepper.clone(),
            previous_credential_peppers: vec![Pepper::new(&Secret::new("the-pepper-before"))],
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
            prober: Arc::new(Scripted(Arc::clone(&probes))),
            explainer: Arc::new(explain::Silent),
            instance_key: Some(Secret::new(INSTANCE_KEY)),
            settings: AdminSettings {
                version: "0.1.0".into(),
                ui_base_url: "http://127.0.0.1:5560".into(),
                gateway_public_url: "http://127.0.0.1:5563".into(),
                trace_project_strict: false,
                rate_limit_rpm: 0,
                enterprise_features: true,
                team_budget_principals: true,
            },
            ready: Arc::new(|| true),
        };
        change(&mut admin);
        for name in ["acme", "globex"] {
            let tenant = tenant(name, &pepper);
            store
                .commit(&[Write::InsertOrganization(&tenant)], &quiet(name))
                .expect("an organization");
        }
        let mut plane = Self {
            acme: String::new(),
            globex: String::new(),
            revoked: String::new(),
            expired: String::new(),
            router: router(admin),
            store,
            ledger,
            traces,
            clock,
            news,
            probes,
            pepper,
            _folder: folder,
        };
        let everything = [(BoundRole::Admin, None, "organization", "acme")];
        plane.acme = plane.service_key("acme", "live", &everything, |_| {});
        plane.revoked = plane.service_key("acme", "revoked", &everything, |row| {
            row.revoked_at = Some(NOW);
        });
        plane.expired = plane.service_key("acme", "expired", &everything, |row| {
            row.expires_at = Some(NOW);
        });
        let everything = [(BoundRole::Admin, None, "organization", "globex")];
        plane.globex = plane.service_key("globex", "live", &everything, |_| {});
        plane
    }

    /// A service key with bindings `(role, custom permissions, kind of scope, its name)`; gives the token.
    pub(super) fn service_key(
        &self,
        org: &str,
        name: &str,
        bindings: &[Granted<'_>],
        change: impl Fn(&mut ApiKey),
    ) -> String {
        let minted = lw_crypto::api_key::mint(&SystemEntropy);
        let mut row = ApiKey {
            id: ApiKeyId::parse(&format!("ak_{org}-{name}")).expect("an id"),
            organization_id: organization(org),
            name: name.to_owned(),
            description: None,
            lookup_id: minted.lookup_id,
            hashed_secret: self.pepper.hash(minted.secret.expose()),
            user_id: None,
            created_by_user_id: None,
            permission_mode: PermissionMode::All,
            created_at: NOW,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        change(&mut row);
        let quiet = quiet(&format!("key-{org}-{name}"));
        self.store
            .commit(&[Write::InsertApiKey(&row)], &quiet)
            .expect("an API key");
        self.bind(org, name, &Principal::ApiKey(row.id), bindings);
        minted.token.expose().to_owned()
    }

    /// Binds a principal to roles.
    pub(super) fn bind(
        &self,
        org: &str,
        name: &str,
        principal: &Principal,
        bindings: &[Granted<'_>],
    ) {
        for (place, (role, permissions, kind, scope)) in bindings.iter().enumerate() {
            let custom = permissions.map(|permissions| CustomRole {
                id: RoleId::parse(&format!("role_{org}-{name}-{place}")).expect("an id"),
                organization_id: organization(org),
                name: format!("{name} {place}"),
                description: None,
                permissions: permissions.iter().map(ToString::to_string).collect(),
                kind: RoleKind::Custom,
                created_at: NOW,
                updated_at: NOW,
            });
            let binding = RoleBinding {
                id: RoleBindingId::parse(&format!("rb_{org}-{name}-{place}")).expect("an id"),
                organization_id: organization(org),
                principal: principal.clone(),
                role: *role,
                custom_role_id: custom.as_ref().map(|role| role.id.clone()),
                scope: scope_of(org, kind, scope),
                created_at: NOW,
            };
            let mut writes: Vec<Write<'_>> = custom.iter().map(Write::InsertRole).collect();
            writes.push(Write::InsertBinding(&binding));
            let quiet = quiet(&format!("bind-{org}-{name}-{place}"));
            self.store.commit(&writes, &quiet).expect("a binding");
        }
    }

    /// A person who is a member of an organization.
    pub(super) fn member(&self, org: &str, name: &str, role: MemberRole) -> UserId {
        let user = User {
            id: UserId::parse(&format!("user_{name}")).expect("an id"),
            email: Some(format!("{name}@example.com")),
            name: name.to_owned(),
            password_hash: None,
            created_at: NOW,
        };
        let organization = organization(org);
        let writes = [
            Write::InsertUser(&user),
            Write::PutMember {
                organization: &organization,
                user: &user.id,
                role,
                disabled_at: None,
                now: NOW,
            },
        ];
        let quiet = quiet(&format!("member-{org}-{name}"));
        self.store.commit(&writes, &quiet).expect("a member");
        user.id
    }

    /// Puts a person into a team.
    pub(super) fn in_team(&self, org: &str, team_name: &str, user: &UserId, role: BoundRole) {
        let row = TeamMember {
            team_id: team(org, team_name),
            user_id: user.clone(),
            role,
            custom_role_id: None,
        };
        let organization = organization(org);
        let write = Write::PutTeamMember {
            organization: &organization,
            row: &row,
        };
        let quiet = quiet(&format!("team-{org}-{team_name}-{user}"));
        self.store.commit(&[write], &quiet).expect("a place");
    }

    /// A further team of an organization, with one project of the same name.
    pub(super) fn further_team(&self, org: &str, name: &str) {
        let team = team_row(org, name, false);
        let project = project_row(org, &team, name, ProjectKind::Application, &self.pepper);
        let writes = [Write::InsertTeam(&team), Write::InsertProject(&project)];
        let quiet = quiet(&format!("team-{org}-{name}"));
        self.store.commit(&writes, &quiet).expect("a team");
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Got {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        contract::check(&method, &path, parts.status, &parts.headers, &text);
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
            .audit(&organization("acme"), &AuditFilter::default(), 200, None)
            .expect("the audit log")
            .rows
    }
}

/// A binding of a test: role, custom permissions, kind of scope, its name inside of the organization.
pub(super) type Granted<'a> = (BoundRole, Option<&'a [&'a str]>, &'a str, &'a str);

/// Answers tests of providers from a script, and keeps which rows were asked about.
pub(super) struct Scripted(Arc<Mutex<Probes>>);

#[derive(Debug, Default)]
pub(super) struct Probes {
    pub(super) asked: Vec<String>,
    pub(super) error: Option<String>,
}

impl Prober for Scripted {
    fn probe(&self, row: &ModelProvider) -> Probe {
        let mut probes = self.0.lock();
        probes.asked.push(row.id.to_string());
        Probe {
            latency_ms: 7,
            error: probes.error.clone(),
        }
    }
}

pub(super) fn organization(name: &str) -> OrganizationId {
    OrganizationId::parse(&format!("org_{name}")).expect("an id")
}

pub(super) fn project(org: &str, name: &str) -> ProjectId {
    ProjectId::parse(&format!("proj_{org}-{name}")).expect("an id")
}

pub(super) fn team(org: &str, name: &str) -> TeamId {
    TeamId::parse(&format!("team_{org}-{name}")).expect("an id")
}

pub(super) fn scope_of(org: &str, kind: &str, name: &str) -> Scope {
    match kind {
        "organization" => Scope::Organization(organization(name)),
        "team" => Scope::Team(team(org, name)),
        "project" => Scope::Project(project(org, name)),
        other => panic!("no scope is called {other}"),
    }
}

/// The legacy key of a project of the tests.
pub(super) fn project_token(org: &str, name: &str) -> String {
    let mut text = format!("{org}{name}").replace(|c: char| !c.is_ascii_alphanumeric(), "x");
    while text.len() < 48 {
        text.push('0');
    }
    format!("sk-lw-{text}")
}

fn team_row(org: &str, name: &str, hidden: bool) -> Team {
    Team {
        id: team(org, name),
        organization_id: organization(org),
        name: name.to_owned(),
        slug: name.to_owned(),
        hidden,
        personal_owner: None,
        archived_at: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn project_row(org: &str, team: &Team, name: &str, kind: ProjectKind, pepper: &Pepper) -> Project {
    Project {
        id: project(org, name),
        team_id: team.id.clone(),
        organization_id: organization(org),
        name: name.to_owned(),
        slug: name.to_owned(),
        kind,
        language: "other".into(),
        framework: "other".into(),
        pii_redaction_level: PiiRedactionLevel::Essential,
        key: Some(ProjectKey {
            hash: pepper.hash(&project_token(org, name)),
            sealed: "sealed by nobody".into(),
        }),
        archived_at: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn tenant(org: &str, pepper: &Pepper) -> Tenant {
    let (default_team, hidden_team) = (
        team_row(org, "default", false),
        team_row(org, "hidden", true),
    );
    let project = |team: &Team, name: &str, kind| project_row(org, team, name, kind, pepper);
    Tenant {
        organization: Organization {
            id: organization(org),
            name: org.to_owned(),
            slug: org.to_owned(),
            settings: OrganizationSettings::default(),
            created_at: NOW,
            updated_at: NOW,
        },
        default_project: project(&default_team, "default", ProjectKind::Application),
        governance_project: project(&hidden_team, "governance", ProjectKind::InternalGovernance),
        default_team,
        hidden_team,
    }
}

/// A change that nobody is told of.
pub(super) fn quiet(name: &str) -> Change {
    Change {
        events: Vec::new(),
        receipt: None,
        audit: vec![AuditRow {
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
        }],
    }
}
