//! New projects (management-api 16): in a team that exists, or in a new one.
//!
//! The project comes with a service key of its own that may do there what its maker may do, and no more:
//! ADMIN where the maker is one. Start at [`create`].

use lw_core::{Error, ProjectId, Secret, UnixMicros};
use lw_engine::access::{Access, Action, Permission, Place, Resource};
use lw_store::config::{Bound, Known, Write};
use lw_store::rows::{
    BoundRole, PermissionMode, PiiRedactionLevel, Project, ProjectKind, Scope, Team,
};
use serde_json::{Map, Value};

use super::{LONGEST, project, read_level, shown};
use crate::Admin;
use crate::api_keys::{Draft, Minted};
use crate::bindings::beyond;
use crate::caller::{Caller, grant, permission_denied, place_of};
use crate::edge::stored;
use crate::input::{BODY, Fields, Problems, refuse, required};
use crate::permission::ProjectCreate;
use crate::serve::{Answer, Call};
use crate::slug;
use crate::stamp;
use crate::teams::{self, NewTeam};
use crate::tenant::project_key;
use crate::write::{Act, also, commit, until_fresh};

/// `POST /projects`.
pub(super) fn create(call: &Call<ProjectCreate>) -> Result<Answer, Error> {
    let wish = Wish::read(&call.object()?)?;
    let (admin, caller) = (call.admin(), &*call.permit);
    until_fresh(
        || {
            let now = admin.clock.now();
            let home = wish.home(admin, caller, now)?;
            let row = wish.project(admin, caller, home.team(), now)?;
            let key = service_key(admin, caller, &row, now);
            let mut writes = home.writes();
            writes.push(Write::InsertProject(&row));
            writes.extend(key.writes());
            let mut change = lw_store::config::Change::default();
            let team = match &home {
                Home::New(new) => Some(new.created()),
                Home::Old(_) => None,
            };
            let made = Act {
                action: "project.created",
                target_id: row.id.as_str(),
                after: Some(shown(&row)),
                ..Act::default()
            };
            for act in team.into_iter().chain([made, key.created()]) {
                change = also(change, act.by(admin, caller, now));
            }
            let answer = Answer::created(with_key(&row, &key.token, key.key.id.as_str()))
                .at_revision(row.updated_at.millis());
            teams::named_apart(commit(admin, &writes, &change), answer)
        },
        stamp::conflict,
    )
}

/// What a body asks for.
#[derive(Debug)]
struct Wish {
    name: String,
    language: String,
    framework: String,
    team: Option<String>,
    new_team: Option<String>,
    level: PiiRedactionLevel,
}

/// The team of a new project.
#[derive(Debug)]
enum Home {
    Old(Team),
    New(NewTeam),
}

impl Home {
    const fn team(&self) -> &Team {
        match self {
            Self::Old(team) => team,
            Self::New(new) => &new.team,
        }
    }

    /// What must be written, or still be true, before the project is.
    fn writes(&self) -> Vec<Write<'_>> {
        match self {
            Self::Old(team) => vec![Write::StillIs(Known::Team(team))],
            Self::New(new) => new.writes(),
        }
    }
}

impl Wish {
    fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let mut text = |name: &'static str| {
            let given = fields.trimmed(name, 1..=LONGEST, &mut problems);
            required(given, &fields, name, &mut problems).unwrap_or_default()
        };
        let (name, language, framework) = (text("name"), text("language"), text("framework"));
        let team = fields.trimmed("teamId", 1..=256, &mut problems).value();
        let new_team = fields
            .trimmed("newTeamName", 1..=LONGEST, &mut problems)
            .value();
        if team.is_some() && new_team.is_some() {
            let text = "must be left out when teamId is there";
            problems.add("newTeamName", "invalid_value", text);
        }
        let level = read_level(&fields, &mut problems).unwrap_or_default();
        problems.finish()?;
        Ok(Self {
            name,
            language,
            framework,
            team,
            new_team,
            level,
        })
    }

    /// The team that was named, a new one, or the oldest where the caller may create projects.
    fn home(&self, admin: &Admin, caller: &Caller, now: UnixMicros) -> Result<Home, Error> {
        const MANAGE: Permission = Permission::new(Resource::Organization, Action::Manage);
        let create = project(Action::Create);
        if let Some(name) = &self.new_team {
            let whole = Scope::Organization(caller.organization.id.clone());
            caller.require(admin, MANAGE, &whole)?;
            return NewTeam::called(admin, caller, name, now).map(Home::New);
        }
        if let Some(id) = &self.team {
            return teams::reach(admin, caller, id, create).map(Home::Old);
        }
        let all = admin.store.teams(&caller.organization.id).map_err(stored)?;
        all.into_iter()
            .filter(teams::is_shown)
            .find(|team| {
                let place = Place::team(team.id.clone());
                caller.access.may(create, &place)
            })
            .map(Home::Old)
            .ok_or_else(|| {
                let text =
                    "is required: there is no team where this credential may create projects";
                refuse(BODY, "teamId", "required", text)
            })
    }

    fn project(
        &self,
        admin: &Admin,
        caller: &Caller,
        team: &Team,
        now: UnixMicros,
    ) -> Result<Project, Error> {
        let Self {
            name,
            language,
            framework,
            team: _,
            new_team: _,
            level,
        } = self;
        let organization = &caller.organization.id;
        let others = admin.store.projects(organization).map_err(stored)?;
        let taken = others.iter().map(|row| row.slug.as_str());
        let id = ProjectId::mint(now, admin.entropy.as_ref());
        let (entropy, pepper) = (admin.entropy.as_ref(), &admin.credential_pepper);
        let key = project_key(&id, entropy, pepper, &admin.sealer).map_err(|error| {
            let text = "a project key could not be sealed";
            Error::new(lw_core::Code::InternalError, text).because(error)
        })?;
        let row = Project {
            id,
            team_id: team.id.clone(),
            organization_id: organization.clone(),
            name: name.clone(),
            slug: slug::free(name, "project", taken),
            kind: ProjectKind::Application,
            language: language.clone(),
            framework: framework.clone(),
            pii_redaction_level: *level,
            key: Some(key),
            archived_at: None,
            created_at: now,
            updated_at: now,
        };
        // A team that is only about to be there cannot be asked: its maker runs the organization.
        if caller.access.may(project(Action::Create), &place_of(&row)) {
            Ok(row)
        } else {
            let scope = Scope::Team(team.id.clone());
            Err(permission_denied(project(Action::Create), &scope))
        }
    }
}

/// The service key of a new project: ADMIN there when its maker could be, else MEMBER, else exactly what its
/// maker may do there.
fn service_key(admin: &Admin, caller: &Caller, row: &Project, now: UnixMicros) -> Minted {
    let place = place_of(row);
    let scope = Scope::Project(row.id.clone());
    let fits = |role: &BoundRole| {
        let bound = Bound {
            role: *role,
            permissions: None,
            scope: scope.clone(),
        };
        beyond(&caller.access, &grant(&bound), &place).is_none()
    };
    let (mode, permissions, role) =
        match [BoundRole::Admin, BoundRole::Member].into_iter().find(fits) {
            Some(role) => (PermissionMode::All, Vec::new(), role),
            None => (
                PermissionMode::Restricted,
                held(&caller.access, &place),
                BoundRole::Custom,
            ),
        };
    let draft = Draft {
        organization: caller.organization.id.clone(),
        name: service_name(&row.name),
        description: Some("The service key that was made with the project.".to_owned()),
        owner: None,
        maker: caller.person().cloned(),
        mode,
        expires_at: None,
        permissions,
        bindings: vec![(role, scope)],
    };
    draft.mint(now, admin.entropy.as_ref(), &admin.credential_pepper)
}

/// What may be listed of what the caller may do there.
fn held(access: &Access, place: &Place) -> Vec<String> {
    let all = access.permissions_at(place).into_iter();
    all.filter(|each| each.resource.grantable() && !each.resource.organization_exclusive())
        .map(|each| each.to_string())
        .collect()
}

/// The name of the service key: that of the project, cut to what a key's name may be.
fn service_name(project: &str) -> String {
    let name: String = project.chars().take(80).collect();
    format!("{} service key", name.trim_end())
}

fn with_key(row: &Project, token: &Secret, id: &str) -> Value {
    let mut value = shown(row);
    if let Some(map) = value.as_object_mut() {
        map.insert("serviceApiKey".into(), token.expose().into());
        map.insert("serviceApiKeyId".into(), id.into());
    }
    value
}
