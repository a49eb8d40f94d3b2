//! What a budget can be for: one word for the rows that keep it and for the decisions about it.

use serde::{Deserialize, Serialize};

use crate::{GroupId, OrganizationId, ProjectId, TeamId, UserId, VirtualKeyId};

/// What a budget is for (domain 11 and 13.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum BudgetTarget {
    /// All calls of an organization.
    Organization(OrganizationId),
    /// Calls of a team.
    Team(TeamId),
    /// Calls that are filed into a project.
    Project(ProjectId),
    /// Calls of a key.
    VirtualKey(VirtualKeyId),
    /// Calls of a person's keys.
    Principal(UserId),
    /// Calls of the keys of each member of a group, member by member.
    Group(GroupId),
    /// Calls of each end user of a key.
    EndUsersOfKey(VirtualKeyId),
    /// Calls of each end user in a project.
    EndUsersOfProject(ProjectId),
}

impl BudgetTarget {
    /// Every word of [`Self::scope_type`].
    pub const SCOPES: [&'static str; 7] = [
        "organization",
        "team",
        "project",
        "virtual_key",
        "principal",
        "group",
        "attributed_user",
    ];

    /// `scope_type` as REST shows it. Sorted as text, stored and shown spellings have one order.
    #[must_use]
    pub const fn scope_type(&self) -> &'static str {
        match self {
            Self::Organization(_) => "organization",
            Self::Team(_) => "team",
            Self::Project(_) => "project",
            Self::VirtualKey(_) => "virtual_key",
            Self::Principal(_) => "principal",
            Self::Group(_) => "group",
            Self::EndUsersOfKey(_) | Self::EndUsersOfProject(_) => "attributed_user",
        }
    }

    /// `scope_id`: the target, or the anchor of a template.
    #[must_use]
    pub fn scope_id(&self) -> &str {
        match self {
            Self::Organization(id) => id.as_str(),
            Self::Team(id) => id.as_str(),
            Self::Project(id) | Self::EndUsersOfProject(id) => id.as_str(),
            Self::VirtualKey(id) | Self::EndUsersOfKey(id) => id.as_str(),
            Self::Principal(id) => id.as_str(),
            Self::Group(id) => id.as_str(),
        }
    }
}
