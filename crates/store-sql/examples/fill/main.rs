//! Fills the configuration of a set-up data folder with very many keys, budgets and providers, through the
//! ports, for `cargo xtask bench --scenario scale`.
//!
//! Reads a [`Plan`] from standard input and writes a [`Filled`] to standard output, both JSON. The gateway
//! must not run meanwhile. What a key reaches does not depend on how many there are: projects and teams
//! grow with the providers. Must never be part of the product. Start at [`main`].

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;

use data_encoding::BASE64URL_NOPAD;
use lw_core::{
    ApiKeyId, BudgetId, Clock as _, Entropy, ModelProviderId, OrganizationId, ProjectId,
    RoleBindingId, RoutingPolicyId, Secret, SystemClock, SystemEntropy, TeamId, UnixMicros, UserId,
    VirtualKeyId,
};
use lw_crypto::{Pepper, Place, Sealer, SealingKey, api_key, virtual_key};
use lw_store::config::{Change, ConfigStore as _, Tenancy as _, Write};
use lw_store::rows::{
    ApiKey, BoundRole, KeyPurpose, KeyStatus, MemberRole, ModelProvider, PermissionMode,
    PiiRedactionLevel, Principal, Project, ProjectKind, RateLimit, RoleBinding, RoutingMode,
    RoutingPolicy, Scope, Strategy, Team, User, VirtualKey,
};
use lw_store_sql::Tuning;
use lw_store_sql::config::SqliteConfig;
use lw_store_sql::ledger::SqliteLedger;
use serde::{Deserialize, Serialize};
use serde_json::json;

mod budgets;

/// Rows that one transaction writes.
const AT_ONCE: usize = 10_000;
/// Keys whose secrets are told, at most.
const TOLD: usize = 25_000;
/// Providers that every key reaches.
const SHARED_PROVIDERS: usize = 10;
/// Rows were created within this time before now: a year.
const SPAN_US: i64 = 365 * 24 * 60 * 60 * 1_000_000;
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// What to fill, and with what.
#[derive(Deserialize)]
struct Plan {
    /// The file of an installation that has one organization and nothing else.
    config_db: PathBuf,
    /// The ledger's file of the same.
    ledger_db: PathBuf,
    /// Virtual keys.
    keys: usize,
    /// Model providers.
    providers: usize,
    /// `CREDENTIALS_SECRET` of the gateway.
    credentials_secret: String,
    /// `LW_VIRTUAL_KEY_PEPPER` of the gateway.
    key_pepper: String,
    /// Where the providers are.
    base_url: String,
}

/// What is needed to ask for what was filled in.
#[derive(Serialize)]
struct Filled {
    /// Active keys, evenly over all of them, in no order.
    keys: Vec<ToldKey>,
    /// Providers likewise.
    providers: Vec<String>,
    /// Budgets likewise.
    budgets: Vec<String>,
    /// How many budgets there are.
    budget_count: usize,
    /// A cursor in the middle of the list of keys.
    middle_key: String,
    /// A cursor in the middle of the list of providers.
    middle_provider: String,
    /// A project that has keys.
    project: String,
    /// An API key that is bound to one team.
    team_api_key: String,
}

/// A key with its secret.
#[derive(Serialize)]
struct ToldKey {
    id: String,
    secret: String,
    external_id: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let plan: Plan = serde_json::from_reader(io::stdin())?;
    let tuning = Tuning {
        cache_kib: 1024 * 1024,
        durable: false,
        ..Tuning::default()
    };
    let store = SqliteConfig::open(&plan.config_db, tuning)?;
    let ledger = SqliteLedger::open(&plan.ledger_db, tuning)?;
    let filled = Filler::new(&plan, store, ledger)?.fill(&plan)?;
    serde_json::to_writer(io::stdout().lock(), &filled)?;
    io::stdout().flush()?;
    Ok(())
}

/// The stores, and what rows are made with.
struct Filler {
    store: SqliteConfig,
    ledger: SqliteLedger,
    organization: OrganizationId,
    governance: ProjectId,
    now: UnixMicros,
    entropy: SystemEntropy,
    sealer: Sealer,
    key_pepper: Pepper,
    api_key_pepper: Pepper,
}

/// Where keys and providers are.
struct Places {
    teams: Vec<TeamId>,
    projects: Vec<ProjectId>,
    users: Vec<UserId>,
    policies: Vec<RoutingPolicyId>,
}

impl Filler {
    fn new(plan: &Plan, store: SqliteConfig, ledger: SqliteLedger) -> Result<Self, Box<dyn Error>> {
        let organization = store.organizations()?.pop().ok_or("no organization")?.id;
        let governance = store
            .governance_project(&organization)?
            .ok_or("no governance project")?;
        let sealing_key = SealingKey::parse(&Secret::new(plan.credentials_secret.as_str()))?;
        Ok(Self {
            store,
            ledger,
            organization,
            governance: governance.id,
            now: SystemClock.now(),
            entropy: SystemEntropy,
            sealer: Sealer::new(&sealing_key, &[]),
            key_pepper: Pepper::new(&Secret::new(plan.key_pepper.as_str())),
            // As the gateway derives it.
            api_key_pepper: Pepper::new(&sealing_key.derive("API_KEY_PEPPER")),
        })
    }

    fn fill(&self, plan: &Plan) -> Result<Filled, Box<dyn Error>> {
        let (teams, projects) = self.tenants(plan)?;
        let users = self.users((plan.keys / 1_000).max(10))?;
        let (providers, middle_provider) = self.providers(plan, &teams, &projects)?;
        let policies = self.policies((plan.providers / 100).max(1), &teams, &providers)?;
        let places = Places {
            teams,
            projects,
            users,
            policies,
        };
        let mut budgets = self.budgets(&places)?;
        let (keys, middle_key) = self.keys(plan.keys, &places, &mut budgets)?;
        Ok(Filled {
            keys,
            providers: evenly(&providers, 1_000).map(ToString::to_string).collect(),
            budgets: evenly(&budgets, 1_000).map(ToString::to_string).collect(),
            budget_count: budgets.len(),
            middle_key,
            middle_provider,
            project: nth(&places.projects, 0)?.to_string(),
            team_api_key: self.team_api_key(nth(&places.teams, 0)?)?,
        })
    }

    /// When the row at `place` of `of` was created.
    fn created(&self, place: usize, of: usize) -> UnixMicros {
        let step = SPAN_US / i64::try_from(of).unwrap_or(i64::MAX).max(1);
        let place = i64::try_from(place).unwrap_or(0);
        self.now.plus_micros(step * place - SPAN_US)
    }

    fn commit(&self, writes: &[Write<'_>]) -> Result<(), Box<dyn Error>> {
        self.store.commit(writes, &Change::default())?;
        Ok(())
    }

    /// A project for ten providers, four projects to a team.
    fn tenants(&self, plan: &Plan) -> Result<(Vec<TeamId>, Vec<ProjectId>), Box<dyn Error>> {
        let projects = (plan.providers / 10).max(4);
        let at = self.created(0, 1);
        let teams: Vec<Team> = (0..projects / 4)
            .map(|place| Team {
                id: TeamId::mint(at, &self.entropy),
                organization_id: self.organization.clone(),
                name: format!("Team {place}"),
                slug: format!("team-{place}"),
                hidden: false,
                personal_owner: None,
                archived_at: None,
                created_at: at,
                updated_at: at,
            })
            .collect();
        let projects = (0..projects)
            .map(|place| {
                Ok(Project {
                    id: ProjectId::mint(at, &self.entropy),
                    team_id: nth(&teams, place)?.id.clone(),
                    organization_id: self.organization.clone(),
                    name: format!("Project {place}"),
                    slug: format!("project-{place}"),
                    kind: ProjectKind::Application,
                    language: "other".to_owned(),
                    framework: "other".to_owned(),
                    pii_redaction_level: PiiRedactionLevel::Essential,
                    key: None,
                    archived_at: None,
                    created_at: at,
                    updated_at: at,
                })
            })
            .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        let writes = teams.iter().map(Write::InsertTeam);
        let writes: Vec<_> = writes
            .chain(projects.iter().map(Write::InsertProject))
            .collect();
        self.commit(&writes)?;
        Ok((
            teams.into_iter().map(|row| row.id).collect(),
            projects.into_iter().map(|row| row.id).collect(),
        ))
    }

    fn users(&self, count: usize) -> Result<Vec<UserId>, Box<dyn Error>> {
        let at = self.created(0, 1);
        let users: Vec<User> = (0..count)
            .map(|place| User {
                id: UserId::mint(at, &self.entropy),
                email: Some(format!("user-{place}@example.com")),
                name: format!("User {place}"),
                password_hash: None,
                created_at: at,
            })
            .collect();
        let writes: Vec<_> = users
            .iter()
            .flat_map(|user| {
                let member = Write::PutMember {
                    organization: &self.organization,
                    user: &user.id,
                    role: MemberRole::Member,
                    disabled_at: None,
                    now: at,
                };
                [Write::InsertUser(user), member]
            })
            .collect();
        self.commit(&writes)?;
        Ok(users.into_iter().map(|user| user.id).collect())
    }

    /// Ten for everybody, then one for a team after four for projects. Returns their ids and a cursor in
    /// the middle.
    fn providers(
        &self,
        plan: &Plan,
        teams: &[TeamId],
        projects: &[ProjectId],
    ) -> Result<(Vec<ModelProviderId>, String), Box<dyn Error>> {
        let (mut ids, mut middle) = (Vec::new(), String::new());
        for start in (0..plan.providers).step_by(AT_ONCE) {
            let mut rows = Vec::new();
            for place in start..(start + AT_ONCE).min(plan.providers) {
                let scope = if place < SHARED_PROVIDERS {
                    Scope::Organization(self.organization.clone())
                } else if place.is_multiple_of(5) {
                    Scope::Team(nth(teams, place / 5)?.clone())
                } else {
                    Scope::Project(nth(projects, place)?.clone())
                };
                let row = self.provider(plan, place, scope)?;
                if place == plan.providers / 2 {
                    middle = cursor(row.created_at, row.id.as_str());
                }
                ids.push(row.id.clone());
                rows.push(row);
            }
            let writes: Vec<_> = rows.iter().map(Write::InsertModelProvider).collect();
            self.commit(&writes)?;
        }
        Ok((ids, middle))
    }

    fn provider(
        &self,
        plan: &Plan,
        place: usize,
        scope: Scope,
    ) -> Result<ModelProvider, Box<dyn Error>> {
        let created_at = self.created(place, plan.providers);
        let id = ModelProviderId::mint(created_at, &self.entropy);
        // The first one answers; one in five of the others is of another kind.
        let kind = if place % 5 == 4 {
            "anthropic"
        } else {
            "openai"
        };
        let name = kind.to_uppercase();
        let bag = json!({
            format!("{name}_API_KEY"): format!("sk-mock-{place:026}"),
            format!("{name}_BASE_URL"): plan.base_url,
        });
        let at = Place {
            table: "model_providers",
            column: "sealed_keys",
            row_id: id.as_str(),
        };
        let sealed_keys = self
            .sealer
            .seal(bag.to_string().as_bytes(), at, &self.entropy)?;
        Ok(ModelProvider {
            id,
            organization_id: self.organization.clone(),
            name: format!("Provider {place}"),
            provider: kind.to_owned(),
            routing_handle: (place % 4 == 1).then(|| format!("handle-{place}")),
            enabled: true,
            scopes: vec![scope],
            sealed_keys,
            sealed_extra_headers: None,
            custom_models: None,
            custom_embeddings_models: None,
            deployment_mapping: None,
            rate_limit: RateLimit::default(),
            fallback_priority_global: None,
            provider_config: None,
            disabled_at: None,
            revision: 1,
            created_at,
            updated_at: created_at,
        })
    }

    fn policies(
        &self,
        count: usize,
        teams: &[TeamId],
        providers: &[ModelProviderId],
    ) -> Result<Vec<RoutingPolicyId>, Box<dyn Error>> {
        let at = self.created(0, 1);
        let rows = (0..count)
            .map(|place| {
                Ok(RoutingPolicy {
                    id: RoutingPolicyId::mint(at, &self.entropy),
                    organization_id: self.organization.clone(),
                    name: format!("Policy {place}"),
                    description: None,
                    strategy: Strategy::Ordered,
                    model_provider_ids: providers.iter().take(3).cloned().collect(),
                    model_aliases: BTreeMap::new(),
                    default_model: None,
                    policy_rules: json!({}),
                    fallback: None,
                    is_default: false,
                    scopes: vec![Scope::Team(nth(teams, place)?.clone())],
                    revision: 1,
                    created_at: at,
                    updated_at: at,
                })
            })
            .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        let writes: Vec<_> = rows.iter().map(Write::InsertRoutingPolicy).collect();
        self.commit(&writes)?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Returns those that are told, and a cursor in the middle. Adds the ids of their budgets.
    fn keys(
        &self,
        count: usize,
        places: &Places,
        made: &mut Vec<BudgetId>,
    ) -> Result<(Vec<ToldKey>, String), Box<dyn Error>> {
        // Odd, so that it does not keep step with anything that every twentieth key is.
        let every = count.div_ceil(TOLD) | 1;
        let (mut told, mut middle) = (Vec::new(), String::new());
        for start in (0..count).step_by(AT_ONCE) {
            let (mut keys, mut budgets) = (Vec::new(), Vec::new());
            for place in start..(start + AT_ONCE).min(count) {
                let (key, secret) = self.key(place, count, places)?;
                if place == count / 2 {
                    middle = cursor(key.created_at, key.id.as_str());
                }
                budgets.push(self.own_budget(&key));
                if place.is_multiple_of(every) && key.status == KeyStatus::Active {
                    told.push(ToldKey {
                        id: key.id.to_string(),
                        secret: secret.expose().to_owned(),
                        external_id: key.external_id.clone().unwrap_or_default(),
                    });
                }
                keys.push(key);
            }
            self.open(&budgets)?;
            let writes = keys.iter().map(Write::InsertVirtualKey);
            let writes: Vec<_> = writes
                .chain(budgets.iter().map(Write::InsertBudget))
                .collect();
            self.commit(&writes)?;
            made.extend(budgets.into_iter().map(|row| row.id));
        }
        // Ids are random: sorting by them leaves no trace of the order of creation.
        told.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((told, middle))
    }

    /// The key at `place`: of a project (90 %), a team (8 %) or the organization (2 %); one in twenty is
    /// somebody's own, follows a policy, or was rotated, and one in thirty-three is revoked or disabled.
    fn key(
        &self,
        place: usize,
        count: usize,
        places: &Places,
    ) -> Result<(VirtualKey, Secret), Box<dyn Error>> {
        let created_at = self.created(place, count);
        let secret = virtual_key::mint(created_at, &self.entropy);
        // What else a key is follows from its place alone; its scope must not keep step with that.
        let turn = (place / 100 + place * 37) % 100;
        let (scope, trace_project_id) = match turn {
            0..=1 => (
                Scope::Organization(self.organization.clone()),
                self.governance.clone(),
            ),
            2..=9 => (
                Scope::Team(nth(&places.teams, place)?.clone()),
                self.governance.clone(),
            ),
            _ => {
                let project = nth(&places.projects, place)?;
                (Scope::Project(project.clone()), project.clone())
            }
        };
        let policy = (place % 20 == 3)
            .then(|| nth(&places.policies, place))
            .transpose()?;
        let principal = (place % 20 == 11)
            .then(|| nth(&places.users, place))
            .transpose()?;
        let status = match place % 100 {
            98 => KeyStatus::Disabled,
            96 | 97 => KeyStatus::Revoked,
            _ => KeyStatus::Active,
        };
        let rotated = place % 20 == 17;
        let ended = (status != KeyStatus::Active).then_some(created_at.plus_micros(DAY_US));
        let key = VirtualKey {
            id: VirtualKeyId::mint_random(&self.entropy),
            organization_id: self.organization.clone(),
            name: format!("Key {place}"),
            description: place
                .is_multiple_of(10)
                .then(|| "One of very many.".to_owned()),
            status,
            purpose: KeyPurpose::User,
            env: "live".to_owned(),
            external_id: Some(format!("customer-{place}")),
            metadata: BTreeMap::from([("tier".to_owned(), (place % 3).to_string())]),
            scopes: vec![scope],
            trace_project_id,
            principal_user_id: principal.cloned(),
            routing_mode: match policy {
                Some(_) => RoutingMode::Policy,
                None => RoutingMode::FallbackAll,
            },
            routing_policy_id: policy.cloned(),
            expires_at: None,
            config: json!({"modelAliases": {"fast": "gpt-4o-mini"}}).to_string(),
            revision: 1,
            hashed_secret: self.key_pepper.hash(secret.expose()),
            display_prefix: virtual_key::display_prefix(secret.expose()).to_owned(),
            previous_hashed_secret: rotated.then(|| self.random_hash()),
            previous_secret_valid_until: rotated.then(|| self.now.plus_micros(DAY_US)),
            disabled_reason: None,
            disabled_at: ended.filter(|_| status == KeyStatus::Disabled),
            revoked_at: ended.filter(|_| status == KeyStatus::Revoked),
            revoked_by: None,
            last_used_at: None,
            created_by: "instance-admin".to_owned(),
            created_at,
            updated_at: created_at,
        };
        Ok((key, secret))
    }

    fn random_hash(&self) -> String {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes);
        data_encoding::HEXLOWER.encode(&bytes)
    }

    fn team_api_key(&self, team: &TeamId) -> Result<String, Box<dyn Error>> {
        let minted = api_key::mint(&self.entropy);
        let key = ApiKey {
            id: ApiKeyId::mint(self.now, &self.entropy),
            organization_id: self.organization.clone(),
            name: "Key of a team".to_owned(),
            description: None,
            lookup_id: minted.lookup_id,
            hashed_secret: self.api_key_pepper.hash(minted.secret.expose()),
            user_id: None,
            created_by_user_id: None,
            permission_mode: PermissionMode::All,
            created_at: self.now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        let binding = RoleBinding {
            id: RoleBindingId::mint(self.now, &self.entropy),
            organization_id: self.organization.clone(),
            principal: Principal::ApiKey(key.id.clone()),
            role: BoundRole::Admin,
            custom_role_id: None,
            scope: Scope::Team(team.clone()),
            created_at: self.now,
        };
        self.commit(&[Write::InsertApiKey(&key), Write::InsertBinding(&binding)])?;
        Ok(minted.token.expose().to_owned())
    }
}

/// The element at `place`, counted round and round.
fn nth<T>(all: &[T], place: usize) -> Result<&T, Box<dyn Error>> {
    let found = all.get(place % all.len().max(1));
    found.ok_or_else(|| "nothing to choose from".into())
}

/// At most `most` elements, evenly over all of them.
fn evenly<T>(all: &[T], most: usize) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(most).max(1))
}

/// A cursor as the keyset lists of the management API have it.
fn cursor(created_at: UnixMicros, id: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{}\0{id}", created_at.0).as_bytes())
}
