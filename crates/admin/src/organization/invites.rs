//! Invitations into the organization (management-api 19): all of a body or none.
//!
//! The code is in the answer of the create and nowhere else; its hash is stored. An invitation is good for
//! seven days. Must never promise more than the caller has. Start at [`create`].

use std::collections::HashSet;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use http::Method;
use lw_core::{Code, Entropy, Error, InviteId, Secret, UnixMicros};
use lw_store::config::{Bound, Change, Known, Write};
use lw_store::rows::{BoundRole, Invite, InviteStatus, InvitedTo, MemberRole, Scope};
use serde_json::{Map, Value, json};

use super::members::{ROLES, implied, role_of};
use crate::Admin;
use crate::bindings::{self, PLAIN_ROLES, may_give};
use crate::caller::Caller;
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Given, Problems, required};
use crate::permission::OrganizationManage;
use crate::routes::Route;
use crate::schemas::{
    Named, input, list, list_of, named, object, one_of, success, text, text_of, time,
};
use crate::serve::{Answer, Call};
use crate::stamp::{self, landed};
use crate::teams;
use crate::write::{Act, also, commit, until_fresh};

/// How long an invitation is good: seven days.
const GOOD_US: i64 = 7 * 24 * 60 * 60 * 1_000_000;
/// The most invitations of one body.
const MOST: usize = 50;
/// The most teams of one invitation.
const MOST_TEAMS: usize = 50;
/// The longest address.
const ADDRESS: usize = 254;

pub(super) fn routes() -> Vec<Route> {
    let base = "/api/organization/invites";
    vec![
        Route::new::<OrganizationManage>(Family, Method::GET, base, list_open)
            .named(
                "listInvites",
                "List the invitations that nobody has answered yet",
            )
            .answers(200, object(&[("invites", list(named("Invite")))], &[])),
        Route::new::<OrganizationManage>(Family, Method::POST, base, create)
            .named("createInvites", "Invite people, all of them or none")
            .body(named("NewInvites"))
            .answers(
                201,
                object(&[("invites", list(named("MintedInvite")))], &[]),
            )
            .refuses(&[
                Code::AlreadyMember,
                Code::TeamNotFound,
                Code::PermissionDenied,
            ]),
        Route::new::<OrganizationManage>(Family, Method::DELETE, format!("{base}/{{id}}"), revoke)
            .named("revokeInvite", "Take an invitation back")
            .answers(200, success())
            .refuses(&[Code::InviteNotFound, Code::RevisionConflict]),
    ]
}

pub(super) fn schemas() -> Vec<Named> {
    let fields = || {
        vec![
            ("id", text()),
            ("email", text()),
            ("role", one_of(&ROLES)),
            (
                "teams",
                list(object(
                    &[("teamId", text()), ("role", one_of(&PLAIN_ROLES))],
                    &[],
                )),
            ),
            ("status", one_of(&["pending", "expired"])),
            ("expiresAt", time()),
            ("createdAt", time()),
        ]
    };
    let mut minted = fields();
    minted.extend([("inviteCode", text()), ("inviteUrl", text())]);
    let team = json!({ "anyOf": [
        text_of(1, 256),
        input(&[("teamId", text_of(1, 256))], &[("role", one_of(&PLAIN_ROLES))]),
    ] });
    let invite = input(
        &[("email", text_of(3, 254)), ("role", one_of(&ROLES))],
        &[("teams", list_of(team, 50))],
    );
    vec![
        ("Invite", object(&fields(), &[])),
        ("MintedInvite", object(&minted, &[])),
        (
            "NewInvites",
            input(&[("invites", list_of(invite, 50))], &[]),
        ),
    ]
}

/// `GET /invites`: newest first; those that ran out say so.
fn list_open(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let admin = call.admin();
    let now = admin.clock.now();
    let invites = admin.store.invites(&call.permit.organization.id);
    let rows: Vec<Value> = invites
        .map_err(stored)?
        .iter()
        .filter(|invite| invite.status == InviteStatus::Pending)
        .map(|invite| shown(invite, now))
        .collect();
    Ok(Answer::ok(json!({ "invites": rows })))
}

/// `POST /invites`.
fn create(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let wishes = read(&call.object()?)?;
    let (admin, caller) = (call.admin(), &*call.permit);
    let now = admin.clock.now();
    let invited = wishes
        .iter()
        .map(|wish| wish.invite(admin, caller, now))
        .collect::<Result<Vec<_>, _>>()?;
    refuse_known(admin, caller, &wishes, now)?;
    let mut change = Change::default();
    for (invite, _) in &invited {
        let act = Act {
            action: "organization.member.invited",
            target_id: invite.id.as_str(),
            after: Some(shown(invite, now)),
            ..Act::default()
        };
        change = also(change, act.by(admin, caller, now));
    }
    let writes: Vec<_> = invited
        .iter()
        .map(|(invite, _)| Write::InsertInvite(invite))
        .collect();
    commit(admin, &writes, &change).map_err(stored)?;
    let rows: Vec<Value> = invited
        .iter()
        .map(|(invite, code)| minted(admin, invite, code, now))
        .collect();
    Ok(Answer::created(json!({ "invites": rows })))
}

/// `DELETE /invites/:id`.
fn revoke(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let not_found = || {
        Error::new(Code::InviteNotFound, "Invitation not found.")
            .tip("List them: `langwatch invites list`.")
    };
    let id = InviteId::parse(call.id()).map_err(|_not_an_id| not_found())?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let found = admin.store.invite(&caller.organization.id, &id);
            let before = found
                .map_err(stored)?
                .filter(|invite| invite.status == InviteStatus::Pending)
                .ok_or_else(not_found)?;
            let after = Invite {
                status: InviteStatus::Revoked,
                ..before.clone()
            };
            let writes = [
                Write::StillIs(Known::Invite(&before)),
                Write::UpdateInvite(&after),
            ];
            let now = admin.clock.now();
            let change = Act {
                action: "organization.member.invite_revoked",
                target_id: id.as_str(),
                before: Some(shown(&before, now)),
                ..Act::default()
            }
            .by(admin, caller, now);
            let answer = Answer::ok(json!({ "success": true }));
            landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

/// One invitation that a body asks for.
#[derive(Debug)]
struct Wish {
    email: String,
    role: MemberRole,
    /// Ids or slugs, and what the person will be there.
    teams: Vec<(String, BoundRole)>,
}

fn read(body: &Map<String, Value>) -> Result<Vec<Wish>, Error> {
    let mut problems = Problems::of(BODY);
    let fields = Fields::new(body, "");
    let entries = fields.list(&["invites"], &mut problems);
    let entries = required(entries, &fields, "invites", &mut problems);
    let mut wishes: Vec<Wish> = Vec::new();
    let mut seen = HashSet::new();
    if let Some(entries) = entries {
        if entries.is_empty() || entries.len() > MOST {
            let text = format!("must hold 1 to {MOST} invitations");
            problems.add("invites", "invalid_length", text);
        }
        for (place, entry) in entries.iter().enumerate().take(MOST) {
            let path = format!("invites.{place}");
            let Some(map) = entry.as_object() else {
                problems.add(path, "invalid_type", "must be an object");
                continue;
            };
            let entry = Fields::new(map, path);
            let Some(wish) = Wish::read(&entry, &mut problems) else {
                continue;
            };
            if seen.insert(wish.email.clone()) {
                wishes.push(wish);
            } else {
                let text = "is invited twice in this request";
                problems.add(entry.path("email"), "duplicate", text);
            }
        }
    }
    problems.finish()?;
    Ok(wishes)
}

impl Wish {
    fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let email = fields.trimmed("email", 3..=ADDRESS, problems);
        let email = required(email, fields, "email", problems).and_then(|text| {
            let fine = is_address(&text);
            if !fine {
                let text = "must be an address such as ada@example.com";
                problems.add(fields.path("email"), "invalid_value", text);
            }
            fine.then(|| text.to_lowercase())
        });
        let role = fields.choice(&["role"], &ROLES, problems);
        let role = required(role, fields, "role", problems).map(role_of);
        let teams = match fields.list(&["teams"], problems) {
            Given::Value(entries) => read_teams(entries, &fields.path("teams"), problems),
            Given::Absent | Given::Null => Vec::new(),
        };
        Some(Self {
            email: email?,
            role: role?,
            teams,
        })
    }

    /// The row, and the code that accepts it.
    fn invite(
        &self,
        admin: &Admin,
        caller: &Caller,
        now: UnixMicros,
    ) -> Result<(Invite, Secret), Error> {
        let Self { email, role, teams } = self;
        let organization = &caller.organization.id;
        if let Some(bound) = implied(organization, *role) {
            may_give(admin, caller, &bound)?;
        }
        let mut promised: Vec<InvitedTo> = Vec::new();
        for (id, role) in teams {
            let team = teams::existing(admin, caller, id)?.ok_or_else(teams::not_found)?;
            let bound = Bound {
                role: *role,
                permissions: None,
                scope: Scope::Team(team.id.clone()),
            };
            may_give(admin, caller, &bound)?;
            promised.retain(|place| place.team_id != team.id);
            promised.push(InvitedTo {
                team_id: team.id,
                role: *role,
            });
        }
        let code = new_code(admin.entropy.as_ref());
        let digest = lw_crypto::digest(code.expose());
        let invite = Invite {
            id: InviteId::mint(now, admin.entropy.as_ref()),
            organization_id: organization.clone(),
            email: email.clone(),
            role: *role,
            teams: promised,
            hashed_code: HEXLOWER.encode(digest.as_bytes()),
            status: InviteStatus::Pending,
            expires_at: now.plus_micros(GOOD_US),
            created_by: caller.actor(),
            created_at: now,
        };
        Ok((invite, code))
    }
}

/// Teams are ids or slugs, or `{teamId, role?}`.
fn read_teams(entries: &[Value], path: &str, problems: &mut Problems) -> Vec<(String, BoundRole)> {
    if entries.len() > MOST_TEAMS {
        let text = format!("must hold at most {MOST_TEAMS} teams");
        problems.add(path, "too_big", text);
    }
    let mut teams = Vec::new();
    for (place, entry) in entries.iter().enumerate().take(MOST_TEAMS) {
        let path = format!("{path}.{place}");
        match entry {
            Value::String(id) if (1..=256).contains(&id.trim().chars().count()) => {
                teams.push((id.trim().to_owned(), BoundRole::Member));
            }
            Value::Object(map) => {
                let fields = Fields::new(map, path);
                let id = fields.trimmed("teamId", 1..=256, problems);
                let id = required(id, &fields, "teamId", problems);
                let role = fields.choice(&["role"], &PLAIN_ROLES, problems).value();
                let role = role.map_or(BoundRole::Member, bindings::role_of);
                teams.extend(id.map(|id| (id, role)));
            }
            _ => problems.add(
                path,
                "invalid_type",
                "must be the id or slug of a team, or an object of teamId and role",
            ),
        }
    }
    teams
}

fn is_address(text: &str) -> bool {
    let clean = |part: &str| {
        !part.is_empty()
            && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
    };
    text.split_once('@')
        .is_some_and(|(name, host)| clean(name) && clean(host))
}

fn new_code(entropy: &dyn Entropy) -> Secret {
    let mut random = lw_crypto::Zeroizing::new([0; 24]);
    entropy.fill(random.as_mut_slice());
    Secret::new(BASE64URL_NOPAD.encode(random.as_slice()))
}

/// Refuses addresses of members and of people who hold an invitation that is still good.
fn refuse_known(
    admin: &Admin,
    caller: &Caller,
    wishes: &[Wish],
    now: UnixMicros,
) -> Result<(), Error> {
    let organization = &caller.organization.id;
    let invites = admin.store.invites(organization).map_err(stored)?;
    let open: HashSet<&str> = invites
        .iter()
        .filter(|invite| invite.status == InviteStatus::Pending && invite.expires_at > now)
        .map(|invite| invite.email.as_str())
        .collect();
    let (mut members, mut invited) = (Vec::new(), Vec::new());
    for Wish { email, .. } in wishes {
        let user = admin.store.user_by_email(email).map_err(stored)?;
        let member = match user {
            Some(user) => admin
                .store
                .member(organization, &user.id)
                .map_err(stored)?
                .is_some(),
            None => false,
        };
        if member {
            members.push(email.as_str());
        } else if open.contains(email.as_str()) {
            invited.push(email.as_str());
        }
    }
    if members.is_empty() && invited.is_empty() {
        return Ok(());
    }
    let mut said = Vec::new();
    for (names, text) in [
        (&members, "already in the organization"),
        (&invited, "already invited"),
    ] {
        if !names.is_empty() {
            said.push(format!("{}: {}", text, names.join(", ")));
        }
    }
    let message = format!("Nobody was invited. {}.", said.join("; "));
    Err(Error::new(Code::AlreadyMember, message)
        .with("members", members)
        .with("invited", invited)
        .tip("Leave these addresses out, or revoke the pending invitation first."))
}

fn shown(invite: &Invite, now: UnixMicros) -> Value {
    let Invite {
        id,
        organization_id: _,
        email,
        role,
        teams,
        hashed_code: _,
        status: _,
        expires_at,
        created_by: _,
        created_at,
    } = invite;
    let teams: Vec<Value> = teams
        .iter()
        .map(|InvitedTo { team_id, role }| json!({ "teamId": team_id, "role": role }))
        .collect();
    json!({
        "id": id,
        "email": email,
        "role": role,
        "teams": teams,
        "status": if *expires_at > now { "pending" } else { "expired" },
        "expiresAt": expires_at.to_rfc3339(),
        "createdAt": created_at.to_rfc3339(),
    })
}

/// An invitation with the code that accepts it, which is shown this once.
fn minted(admin: &Admin, invite: &Invite, code: &Secret, now: UnixMicros) -> Value {
    let mut shown = shown(invite, now);
    if let Some(map) = shown.as_object_mut() {
        let (code, base) = (code.expose(), &admin.settings.ui_base_url);
        map.insert("inviteCode".into(), code.into());
        let url = format!("{base}/invite/accept?code={code}");
        map.insert("inviteUrl".into(), url.into());
    }
    shown
}
