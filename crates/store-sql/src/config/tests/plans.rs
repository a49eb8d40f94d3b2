//! What reads and writes cost when there is much of everything else.
//!
//! Each call is made on a small and on a ten times larger file whose answers are the same: a few old rows
//! among many newer ones. The engine counts its own steps, so no clock is asked. A call that grows with
//! the rows that it does not return walks along no index, and would crawl with a million keys.

use rusqlite::Connection;

use super::*;
use crate::Tuning;
use crate::config::SqliteConfig;
use crate::sqlite::work;

/// Rows that are in the way: keys with own budgets, providers, API keys with bindings, audit rows; people who
/// share a team with the person asked for, teams and groups with budgets of theirs, guardrails beside the
/// attached one, cache rules that have ended.
const FILLER: &str = "
CREATE TEMP TABLE n AS WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ROWS)
    SELECT i FROM c;
INSERT INTO virtual_keys (id, organization_id, name, status, env, external_id, metadata,
    trace_project_id, principal_user_id, routing_mode, routing_policy_id, config, revision,
    hashed_secret, display_prefix, previous_hashed_secret, created_by, created_at, updated_at)
SELECT 'vk_f' || i, 'org_a', 'f', 'ACTIVE', 'live', 'f' || i, '{}', 'proj_a-governance', 'user_admin',
    'policy', 'rp_many', '{}', 1, 'h' || i, 'vk-lw', 'o' || i, 'x', 1000000000 + i, 0 FROM n;
INSERT INTO virtual_key_scopes (organization_id, virtual_key_id, place, created_at)
SELECT 'org_a', 'vk_f' || i, 0, 1000000000 + i FROM n;
INSERT INTO virtual_key_guardrails SELECT 'org_a', 'vk_f' || i, 'guard_many' FROM n;
INSERT INTO budgets (id, organization_id, target_kind, target_id, external_id,
    managed_by_virtual_key_id, created_by, doc, revision, created_at, updated_at)
SELECT 'bgt_f' || i, 'org_a', 'virtual_key', 'vk_f' || i, 'f' || i, 'vk_f' || i, 'x', DOC, 1,
    1000000000 + i, 0 FROM n;
INSERT INTO model_providers (id, organization_id, name, provider, routing_handle, enabled, sealed_keys,
    revision, created_at, updated_at)
SELECT 'mp_f' || i, 'org_a', 'f', 'openai', 'f' || i, 1, 's', 1, 1000000000 + i, 0 FROM n;
INSERT INTO model_provider_scopes (organization_id, model_provider_id, place, team_id, created_at)
SELECT 'org_a', 'mp_f' || i, 0, 'team_a-default', 1000000000 + i FROM n;
INSERT INTO api_keys (id, organization_id, name, lookup_id, hashed_secret, created_at)
SELECT 'ak_f' || i, 'org_a', 'f', 'f' || i, 'h', 1000000000 + i FROM n;
INSERT INTO role_bindings (id, organization_id, api_key_id, role, created_at)
SELECT 'rb_f' || i, 'org_a', 'ak_f' || i, 'ADMIN', 1000000000 + i FROM n;
INSERT INTO audit_log (id, created_at, organization_id, action, target_kind, target_id)
SELECT 'aud_f' || i, 10000000000 + i, 'org_a', 'x', 'virtual_key', 'vk_f' || i FROM n;
INSERT INTO idempotency_receipts
SELECT 'proj_f', 'f' || i, 'f', 201, 's', 0, 1000000000000 + i FROM n;
INSERT INTO users (id, name, created_at) SELECT 'user_f' || i, 'f', 0 FROM n;
INSERT INTO organization_users (organization_id, user_id, role) SELECT 'org_a', 'user_f' || i, 'MEMBER'
    FROM n;
INSERT INTO teams (id, organization_id, name, slug, hidden, created_at)
SELECT 'team_f' || i, 'org_a', 'f', 'f' || i, 0, 1000000000 + i FROM n;
INSERT INTO team_users (organization_id, team_id, user_id, role)
SELECT 'org_a', 'team_f' || i, 'user_f' || i, 'MEMBER' FROM n;
INSERT INTO team_users (organization_id, team_id, user_id, role)
SELECT 'org_a', 'team_a-crowd', 'user_f' || i, 'MEMBER' FROM n;
INSERT INTO user_groups (id, organization_id, slug, doc, revision, created_at)
SELECT 'grp_f' || i, 'org_a', 'f' || i, '{}', 1, 1000000000 + i FROM n;
INSERT INTO group_members SELECT 'org_a', 'grp_f' || i, 'user_f' || i FROM n;
INSERT INTO budgets (id, organization_id, target_kind, target_id, created_by, doc, revision, created_at,
    updated_at)
SELECT 'bgt_t' || i, 'org_a', 'team', 'team_f' || i, 'x', DOC, 1, 0, 0 FROM n
UNION ALL SELECT 'bgt_g' || i, 'org_a', 'group', 'grp_f' || i, 'x', DOC, 1, 0, 0 FROM n
UNION ALL SELECT 'bgt_p' || i, 'org_a', 'principal', 'user_f' || i, 'x', DOC, 1, 0, 0 FROM n;
INSERT INTO budgets (id, organization_id, target_kind, target_id, archived_at, created_by, doc, revision,
    created_at, updated_at)
SELECT 'bgt_o' || i, 'org_a', 'organization', 'org_a', 1, 'x', DOC, 1, 0, 0 FROM n;
INSERT INTO guardrails (id, organization_id, project_id, doc, revision, created_at)
SELECT 'guard_f' || i, 'org_a', 'proj_a-cart', '{}', 1, 1000000000 + i FROM n;
INSERT INTO cache_rules (id, organization_id, priority, archived_at, doc, revision, created_at)
SELECT 'rule_f' || i, 'org_a', 500, 1, '{}', 1, 1000000000 + i FROM n;
INSERT INTO bucket_boundaries SELECT 'bgt_f1', 'f' || i, 1 FROM n;
DROP TABLE n;
";

/// The rows that are asked for, older than everything in their way.
fn needles(store: &dyn Engine) {
    two_tenants(store);
    let a = org("a");
    let ada = joined(store, "a", "ada");
    let cart = project_row("a", "shop", "cart", ProjectKind::Application);
    let near = [project_scope("a-cart")];
    done(
        store,
        "a",
        &[
            Write::InsertTeam(&team_row("a", "shop", false)),
            Write::InsertTeam(&team_row("a", "empty", false)),
            Write::InsertTeam(&team_row("a", "crowd", false)),
            Write::InsertProject(&cart),
            Write::InsertRoutingPolicy(&policy("a", "many", &[whole("a")])),
            Write::InsertRoutingPolicy(&policy("a", "few", &near)),
            Write::InsertModelProvider(&ModelProvider {
                provider: String::from("anthropic"),
                ..provider("a", "near", &near)
            }),
            Write::InsertGroup(&group("a", "g")),
            Write::AddGroupMember {
                organization: &a,
                group: &grp("g"),
                user: &ada,
            },
            Write::PutTeamMember {
                organization: &a,
                row: &place("a-empty", "ada", BoundRole::Member),
            },
            Write::PutTeamMember {
                organization: &a,
                row: &place("a-crowd", "ada", BoundRole::Member),
            },
            Write::InsertGuardrail(&guardrail("a", "a-cart", "few")),
            Write::InsertCacheRule(&cache_rule("a", "rule", 1)),
            Write::InsertBudget(&budget("a", "crowd", BudgetTarget::Team(team("a-crowd")))),
            Write::InsertBudget(&budget("a", "g", BudgetTarget::Group(grp("g")))),
        ],
    );
    for number in 0..3 {
        let name = format!("n{number}");
        let row = VirtualKey {
            status: KeyStatus::Disabled,
            principal_user_id: Some(ada.clone()),
            routing_mode: RoutingMode::Policy,
            routing_policy_id: Some(rp("few")),
            previous_hashed_secret: Some(format!("before-{name}")),
            config: json!({ "guardrailAttachments": [{ "guardrailIds": ["guard_few"] }] })
                .to_string(),
            trace_project_id: cart.id.clone(),
            ..key("a", &name, &near)
        };
        let own = Budget {
            managed_by_virtual_key_id: Some(row.id.clone()),
            ..budget("a", &name, BudgetTarget::Project(cart.id.clone()))
        };
        let token = ApiKey {
            user_id: Some(ada.clone()),
            ..api_key("a", &name)
        };
        let may = binding(
            "a",
            &name,
            Principal::ApiKey(ak(&name)),
            BoundRole::Admin,
            near[0].clone(),
        );
        done(
            store,
            "a",
            &[
                Write::InsertVirtualKey(&row),
                Write::InsertBudget(&own),
                Write::InsertApiKey(&token),
                Write::InsertBinding(&may),
            ],
        );
    }
}

fn filled(rows: usize) -> (SqliteConfig, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.db");
    let tuning = Tuning {
        durable: false,
        ..Tuning::default()
    };
    let store = SqliteConfig::open(&path, tuning).expect("opens");
    needles(&store);
    let sample = budget("a", "f", BudgetTarget::VirtualKey(vk("f")));
    let sample = serde_json::to_string(&sample).expect("JSON");
    let filler = FILLER
        .replace("ROWS", &rows.to_string())
        .replace("DOC", &format!("'{sample}'"));
    let db = Connection::open(&path).expect("opens");
    db.execute_batch(&filler).expect("fills");
    (store, folder)
}

type Call = fn(&SqliteConfig);

/// Every call that must stay cheap.
const CALLS: &[(&str, Call)] = &[
    ("key by hash", |store| {
        for (hash, found) in [("hash-n1", true), ("before-n1", true), ("nobody", false)] {
            let key = store.key_by_hash(&[hash.to_owned()]).expect("reads");
            assert_eq!(key.is_some(), found);
        }
    }),
    ("what governs a key", |store| {
        let found = store.key_by_hash(&[String::from("hash-n1")]);
        let record = found.expect("reads").expect("a key");
        let person = record.principal.expect("a person");
        assert_eq!((person.teams.len(), person.groups.len()), (2, 1));
        // Those of the project, of its person's team and of the group.
        assert_eq!(record.budgets.len(), 5);
        assert_eq!((record.cache_rules.len(), record.guardrails.len()), (1, 1));
        let floor = KeySource::bucket_boundary(store, &bgt("f1"), "f7");
        assert_eq!(floor.expect("reads"), Some(UnixMicros(1)));
    }),
    ("joining and leaving", |store| {
        let (a, g, admin) = (org("a"), grp("g"), user("admin"));
        let row = &place("a-empty", "admin", BoundRole::Member);
        let (organization, user) = (&a, &admin);
        let (team, group) = (&row.team_id, &g);
        done(
            store,
            "a",
            &[
                Write::PutTeamMember { organization, row },
                Write::AddGroupMember {
                    organization,
                    group,
                    user,
                },
                Write::RemoveTeamMember {
                    organization,
                    team,
                    user,
                },
                Write::RemoveGroupMember {
                    organization,
                    group,
                    user,
                },
            ],
        );
    }),
    ("one key", |store| {
        let key = store.virtual_key(&org("a"), &vk("n1")).expect("reads");
        assert!(key.is_some());
    }),
    ("the first page of keys", |store| {
        assert_eq!(keys(store, &VirtualKeyFilter::default(), None), 20);
    }),
    ("a later page of keys", |store| {
        let after = Cursor {
            created_at: UnixMicros(1_000_000_200),
            id: String::from("vk_f200"),
        };
        let filter = VirtualKeyFilter::default();
        assert_eq!(keys(store, &filter, Some(&after)), 20);
    }),
    ("keys by external id", |store| {
        let filter = VirtualKeyFilter {
            external_id: text("f7"),
            ..VirtualKeyFilter::default()
        };
        assert_eq!(keys(store, &filter, None), 1);
    }),
    ("keys by status", |store| {
        let filter = VirtualKeyFilter {
            status: Some(KeyStatus::Disabled),
            ..VirtualKeyFilter::default()
        };
        assert_eq!(keys(store, &filter, None), 3);
    }),
    ("keys by policy", |store| {
        let filter = VirtualKeyFilter {
            routing_policy_id: Some(rp("few")),
            ..VirtualKeyFilter::default()
        };
        assert_eq!(keys(store, &filter, None), 3);
    }),
    ("keys by principal", |store| {
        let filter = VirtualKeyFilter {
            principal_user_id: Some(user("ada")),
            ..VirtualKeyFilter::default()
        };
        assert_eq!(keys(store, &filter, None), 3);
    }),
    ("keys by a scope of few", |store| {
        let filter = VirtualKeyFilter {
            scopes: Some(vec![project_scope("a-cart"), team_scope("a-empty")]),
            ..VirtualKeyFilter::default()
        };
        assert_eq!(keys(store, &filter, None), 3);
    }),
    ("keys by a scope of many", |store| {
        let filter = VirtualKeyFilter {
            scopes: Some(vec![whole("a"), project_scope("a-cart")]),
            ..VirtualKeyFilter::default()
        };
        assert_eq!(keys(store, &filter, None), 20);
    }),
    ("a key's uniqueness", |store| {
        let row = VirtualKey {
            external_id: text("new"),
            ..key("a", "new", &[whole("a")])
        };
        done(store, "a", &[Write::InsertVirtualKey(&row)]);
        let expected = 1;
        done(
            store,
            "a",
            &[Write::UpdateVirtualKey {
                row: &row,
                expected,
            }],
        );
        conflicts(tried(store, "a", Write::InsertVirtualKey(&row)), "id");
    }),
    ("touching and rehashing a key", |store| {
        store
            .touch_virtual_keys(&[(vk("n1"), at(5))])
            .expect("writes");
        store
            .rehash_virtual_key("hash-n2", "rehashed")
            .expect("writes");
    }),
    ("bumping few keys", |store| {
        let (a, few) = (org("a"), rp("few"));
        let committed = done(
            store,
            "a",
            &[
                Write::BumpKeysWithGuardrail {
                    organization: &a,
                    guardrail: "guard_few",
                    now: at(60),
                },
                Write::BumpKeysWithPolicy {
                    organization: &a,
                    policy: &few,
                    now: at(60),
                },
            ],
        );
        assert_eq!(committed.counted, 6);
    }),
    ("pages of providers", |store| {
        let every = ModelProviderFilter::default();
        let kind = ModelProviderFilter {
            provider: text("anthropic"),
            ..every.clone()
        };
        let scope = ModelProviderFilter {
            scopes: Some(vec![project_scope("a-cart")]),
            ..every.clone()
        };
        for (filter, found) in [(every, 20), (kind, 1), (scope, 1)] {
            let page = store.model_providers(&org("a"), &filter, 20, None);
            assert_eq!(page.expect("reads").rows.len(), found);
        }
    }),
    ("reachable providers", |store| {
        let scopes = [project_scope("a-cart"), whole("a")];
        let rows = store.reachable_providers(&org("a"), &scopes);
        assert_eq!(rows.expect("reads").len(), 1);
    }),
    ("budgets", |store| {
        let a = org("a");
        let every = BudgetFilter::default();
        let kind = BudgetFilter {
            scope_types: Some(vec![
                String::from("project"),
                String::from("attributed_user"),
            ]),
            ..every.clone()
        };
        let named = BudgetFilter {
            external_id: text("f9"),
            ..every.clone()
        };
        for (filter, found) in [(every, 20), (kind, 3), (named, 1)] {
            let page = store.budgets(&a, &filter, 20, None).expect("reads");
            assert_eq!(page.rows.len(), found);
        }
        let targets = [BudgetTarget::Project(proj("a-cart"))];
        assert_eq!(store.budgets_of(&a, &targets).expect("reads").len(), 3);
        assert!(store.own_budget(&a, &vk("n1")).expect("reads").is_some());
    }),
    ("a budget that meets nobody", |store| {
        for target in [
            BudgetTarget::Team(team("a-empty")),
            BudgetTarget::Project(proj("a-cart")),
            BudgetTarget::Group(grp("g")),
            BudgetTarget::Principal(user("ada")),
        ] {
            let reach = store.budget_reach(&org("a"), &target, true).expect("reads");
            assert!(!reach.reachable && reach.any_key, "{target:?}");
            assert_eq!(reach.project_count, 1);
        }
    }),
    ("a budget that meets everybody", |store| {
        for target in [
            BudgetTarget::Organization(org("a")),
            BudgetTarget::Team(team("a-governance")),
            BudgetTarget::Project(proj("a-governance")),
            BudgetTarget::Principal(user("admin")),
        ] {
            let reach = store.budget_reach(&org("a"), &target, true).expect("reads");
            assert!(reach.reachable, "{target:?}");
        }
    }),
    ("the access of an API key", |store| {
        let access = store.access_by_lookup_id("lookup-n1").expect("reads");
        assert_eq!(access.expect("a key").bound.len(), 1);
    }),
    ("the bindings of one principal and one scope", |store| {
        for filter in [
            BindingFilter {
                principal: Some(Principal::ApiKey(ak("n1"))),
                scope: None,
            },
            BindingFilter {
                principal: Some(Principal::ApiKey(ak("n1"))),
                scope: Some(project_scope("a-cart")),
            },
            BindingFilter {
                principal: Some(Principal::User(user("ada"))),
                scope: None,
            },
        ] {
            store.bindings(&org("a"), &filter, 0, 20).expect("reads");
        }
        let filter = BindingFilter {
            principal: None,
            scope: Some(project_scope("a-cart")),
        };
        let (rows, total) = store.bindings(&org("a"), &filter, 0, 20).expect("reads");
        assert_eq!((rows.len(), total), (3, 3));
    }),
    ("the audit log", |store| {
        let of_target = AuditFilter {
            target_id: text("vk_1"),
            ..AuditFilter::default()
        };
        for filter in [of_target, AuditFilter::default()] {
            let page = store.audit(&org("a"), &filter, 5, None).expect("reads");
            assert_eq!(page.rows.len(), 5);
        }
    }),
    ("deleting what few rows refer to", |store| {
        let (a, few, g, ada) = (org("a"), rp("few"), grp("g"), user("ada"));
        let spare = role("a", "spare", RoleKind::Custom);
        done(
            store,
            "a",
            &[
                Write::DeleteRoutingPolicy {
                    organization: &a,
                    id: &few,
                    replacement: None,
                    now: at(60),
                },
                Write::DeleteGroup {
                    organization: &a,
                    id: &g,
                },
                Write::RemoveMember {
                    organization: &a,
                    user: &ada,
                },
                Write::InsertRole(&spare),
                Write::DeleteRole {
                    organization: &a,
                    id: &spare.id,
                },
                Write::DeleteModelProvider {
                    organization: &a,
                    id: &mp("near"),
                    expected: None,
                },
            ],
        );
    }),
    ("a receipt", |store| {
        let change = Change {
            receipt: Some(receipt("proj_1", "k", 10, 20)),
            ..loud("a", ChangeKind::VkCreated)
        };
        store.commit(&[], &change).expect("commits");
        let found = store.receipt("proj_1", "k", at(15)).expect("reads");
        assert!(found.is_some());
    }),
];

fn keys(store: &SqliteConfig, filter: &VirtualKeyFilter, after: Option<&Cursor>) -> usize {
    let page = store.virtual_keys(&org("a"), filter, 20, after);
    page.expect("reads").rows.len()
}

#[test]
fn no_hot_call_costs_more_when_there_is_more_of_everything_else() {
    let (small, _small) = filled(300);
    let (large, _large) = filled(3_000);
    let cost = |store: &SqliteConfig, call: Call| {
        work::take();
        call(store);
        work::take()
    };
    let mut dear = Vec::new();
    for (name, call) in CALLS {
        let sum = |done: &[(String, i32)]| done.iter().map(|(_, steps)| steps).sum::<i32>();
        let before = sum(&cost(&small, *call));
        let done = cost(&large, *call);
        let after = sum(&done);
        assert!(before > 0, "{name}: nothing was counted");
        if after > before + before / 5 {
            dear.push(format!("{name}: {before} steps became {after}: {done:#?}"));
        }
    }
    assert!(dear.is_empty(), "{}", dear.join("\n"));
}

#[test]
fn no_hot_statement_scans_a_table_or_sorts() {
    let (store, folder) = filled(300);
    work::take();
    for (_, call) in CALLS {
        call(&store);
    }
    let mut statements: Vec<_> = work::take().into_iter().map(|(sql, _)| sql).collect();
    statements.sort();
    statements.dedup();
    assert!(statements.len() > 40, "{}", statements.len());
    let db = Connection::open(folder.path().join("config.db")).expect("opens");
    let mut bad = Vec::new();
    for sql in statements {
        let mut plan = db
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .expect("explains");
        // No parameter is bound: NULL, which does not change the plan.
        let steps: Vec<String> = plan
            .raw_query()
            .mapped(|row| row.get("detail"))
            .collect::<Result<_, _>>()
            .expect("a plan");
        let steps = steps.join("; ");
        // A few rows of one person, role or target may be sorted; a page never is.
        let sorted_page = sql.contains("LIMIT") && steps.contains("TEMP B-TREE");
        if steps.contains("SCAN ") || steps.contains("AUTOMATIC") || sorted_page {
            bad.push(format!("{sql}: {steps}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
