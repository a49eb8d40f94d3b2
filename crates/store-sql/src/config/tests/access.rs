//! Roles, bindings, and what they come to.

use super::*;

fn bound(role: BoundRole, permissions: Option<&[&str]>, scope: Scope) -> Bound {
    Bound {
        role,
        permissions: permissions.map(|list| list.iter().map(|&word| word.to_owned()).collect()),
        scope,
    }
}

pub(super) fn role_names_are_unique_except_for_private_roles(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let row = CustomRole {
        description: text("text"),
        ..role("a", "r", RoleKind::Custom)
    };
    let private = |name: &str| CustomRole {
        name: String::from("r"),
        ..role("a", name, RoleKind::SystemApiKey)
    };
    let (p1, p2) = (private("p1"), private("p2"));
    done(
        store,
        "a",
        &[
            Write::InsertRole(&row),
            Write::InsertRole(&p1),
            Write::InsertRole(&p2),
        ],
    );
    let theirs = CustomRole {
        name: String::from("r"),
        ..role("b", "theirs", RoleKind::Custom)
    };
    done(store, "b", &[Write::InsertRole(&theirs)]);
    let twin = CustomRole {
        id: role_id("twin"),
        ..row.clone()
    };
    conflicts(tried(store, "a", Write::InsertRole(&twin)), "name");
    let ids: Vec<_> = store
        .roles(&a)
        .expect("reads")
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids, [role_id("p1"), role_id("p2"), role_id("r")]);
    assert_eq!(store.role(&a, &row.id).expect("reads"), Some(row.clone()));
    assert_eq!(store.role(&b, &row.id).expect("reads"), None);

    let changed = CustomRole {
        name: String::from("renamed"),
        permissions: vec![],
        created_at: at(77),
        updated_at: at(9),
        ..row.clone()
    };
    done(store, "a", &[Write::UpdateRole(&changed)]);
    let expected = CustomRole {
        created_at: at(1),
        ..changed.clone()
    };
    assert_eq!(store.role(&a, &row.id).expect("reads"), Some(expected));
    let stolen = CustomRole {
        organization_id: b,
        ..changed
    };
    missing(tried(store, "b", Write::UpdateRole(&stolen)));
    done(store, "a", &[Write::InsertRole(&twin)]);
}

pub(super) fn a_bound_role_is_not_deleted(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let row = role("a", "r", RoleKind::Custom);
    let of_person = RoleBinding {
        custom_role_id: Some(row.id.clone()),
        ..binding(
            "a",
            "1",
            Principal::User(user("admin")),
            BoundRole::Custom,
            whole("a"),
        )
    };
    let place = TeamMember {
        custom_role_id: Some(row.id.clone()),
        ..place("a-default", "admin", BoundRole::Custom)
    };
    done(
        store,
        "a",
        &[
            Write::InsertRole(&row),
            Write::InsertBinding(&of_person),
            Write::PutTeamMember {
                organization: &a,
                row: &place,
            },
        ],
    );
    let delete = |organization| Write::DeleteRole {
        organization,
        id: &row.id,
    };
    conflicts(tried(store, "a", delete(&a)), "role");
    missing(tried(store, "b", delete(&b)));
    done(
        store,
        "a",
        &[Write::DeleteBinding {
            organization: &a,
            id: &of_person.id,
        }],
    );
    conflicts(tried(store, "a", delete(&a)), "role");
    done(
        store,
        "a",
        &[
            Write::RemoveTeamMember {
                organization: &a,
                team: &place.team_id,
                user: &place.user_id,
            },
            delete(&a),
        ],
    );
    assert_eq!(store.role(&a, &row.id).expect("reads"), None);
    missing(tried(store, "a", delete(&a)));
}

pub(super) fn bindings_are_kept_changed_and_found_by_principal_and_scope(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let custom = role("a", "r", RoleKind::Custom);
    let team_wide = team_scope("a-default");
    let rows = [
        binding(
            "a",
            "u",
            Principal::User(user("admin")),
            BoundRole::Viewer,
            whole("a"),
        ),
        binding(
            "a",
            "g",
            Principal::Group(grp("g")),
            BoundRole::Member,
            team_wide.clone(),
        ),
        RoleBinding {
            custom_role_id: Some(custom.id.clone()),
            ..binding(
                "a",
                "k",
                Principal::ApiKey(ak("first")),
                BoundRole::Custom,
                project_scope("a-default"),
            )
        },
    ];
    done(
        store,
        "a",
        &[
            Write::InsertRole(&custom),
            Write::InsertGroup(&group("a", "g")),
            Write::InsertBinding(&rows[0]),
            Write::InsertBinding(&rows[1]),
            Write::InsertBinding(&rows[2]),
        ],
    );
    for row in &rows {
        assert_eq!(
            store.binding(&a, &row.id).expect("reads"),
            Some(row.clone())
        );
        assert_eq!(store.binding(&b, &row.id).expect("reads"), None);
    }
    let list = |principal: Option<Principal>, scope: Option<Scope>, offset, limit| {
        let filter = BindingFilter { principal, scope };
        let (rows, total) = store.bindings(&a, &filter, offset, limit).expect("reads");
        let ids: Vec<_> = rows.into_iter().map(|row| row.id.to_string()).collect();
        (ids.join(" "), total)
    };
    let seen = |ids: &str, total| (ids.to_owned(), total);
    assert_eq!(list(None, None, 0, 9), seen("rb_first rb_g rb_k rb_u", 4));
    assert_eq!(list(None, None, 1, 2), seen("rb_g rb_k", 4));
    assert_eq!(list(None, Some(whole("a")), 0, 9), seen("rb_first rb_u", 2));
    assert_eq!(list(None, Some(whole("b")), 0, 9), seen("", 0));
    assert_eq!(list(None, Some(team_wide), 0, 9), seen("rb_g", 1));
    let key = Some(Principal::ApiKey(ak("first")));
    assert_eq!(list(key.clone(), None, 0, 9), seen("rb_first rb_k", 2));
    let scope = Some(project_scope("a-default"));
    assert_eq!(list(key, scope, 0, 9), seen("rb_k", 1));
    let every = BindingFilter::default();
    assert_eq!(
        store.bindings(&b, &every, 0, 9).expect("reads"),
        (vec![], 0)
    );

    let changed = RoleBinding {
        created_at: at(77),
        ..binding(
            "a",
            "u",
            Principal::User(user("admin")),
            BoundRole::Admin,
            whole("a"),
        )
    };
    done(store, "a", &[Write::UpdateBinding(&changed)]);
    let expected = RoleBinding {
        created_at: at(1),
        ..changed.clone()
    };
    assert_eq!(
        store.binding(&a, &changed.id).expect("reads"),
        Some(expected)
    );

    // What belongs to somebody else, or does not fit together.
    let admin = || Principal::User(user("admin"));
    for wrong in [
        binding(
            "a",
            "x",
            Principal::User(user("nobody")),
            BoundRole::Admin,
            whole("a"),
        ),
        binding(
            "a",
            "x",
            Principal::Group(grp("nobody")),
            BoundRole::Admin,
            whole("a"),
        ),
        binding(
            "a",
            "x",
            Principal::ApiKey(ak("nobody")),
            BoundRole::Admin,
            whole("a"),
        ),
        binding("a", "x", admin(), BoundRole::Admin, whole("b")),
        binding("a", "x", admin(), BoundRole::Admin, team_scope("b-default")),
        binding("a", "x", admin(), BoundRole::Custom, whole("a")),
        binding("b", "x", admin(), BoundRole::Admin, whole("b")),
    ] {
        corrupt(tried(store, "a", Write::InsertBinding(&wrong)));
    }
    let gone = |organization| Write::DeleteBinding {
        organization,
        id: &changed.id,
    };
    missing(tried(store, "b", gone(&b)));
    done(store, "a", &[gone(&a)]);
    missing(tried(store, "a", gone(&a)));
    missing(tried(store, "a", Write::UpdateBinding(&changed)));
}

pub(super) fn private_roles_go_with_the_last_binding_that_names_them(store: &dyn Engine) {
    two_tenants(store);
    let a = org("a");
    let private = role("a", "private", RoleKind::SystemApiKey);
    let shared = role("a", "shared", RoleKind::SystemApiKey);
    let public = role("a", "public", RoleKind::Custom);
    let other = api_key("a", "other");
    let named = |name: &str, key: &str, role: &CustomRole| RoleBinding {
        custom_role_id: Some(role.id.clone()),
        ..binding(
            "a",
            name,
            Principal::ApiKey(ak(key)),
            BoundRole::Custom,
            whole("a"),
        )
    };
    done(
        store,
        "a",
        &[
            Write::InsertRole(&private),
            Write::InsertRole(&shared),
            Write::InsertRole(&public),
            Write::InsertApiKey(&other),
            Write::InsertBinding(&named("1", "first", &private)),
            Write::InsertBinding(&named("2", "first", &shared)),
            Write::InsertBinding(&named("3", "first", &public)),
            Write::InsertBinding(&named("4", "other", &shared)),
        ],
    );
    let principal = Principal::ApiKey(ak("first"));
    let delete = Write::DeleteBindingsOf {
        organization: &a,
        principal: &principal,
    };
    done(
        store,
        "b",
        &[Write::DeleteBindingsOf {
            organization: &org("b"),
            principal: &principal,
        }],
    );
    assert_eq!(
        store.roles(&a).expect("reads").len(),
        3,
        "another organization's"
    );
    done(store, "a", &[delete]);
    let left = store
        .bindings(&a, &BindingFilter::default(), 0, 9)
        .expect("reads")
        .0;
    assert_eq!(left, [named("4", "other", &shared)]);
    assert_eq!(store.roles(&a).expect("reads"), [public, shared]);
    done(store, "a", &[delete]);
}

pub(super) fn the_access_of_a_key_comes_with_that_of_its_owner(store: &dyn Engine) {
    two_tenants(store);
    let a = org("a");
    let ada = joined(store, "a", "ada");
    let custom = role("a", "r", RoleKind::Custom);
    let over = Team {
        archived_at: Some(at(9)),
        ..team_row("a", "over", false)
    };
    let own = ApiKey {
        user_id: Some(ada.clone()),
        ..api_key("a", "own")
    };
    let admin_of =
        |name: &str, principal, scope| binding("a", name, principal, BoundRole::Admin, scope);
    let of_key = RoleBinding {
        custom_role_id: Some(custom.id.clone()),
        ..binding(
            "a",
            "1",
            Principal::ApiKey(ak("own")),
            BoundRole::Custom,
            whole("a"),
        )
    };
    let of_ada = Principal::User(ada.clone());
    let of_group = binding(
        "a",
        "3",
        Principal::Group(grp("g")),
        BoundRole::Member,
        project_scope("a-default"),
    );
    let place_over = TeamMember {
        team_id: over.id.clone(),
        ..place("x", "ada", BoundRole::Admin)
    };
    let place_live = TeamMember {
        custom_role_id: Some(custom.id.clone()),
        ..place("a-default", "ada", BoundRole::Custom)
    };
    done(
        store,
        "a",
        &[
            Write::InsertRole(&custom),
            Write::InsertTeam(&over),
            Write::InsertApiKey(&own),
            Write::InsertBinding(&of_key),
            Write::InsertBinding(&admin_of(
                "archived-key",
                Principal::ApiKey(ak("own")),
                Scope::Team(over.id.clone()),
            )),
            Write::InsertBinding(&admin_of("2", of_ada.clone(), team_scope("a-default"))),
            Write::InsertBinding(&admin_of(
                "archived-user",
                of_ada,
                Scope::Team(over.id.clone()),
            )),
            Write::InsertGroup(&group("a", "g")),
            Write::AddGroupMember {
                organization: &a,
                group: &grp("g"),
                user: &ada,
            },
            Write::InsertBinding(&of_group),
            Write::PutTeamMember {
                organization: &a,
                row: &place_over,
            },
            Write::PutTeamMember {
                organization: &a,
                row: &place_live,
            },
        ],
    );
    let listed: Option<&[&str]> = Some(&["virtualKeys:view"]);
    let owner = OwnerAccess {
        role: MemberRole::Member,
        enabled: true,
        bound: vec![
            bound(BoundRole::Admin, None, team_scope("a-default")),
            bound(BoundRole::Member, None, project_scope("a-default")),
            bound(BoundRole::Custom, listed, team_scope("a-default")),
        ],
    };
    let access = || {
        store
            .access_by_lookup_id("lookup-own")
            .expect("reads")
            .expect("a key")
    };
    let found = access();
    assert_eq!(found.key, own);
    assert_eq!(found.organization, organization_row("a"));
    assert_eq!(found.bound, [bound(BoundRole::Custom, listed, whole("a"))]);
    assert_eq!(found.owner, Some(Some(owner.clone())));
    assert_eq!(
        store.access_of_user(&a, &ada).expect("reads"),
        Some(owner.clone())
    );
    assert_eq!(store.access_of_user(&org("b"), &ada).expect("reads"), None);

    let put = |disabled_at| Write::PutMember {
        organization: &a,
        user: &ada,
        role: MemberRole::External,
        disabled_at,
        now: at(1),
    };
    done(store, "a", &[put(Some(at(3)))]);
    let disabled = OwnerAccess {
        role: MemberRole::External,
        enabled: false,
        ..owner
    };
    assert_eq!(access().owner, Some(Some(disabled)));

    let revoked = ApiKey {
        revoked_at: Some(at(8)),
        ..own
    };
    done(
        store,
        "a",
        &[
            Write::RemoveMember {
                organization: &a,
                user: &ada,
            },
            Write::UpdateApiKey(&revoked),
        ],
    );
    let found = access();
    assert_eq!(found.owner, Some(None), "no member any more");
    assert_eq!(found.key.revoked_at, Some(at(8)), "found all the same");
    let service = store
        .access_by_lookup_id("lookup-first")
        .expect("reads")
        .expect("a key");
    assert_eq!(service.owner, None);
    assert_eq!(service.bound, [bound(BoundRole::Admin, None, whole("a"))]);
}
