//! Accounts, memberships, places in teams and groups, API keys, invitations.

use super::*;

pub(super) fn an_account_is_completed_and_found_by_its_email(store: &dyn Engine) {
    two_tenants(store);
    let mut row = person("admin");
    row.email = text("Ada@Example.COM");
    row.password_hash = text("$argon2id$");
    row.created_at = at(77);
    done(store, "a", &[Write::UpdateUser(&row)]);
    row.email = text("ada@example.com");
    row.created_at = at(1);
    assert_eq!(store.user(&row.id).expect("reads"), Some(row.clone()));
    let by_email = |email| store.user_by_email(email).expect("reads");
    assert_eq!(by_email("ADA@example.com"), Some(row.clone()));
    assert_eq!(by_email("bob@example.com"), None);
    let twin = User {
        email: text("ADA@EXAMPLE.com"),
        ..person("twin")
    };
    conflicts(tried(store, "a", Write::InsertUser(&twin)), "email");

    let audited = all_audited(store, "a").len();
    missing(tried(store, "a", Write::UpdateUser(&person("nobody"))));
    assert_eq!(store.user(&user("nobody")).expect("reads"), None);
    assert_eq!(all_audited(store, "a").len(), audited);
}

pub(super) fn a_membership_is_put_changed_and_read_from_both_sides(store: &dyn Engine) {
    two_tenants(store);
    let ada = joined(store, "a", "ada");
    let (a, b) = (org("a"), org("b"));
    let put = |organization, role, disabled_at, now| Write::PutMember {
        organization,
        user: &ada,
        role,
        disabled_at,
        now: at(now),
    };
    done(
        store,
        "a",
        &[put(&a, MemberRole::External, Some(at(8)), 70)],
    );
    done(store, "b", &[put(&b, MemberRole::Admin, None, 6)]);

    let member = store.member(&a, &ada).expect("reads").expect("a member");
    assert_eq!(member.user, person("ada"));
    assert_eq!(member.role, MemberRole::External);
    assert_eq!(member.disabled_at, Some(at(8)));
    assert_eq!(member.created_at, at(5), "kept");
    let ids = |rows: Vec<lw_store::config::Member>| -> Vec<_> {
        rows.into_iter().map(|row| row.user.name).collect()
    };
    assert_eq!(ids(store.members(&a).expect("reads")), ["admin", "ada"]);
    assert_eq!(ids(store.members(&b).expect("reads")), ["ada"]);
    assert_eq!(store.member(&b, &user("admin")).expect("reads"), None);

    let memberships = store.memberships(&ada).expect("reads");
    let seen: Vec<_> = memberships
        .iter()
        .map(|row| (row.organization.id.as_str(), row.role, row.disabled_at))
        .collect();
    assert_eq!(
        seen,
        [
            ("org_a", MemberRole::External, Some(at(8))),
            ("org_b", MemberRole::Admin, None)
        ]
    );
    let nobody = user("nobody");
    corrupt(tried(
        store,
        "a",
        Write::PutMember {
            organization: &a,
            user: &nobody,
            role: MemberRole::Member,
            disabled_at: None,
            now: at(1),
        },
    ));
}

pub(super) fn who_leaves_an_organization_leaves_its_teams_groups_and_bindings(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let ada = joined(store, "a", "ada");
    let bob = joined(store, "a", "bob");
    for (organization, name) in [("a", "g-a"), ("b", "g-b")] {
        let row = group(organization, name);
        done(store, organization, &[Write::InsertGroup(&row)]);
    }
    done(
        store,
        "b",
        &[Write::PutMember {
            organization: &b,
            user: &ada,
            role: MemberRole::Member,
            disabled_at: None,
            now: at(1),
        }],
    );
    let settle = |organization: &str, who: &UserId| {
        let id = org(organization);
        let place = TeamMember {
            user_id: who.clone(),
            ..place(&format!("{organization}-default"), "x", BoundRole::Member)
        };
        let bound = binding(
            organization,
            &format!("{organization}-{}", who.as_str()),
            Principal::User(who.clone()),
            BoundRole::Admin,
            whole(organization),
        );
        done(
            store,
            organization,
            &[
                Write::PutTeamMember {
                    organization: &id,
                    row: &place,
                },
                Write::AddGroupMember {
                    organization: &id,
                    group: &grp(&format!("g-{organization}")),
                    user: who,
                },
                Write::InsertBinding(&bound),
            ],
        );
    };
    settle("a", &ada);
    settle("a", &bob);
    settle("b", &ada);

    done(
        store,
        "a",
        &[Write::RemoveMember {
            organization: &a,
            user: &ada,
        }],
    );
    let left = |organization: &OrganizationId, who: &UserId| {
        let filter = BindingFilter {
            principal: Some(Principal::User(who.clone())),
            scope: None,
        };
        (
            store.member(organization, who).expect("reads").is_some(),
            store.teams_of(organization, who).expect("reads").len(),
            store.groups_of(organization, who).expect("reads").len(),
            store
                .bindings(organization, &filter, 0, 9)
                .expect("reads")
                .1,
        )
    };
    assert_eq!(left(&a, &ada), (false, 0, 0, 0));
    assert_eq!(left(&a, &bob), (true, 1, 1, 1));
    assert_eq!(left(&b, &ada), (true, 1, 1, 1), "nothing else is touched");
    assert!(store.user(&ada).expect("reads").is_some());
    missing(tried(
        store,
        "a",
        Write::RemoveMember {
            organization: &a,
            user: &ada,
        },
    ));
}

pub(super) fn a_place_in_a_team_is_put_replaced_and_taken(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let ada = joined(store, "a", "ada");
    let custom = role("a", "custom", RoleKind::Custom);
    let first = place("a-default", "ada", BoundRole::Viewer);
    let second = TeamMember {
        custom_role_id: Some(custom.id.clone()),
        ..place("a-default", "ada", BoundRole::Custom)
    };
    let admin = place("a-default", "admin", BoundRole::Admin);
    done(
        store,
        "a",
        &[
            Write::InsertRole(&custom),
            Write::PutTeamMember {
                organization: &a,
                row: &first,
            },
            Write::PutTeamMember {
                organization: &a,
                row: &second,
            },
            Write::PutTeamMember {
                organization: &a,
                row: &admin,
            },
        ],
    );
    let members = |organization| store.team_members(organization, &team("a-default"));
    assert_eq!(members(&a).expect("reads"), [second.clone(), admin]);
    assert_eq!(members(&b).expect("reads"), []);
    let places = |organization| store.teams_of(organization, &ada).expect("reads");
    assert_eq!(places(&a).as_slice(), std::slice::from_ref(&second));
    assert_eq!(places(&b), []);

    for (organization, row) in [
        // Another organization's team, person or role; somebody who is no member.
        (&b, &first),
        (&a, &place("b-default", "ada", BoundRole::Member)),
        (&a, &place("a-default", "nobody", BoundRole::Member)),
        (
            &a,
            &TeamMember {
                custom_role_id: Some(role_id("x")),
                ..second.clone()
            },
        ),
    ] {
        corrupt(tried(
            store,
            "a",
            Write::PutTeamMember { organization, row },
        ));
    }
    assert_eq!(places(&a), [second]);
    let remove = |organization| Write::RemoveTeamMember {
        organization,
        team: &first.team_id,
        user: &ada,
    };
    missing(tried(store, "b", remove(&b)));
    done(store, "a", &[remove(&a)]);
    assert_eq!(places(&a), []);
    missing(tried(store, "a", remove(&a)));
}

pub(super) fn groups_hold_members_of_their_own_organization(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let (ada, bob) = (joined(store, "a", "ada"), joined(store, "b", "bob"));
    let mut row = group("a", "g");
    row.external_id = text("dir-1");
    row.scim_source = text("okta");
    let older = Group {
        created_at: at(0),
        ..group("a", "older")
    };
    done(
        store,
        "a",
        &[Write::InsertGroup(&row), Write::InsertGroup(&older)],
    );
    let twin = Group {
        id: grp("twin"),
        ..row.clone()
    };
    conflicts(tried(store, "a", Write::InsertGroup(&twin)), "slug");
    let theirs = Group {
        slug: String::from("g"),
        ..group("b", "theirs")
    };
    done(store, "b", &[Write::InsertGroup(&theirs)]);

    let add = |organization, user| Write::AddGroupMember {
        organization,
        group: &row.id,
        user,
    };
    done(store, "a", &[add(&a, &ada), add(&a, &ada)]);
    corrupt(tried(store, "a", add(&a, &bob)));
    corrupt(tried(store, "b", add(&b, &bob)));
    let rows = store.groups(&a).expect("reads");
    assert_eq!(rows, [(older, 0), (row.clone(), 1)]);
    let people = store.group_members(&a, &row.id).expect("reads");
    assert_eq!(people, [person("ada")]);
    assert_eq!(store.group_members(&b, &row.id).expect("reads"), []);
    assert_eq!(store.groups_of(&a, &ada).expect("reads"), [row.id.clone()]);
    assert_eq!(store.groups_of(&b, &ada).expect("reads"), []);
    assert_eq!(store.group(&a, &row.id).expect("reads"), Some(row.clone()));
    assert_eq!(store.group(&b, &row.id).expect("reads"), None);

    let changed = Group {
        name: String::from("renamed"),
        created_at: at(77),
        updated_at: at(9),
        ..row.clone()
    };
    done(store, "a", &[Write::UpdateGroup(&changed)]);
    let expected = Group {
        created_at: at(1),
        ..changed.clone()
    };
    assert_eq!(store.group(&a, &row.id).expect("reads"), Some(expected));
    let stolen = Group {
        organization_id: b.clone(),
        ..changed
    };
    missing(tried(store, "b", Write::UpdateGroup(&stolen)));

    let take = |organization| Write::RemoveGroupMember {
        organization,
        group: &row.id,
        user: &ada,
    };
    missing(tried(store, "b", take(&b)));
    done(store, "a", &[take(&a)]);
    assert_eq!(store.groups_of(&a, &ada).expect("reads"), []);
    missing(tried(store, "a", take(&a)));
}

pub(super) fn a_deleted_group_takes_its_members_and_bindings_along(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let ada = joined(store, "a", "ada");
    let bound = binding(
        "a",
        "of-group",
        Principal::Group(grp("g")),
        BoundRole::Member,
        team_scope("a-default"),
    );
    done(
        store,
        "a",
        &[
            Write::InsertGroup(&group("a", "g")),
            Write::AddGroupMember {
                organization: &a,
                group: &grp("g"),
                user: &ada,
            },
            Write::InsertBinding(&bound),
        ],
    );
    let id = grp("g");
    missing(tried(
        store,
        "b",
        Write::DeleteGroup {
            organization: &b,
            id: &id,
        },
    ));
    done(
        store,
        "a",
        &[Write::DeleteGroup {
            organization: &a,
            id: &id,
        }],
    );
    assert_eq!(store.group(&a, &id).expect("reads"), None);
    assert_eq!(store.groups_of(&a, &ada).expect("reads"), []);
    assert_eq!(store.binding(&a, &bound.id).expect("reads"), None);
    missing(tried(
        store,
        "a",
        Write::DeleteGroup {
            organization: &a,
            id: &id,
        },
    ));
}

pub(super) fn an_api_key_keeps_every_field_and_changes_only_what_may_change(store: &dyn Engine) {
    two_tenants(store);
    let ada = joined(store, "a", "ada");
    let row = ApiKey {
        description: text("text"),
        user_id: Some(ada.clone()),
        created_by_user_id: Some(user("admin")),
        permission_mode: PermissionMode::Restricted,
        revoked_at: Some(at(50)),
        last_used_at: Some(at(40)),
        created_at: at(3),
        ..api_key("a", "full")
    };
    done(store, "a", &[Write::InsertApiKey(&row)]);
    let found = || store.api_key(&org("a"), &row.id).expect("reads");
    assert_eq!(found(), Some(row.clone()));
    assert_eq!(store.api_key(&org("b"), &row.id).expect("reads"), None);
    let names = |organization| -> Vec<_> {
        let rows = store.api_keys(&org(organization)).expect("reads");
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names("a"), ["full", "first"], "newest first");
    assert!(names("b").is_empty());

    let changed = ApiKey {
        id: row.id.clone(),
        created_at: at(77),
        last_used_at: Some(at(78)),
        expires_at: None,
        ..api_key("a", "changed")
    };
    done(store, "a", &[Write::UpdateApiKey(&changed)]);
    let expected = ApiKey {
        name: String::from("changed"),
        description: None,
        permission_mode: PermissionMode::All,
        expires_at: None,
        revoked_at: None,
        ..row.clone()
    };
    assert_eq!(found(), Some(expected.clone()));
    let stolen = ApiKey {
        organization_id: org("b"),
        ..changed
    };
    missing(tried(store, "b", Write::UpdateApiKey(&stolen)));
    assert_eq!(found(), Some(expected));
    let stranger = ApiKey {
        user_id: Some(ada),
        ..api_key("b", "stranger")
    };
    corrupt(tried(store, "b", Write::InsertApiKey(&stranger)));
}

pub(super) fn an_api_key_is_found_by_its_public_part_and_touched_forwards(store: &dyn Engine) {
    two_tenants(store);
    let row = api_key("a", "second");
    done(store, "a", &[Write::InsertApiKey(&row)]);
    let twin = ApiKey {
        lookup_id: row.lookup_id.clone(),
        ..api_key("a", "third")
    };
    conflicts(tried(store, "a", Write::InsertApiKey(&twin)), "lookup_id");
    let twin = ApiKey {
        lookup_id: String::from("x"),
        ..row.clone()
    };
    conflicts(tried(store, "a", Write::InsertApiKey(&twin)), "id");
    let find = |lookup_id: &str| store.access_by_lookup_id(lookup_id).expect("reads");
    assert_eq!(find("unknown"), None);
    let before = store.latest_change().expect("reads");
    for (touch, seen) in [(20, 20), (10, 20), (30, 30)] {
        store.touch_api_key(&row.id, at(touch)).expect("writes");
        let found = find(&row.lookup_id).expect("a key").key;
        assert_eq!(found.last_used_at, Some(at(seen)));
    }
    store.rehash_api_key(&row.id, "new").expect("writes");
    store
        .rehash_api_key(&ak("nobody"), "new")
        .expect("nothing to do");
    let found = find(&row.lookup_id).expect("a key").key;
    assert_eq!(found.hashed_secret, "new");
    let other = find("lookup-first").expect("a key").key;
    assert_eq!(other.hashed_secret, "hash");
    assert_eq!(store.latest_change().expect("reads"), before);
}

pub(super) fn invitations_are_listed_newest_first_and_changed(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let row = invite("a", "1");
    let newer = Invite {
        created_at: at(2),
        ..invite("a", "2")
    };
    let theirs = invite("b", "3");
    done(
        store,
        "a",
        &[Write::InsertInvite(&row), Write::InsertInvite(&newer)],
    );
    done(store, "b", &[Write::InsertInvite(&theirs)]);
    assert_eq!(store.invites(&a).expect("reads"), [newer, row.clone()]);
    assert_eq!(store.invites(&b).expect("reads"), [theirs]);
    let changed = Invite {
        status: InviteStatus::Accepted,
        created_by: String::from("somebody"),
        created_at: at(77),
        ..row.clone()
    };
    done(store, "a", &[Write::UpdateInvite(&changed)]);
    let expected = Invite {
        status: InviteStatus::Accepted,
        ..row.clone()
    };
    assert_eq!(store.invite(&a, &row.id).expect("reads"), Some(expected));
    assert_eq!(store.invite(&b, &row.id).expect("reads"), None);
    let stolen = Invite {
        organization_id: b,
        ..changed
    };
    missing(tried(store, "b", Write::UpdateInvite(&stolen)));
}
