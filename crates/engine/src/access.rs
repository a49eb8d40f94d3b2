//! Who may do what: roles, bindings, and the two factors of an API key (domain 4.1 to 4.6, C-6, C-9).
//!
//! The caller brings the facts of one organization: the bindings of a key, of its owner, or of a
//! person. Nothing outside of that organization can be asked for. Must never grant what is not bound:
//! whatever is unknown, disabled or malformed grants nothing. Start at [`Access::may`].

mod roles;
mod vocabulary;

#[cfg(test)]
mod tests;

use lw_core::{ProjectId, TeamId};

pub use self::roles::{Role, vocabulary};
pub use self::vocabulary::{Action, Permission, Resource};

/// Where a binding sits, inside of one organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Level {
    /// The organization.
    Organization,
    /// One team, with its projects.
    Team(TeamId),
    /// One project.
    Project(ProjectId),
}

impl Level {
    /// Whether a binding at this level applies at `place`: it names the place or something above it.
    #[must_use]
    pub fn covers(&self, place: &Place) -> bool {
        match self {
            Self::Organization => true,
            Self::Team(id) => place.team.as_ref() == Some(id),
            Self::Project(id) => place.project.as_ref() == Some(id),
        }
    }
}

/// Where something is done, with everything above it: the organization, a team, or a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place {
    team: Option<TeamId>,
    project: Option<ProjectId>,
}

impl Place {
    /// The organization itself.
    #[must_use]
    pub const fn organization() -> Self {
        Self {
            team: None,
            project: None,
        }
    }

    /// A team.
    #[must_use]
    pub const fn team(id: TeamId) -> Self {
        Self {
            team: Some(id),
            project: None,
        }
    }

    /// A project and the team that it belongs to.
    #[must_use]
    pub const fn project(id: ProjectId, team: TeamId) -> Self {
        Self {
            team: Some(team),
            project: Some(id),
        }
    }
}

/// A role that somebody has at a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// What a [`Role::Custom`] lists; other roles ignore it. Missing, empty and malformed (which the
    /// caller passes as `None`) make the grant a VIEWER's.
    pub permissions: Option<Vec<Permission>>,
    /// Where.
    pub level: Level,
}

impl Grant {
    /// One of the roles that need no list.
    #[must_use]
    pub const fn of(role: Role, level: Level) -> Self {
        Self {
            role,
            permissions: None,
            level,
        }
    }

    /// A role of its own that lists permissions.
    #[must_use]
    pub const fn custom(permissions: Vec<Permission>, level: Level) -> Self {
        Self {
            role: Role::Custom,
            permissions: Some(permissions),
            level,
        }
    }

    /// Whether this grants `wanted` at `place`.
    fn allows(&self, wanted: Permission, place: &Place) -> bool {
        let at_organization = matches!(self.level, Level::Organization);
        self.level.covers(place)
            && roles::granted(
                self.role,
                self.permissions.as_deref(),
                at_organization,
                wanted,
            )
    }

    /// Whether this lists `wanted` itself and applies at `place`; `manage` does not count.
    fn lists(&self, wanted: Permission, place: &Place) -> bool {
        self.role == Role::Custom
            && self.allows(wanted, place)
            && self
                .permissions
                .iter()
                .flatten()
                .any(|listed| listed.same_as(wanted))
    }
}

/// What a person is to the organization (domain 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Membership {
    /// Runs it: as if bound as ADMIN at the organization.
    Admin,
    /// Belongs to it: as if bound as MEMBER at the organization.
    Member,
    /// A lite member: the lite list where the person is bound, and nothing else.
    External,
}

/// A person with all that the person was granted in the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// What the person is to the organization.
    pub membership: Membership,
    /// Whether the membership is current. A disabled one grants nothing.
    pub enabled: bool,
    /// The person's own bindings and those of the person's groups.
    pub grants: Vec<Grant>,
}

impl Owner {
    fn may(&self, wanted: Permission, place: &Place) -> bool {
        let Self {
            membership,
            enabled,
            grants,
        } = self;
        if !enabled {
            return false;
        }
        let implied = match membership {
            Membership::External => {
                return roles::lite(wanted)
                    && grants.iter().any(|grant| {
                        grant.level != Level::Organization && grant.level.covers(place)
                    });
            }
            Membership::Admin => Role::Admin,
            Membership::Member => Role::Member,
        };
        roles::granted(implied, None, true, wanted)
            || grants.iter().any(|grant| grant.allows(wanted, place))
    }
}

/// How much of its grants an API key uses (domain 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// All of them.
    All,
    /// Only what looks.
    ReadOnly,
    /// All of them; they come from custom roles.
    Restricted,
}

/// What a caller may do in one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access(Factors);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Factors {
    /// An API key: its own grants, cut by the mode and by what the owner may do.
    Key {
        grants: Vec<Grant>,
        owner: Option<Owner>,
        mode: Mode,
    },
    /// A person without a key in between.
    Person(Owner),
    /// The legacy key of a project.
    Project(Level),
}

impl Access {
    /// The access of an API key. `owner` is `None` for a service key only: the key of somebody who left
    /// has an owner who is not enabled.
    #[must_use]
    pub const fn key(grants: Vec<Grant>, owner: Option<Owner>, mode: Mode) -> Self {
        Self(Factors::Key {
            grants,
            owner,
            mode,
        })
    }

    /// The access of a person who signed in.
    #[must_use]
    pub const fn person(owner: Owner) -> Self {
        Self(Factors::Person(owner))
    }

    /// The access of a legacy project key: everything at exactly its own project, except what only the
    /// organization can grant (domain 4.5).
    #[must_use]
    pub const fn everything_at_project(project: ProjectId) -> Self {
        Self(Factors::Project(Level::Project(project)))
    }

    /// Whether the caller may do `wanted` at `place`.
    #[must_use]
    pub fn may(&self, wanted: Permission, place: &Place) -> bool {
        match &self.0 {
            Factors::Key {
                grants,
                owner,
                mode,
            } => {
                mode.keeps(wanted)
                    && grants.iter().any(|grant| grant.allows(wanted, place))
                    && owner.as_ref().is_none_or(|owner| owner.may(wanted, place))
            }
            Factors::Person(owner) => owner.may(wanted, place),
            Factors::Project(level) => {
                level.covers(place)
                    && wanted.resource.grantable()
                    && !wanted.resource.organization_exclusive()
            }
        }
    }

    /// Whether the caller is an API key whose own custom role at `place` or above lists exactly
    /// `wanted`, and whose owner, if any, may do it there (C-6). `manage` in the key's list does not
    /// count as listing; in the owner's hands it does count as holding.
    #[must_use]
    pub fn explicitly(&self, wanted: Permission, place: &Place) -> bool {
        let Factors::Key {
            grants,
            owner,
            mode,
        } = &self.0
        else {
            return false;
        };
        mode.keeps(wanted)
            && grants.iter().any(|grant| grant.lists(wanted, place))
            && owner.as_ref().is_none_or(|owner| owner.may(wanted, place))
    }

    /// The levels that the caller is bound at: those of a key and those of its owner, because what both
    /// hold may be narrower than either says alone. Who asks whether something is held anywhere resolves
    /// each to its place and asks [`Self::may`].
    pub fn levels(&self) -> impl Iterator<Item = &Level> {
        let (key, person): (&[Grant], Option<&Owner>) = match &self.0 {
            Factors::Key { grants, owner, .. } => (grants, owner.as_ref()),
            Factors::Person(owner) => (&[], Some(owner)),
            Factors::Project(_) => (&[], None),
        };
        let own = match &self.0 {
            Factors::Project(level) => Some(level),
            Factors::Key { .. } | Factors::Person(_) => None,
        };
        let implied = person.and_then(|owner| match owner.membership {
            Membership::Admin | Membership::Member => Some(&Level::Organization),
            Membership::External => None,
        });
        let of_person = person.map_or(&[][..], |owner| &owner.grants);
        own.into_iter()
            .chain(implied)
            .chain(key.iter().chain(of_person).map(|grant| &grant.level))
    }

    /// The projects that an API key itself is bound to (domain 5.4).
    pub fn bound_projects(&self) -> impl Iterator<Item = &ProjectId> {
        let grants: &[Grant] = match &self.0 {
            Factors::Key { grants, .. } => grants,
            Factors::Person(_) | Factors::Project(_) => &[],
        };
        grants.iter().filter_map(|grant| match &grant.level {
            Level::Project(id) => Some(id),
            Level::Organization | Level::Team(_) => None,
        })
    }

    /// All that the caller may do at `place`, implied permissions included, sorted as text.
    #[must_use]
    pub fn permissions_at(&self, place: &Place) -> Vec<Permission> {
        let mut all: Vec<_> = Permission::all()
            .filter(|wanted| self.may(*wanted, place))
            .collect();
        all.sort_by_key(|held| (held.resource.as_str(), held.action.as_str()));
        all
    }

    /// Whether the caller may do at `place` all that `wanted` would allow there: the ceiling for the
    /// bindings of a new key (domain 5.1). `place` is the place of the grant's own level; what holds
    /// there holds below it.
    #[must_use]
    pub fn within(&self, wanted: &Grant, place: &Place) -> bool {
        Permission::all().all(|each| !wanted.allows(each, place) || self.may(each, place))
    }
}

impl Mode {
    /// The mode as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::ReadOnly => "readonly",
            Self::Restricted => "restricted",
        }
    }

    /// Reads a mode.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::All, Self::ReadOnly, Self::Restricted]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }

    const fn keeps(self, wanted: Permission) -> bool {
        match self {
            Self::ReadOnly => matches!(wanted.action, Action::View),
            Self::All | Self::Restricted => true,
        }
    }
}
