//! Documents as the first version that had them wrote them, with nothing in them that may be missing.
//!
//! They must be read for ever: a field that is added later needs a default, a word that is renamed needs
//! its old name. Never change a sample; add one.

use super::*;
use serde::de::DeserializeOwned;

#[track_caller]
fn reads<T: DeserializeOwned + PartialEq + std::fmt::Debug>(sample: &str, expected: &T) {
    let read: T = serde_json::from_str(sample).expect("an old document is read");
    assert_eq!(&read, expected);
}

#[test]
fn an_old_routing_policy_is_read() {
    let expected = RoutingPolicy {
        model_aliases: BTreeMap::from([(String::from("a"), String::from("openai/m"))]),
        policy_rules: json!({ "models": { "deny": ["x"], "allow": null } }),
        is_default: true,
        ..policy("a", "p", &[whole("a"), team_scope("t"), project_scope("p")])
    };
    reads(
        r#"{"id":"rp_p","organization_id":"org_a","name":"p","strategy":"ordered",
            "model_provider_ids":["mp_1"],"model_aliases":{"a":"openai/m"},
            "policy_rules":{"models":{"deny":["x"],"allow":null}},"is_default":true,
            "scopes":[{"scope_type":"organization","scope_id":"org_a"},
                      {"scope_type":"team","scope_id":"team_t"},
                      {"scope_type":"project","scope_id":"proj_p"}],
            "revision":1,"created_at":10000000,"updated_at":10000000}"#,
        &expected,
    );
}

#[test]
fn an_old_budget_is_read_whatever_it_is_about() {
    for (kind, id, target) in [
        (
            "organization",
            "org_a",
            BudgetTarget::Organization(org("a")),
        ),
        ("team", "team_a", BudgetTarget::Team(team("a"))),
        ("project", "proj_a", BudgetTarget::Project(proj("a"))),
        ("virtual_key", "vk_a", BudgetTarget::VirtualKey(vk("a"))),
        ("principal", "user_a", BudgetTarget::Principal(user("a"))),
        ("group", "grp_a", BudgetTarget::Group(grp("a"))),
        (
            "end_users_of_key",
            "vk_a",
            BudgetTarget::EndUsersOfKey(vk("a")),
        ),
        (
            "end_users_of_project",
            "proj_a",
            BudgetTarget::EndUsersOfProject(proj("a")),
        ),
    ] {
        let sample = format!(
            r#"{{"id":"bgt_b","organization_id":"org_a","name":"b",
                 "target":{{"kind":"{kind}","id":"{id}"}},"window":"month","limit":5000000000,
                 "on_breach":"block","enforcement":"strict",
                 "current_period_started_at":10000000,"resets_at":99000000,"metadata":{{}},
                 "created_by":"user_admin","revision":1,"created_at":10000000,
                 "updated_at":10000000}}"#
        );
        reads(&sample, &budget("a", "b", target));
    }
}

#[test]
fn an_old_cache_rule_is_read() {
    reads(
        r#"{"id":"rule_r","organization_id":"org_a","name":"r","priority":5,"enabled":true,
            "matchers":{"model":"m"},"action":{"mode":"force"},"revision":1,
            "created_at":10000000,"updated_at":10000000}"#,
        &cache_rule("a", "r", 5),
    );
}

#[test]
fn an_old_guardrail_is_read() {
    reads(
        r#"{"id":"guard_g","organization_id":"org_a","project_id":"proj_p","name":"g",
            "evaluator_id":"eval-g","evaluator_slug":"regex","settings":{"patterns":["a"]},
            "direction":"pre","failure_mode":"fail_closed","revision":1,
            "created_at":10000000,"updated_at":10000000}"#,
        &guardrail("a", "p", "g"),
    );
}

#[test]
fn an_old_price_is_read() {
    reads(
        r#"{"id":"price_p","organization_id":"org_a","model":"model",
            "rates":{"input_cost_per_token":"0.01"},"revision":1,
            "created_at":10000000,"updated_at":10000000}"#,
        &price("a", "p", None),
    );
}

#[test]
fn an_old_role_is_read_whatever_its_kind() {
    for (word, kind) in [
        ("custom", RoleKind::Custom),
        ("system_api_key", RoleKind::SystemApiKey),
    ] {
        let sample = format!(
            r#"{{"id":"role_r","organization_id":"org_a","name":"r",
                 "permissions":["virtualKeys:view"],"kind":"{word}",
                 "created_at":1000000,"updated_at":1000000}}"#
        );
        reads(&sample, &role("a", "r", kind));
    }
}

#[test]
fn an_old_group_is_read() {
    reads(
        r#"{"id":"grp_g","organization_id":"org_a","name":"g","slug":"g",
            "created_at":1000000,"updated_at":1000000}"#,
        &group("a", "g"),
    );
}

#[test]
fn an_old_invitation_is_read() {
    reads(
        r#"{"id":"inv_i","organization_id":"org_a","email":"i@example.com","role":"MEMBER",
            "teams":[{"team_id":"team_a-default","role":"MEMBER"}],"hashed_code":"code-i","status":"pending",
            "expires_at":99000000,"created_by":"user_admin","created_at":1000000}"#,
        &invite("a", "i"),
    );
}

#[test]
fn settings_that_were_never_written_have_their_defaults() {
    reads("{}", &OrganizationSettings::default());
}
