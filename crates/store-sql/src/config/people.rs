//! People, their memberships, their places in teams and groups, and invitations.

use lw_core::{GroupId, OrganizationId, TeamId, UnixMicros, UserId};
use lw_store::config::{ChangeEvent, Member, Membership};
use lw_store::rows::{BudgetTarget, Group, Invite, MemberRole, TeamMember, User};
use rusqlite::{Connection, Row};

use super::budgets;
use super::columns::{
    corrupt, get, id, id_option, micros, serde_word, text, time, time_option, to_word,
};
use super::document::{self, Document, head};
use super::statement::Fields;
use super::tenants::read_organization;
use crate::sqlite::{DbError, all, one, run};

pub(super) fn insert_user(db: &Connection, row: &User) -> Result<(), DbError> {
    user_fields(row).insert(db)
}

pub(super) fn update_user(db: &Connection, row: &User) -> Result<(), DbError> {
    user_fields(row).update(db, None)
}

fn user_fields(row: &User) -> Fields<'_> {
    let User {
        id,
        email,
        name,
        password_hash,
        created_at,
    } = row;
    Fields::of("users")
        .key("id", id.as_str())
        .keep("created_at", created_at.0)
        .set("email", email.as_deref().map(str::to_lowercase))
        .set("name", name)
        .set("password_hash", password_hash)
}

pub(super) fn user(db: &Connection, id: &UserId) -> Result<Option<User>, DbError> {
    one(
        db,
        "SELECT * FROM users WHERE id = $1",
        [id.as_str()],
        read_user,
    )
}

pub(super) fn user_by_email(db: &Connection, email: &str) -> Result<Option<User>, DbError> {
    one(
        db,
        "SELECT * FROM users WHERE email = $1",
        [email.to_lowercase()],
        read_user,
    )
}

// Memberships.

fn membership<'a>(organization: &'a OrganizationId, user: &'a UserId) -> Fields<'a> {
    Fields::of("organization_users")
        .key("organization_id", organization.as_str())
        .key("user_id", user.as_str())
}

pub(super) fn put_member(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
    role: MemberRole,
    disabled_at: Option<UnixMicros>,
    now: UnixMicros,
) -> Result<(), DbError> {
    membership(organization, user)
        .keep("created_at", now.0)
        .set("role", to_word(&role)?)
        .set("disabled_at", micros(disabled_at))
        .put(db)
}

/// Ends a membership; returns the events of leaving each team and group.
pub(super) fn remove_member(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Vec<ChangeEvent>, DbError> {
    let teams = teams_of(db, organization, user)?.into_iter();
    let groups = groups_of(db, organization, user)?.into_iter();
    let mut events = Vec::new();
    for target in teams
        .map(|place| BudgetTarget::Team(place.team_id))
        .chain(groups.map(BudgetTarget::Group))
    {
        events.extend(budgets::members_changed(db, organization, &target)?);
    }
    for sql in [
        "DELETE FROM role_bindings WHERE organization_id = $1 AND user_id = $2",
        "DELETE FROM team_users WHERE organization_id = $1 AND user_id = $2",
        "DELETE FROM group_members WHERE organization_id = $1 AND user_id = $2",
    ] {
        run(db, sql, [organization.as_str(), user.as_str()])?;
    }
    membership(organization, user).delete(db, None)?;
    Ok(events)
}

pub(super) fn is_member(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<bool, DbError> {
    membership(organization, user).exists(db)
}

const MEMBER: &str = "SELECT u.*, m.role, m.disabled_at, m.created_at AS joined_at
    FROM organization_users m JOIN users u ON u.id = m.user_id WHERE m.organization_id = $1";

pub(super) fn members(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<Member>, DbError> {
    all(
        db,
        &format!("{MEMBER} ORDER BY m.created_at, m.user_id"),
        [organization.as_str()],
        read_member,
    )
}

pub(super) fn member(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Option<Member>, DbError> {
    one(
        db,
        &format!("{MEMBER} AND m.user_id = $2"),
        [organization.as_str(), user.as_str()],
        read_member,
    )
}

pub(super) fn memberships(db: &Connection, user: &UserId) -> Result<Vec<Membership>, DbError> {
    all(
        db,
        "SELECT o.*, m.role, m.disabled_at
         FROM organization_users m JOIN organizations o ON o.id = m.organization_id
         WHERE m.user_id = $1 ORDER BY o.created_at, o.id",
        [user.as_str()],
        |row| {
            Ok(Membership {
                organization: read_organization(row)?,
                role: serde_word(row, "role")?,
                disabled_at: time_option(row, "disabled_at")?,
            })
        },
    )
}

// Teams.

fn place<'a>(organization: &'a OrganizationId, team: &'a TeamId, user: &'a UserId) -> Fields<'a> {
    Fields::of("team_users")
        .key("organization_id", organization.as_str())
        .key("team_id", team.as_str())
        .key("user_id", user.as_str())
}

/// Adds or changes a place; returns the events if the person joined.
pub(super) fn put_team_member(
    db: &Connection,
    organization: &OrganizationId,
    row: &TeamMember,
) -> Result<Vec<ChangeEvent>, DbError> {
    let TeamMember {
        team_id,
        user_id,
        role,
        custom_role_id,
    } = row;
    let fields = place(organization, team_id, user_id)
        .set("role", to_word(role)?)
        .set("custom_role_id", text(custom_role_id.as_ref()));
    let joined = !fields.exists(db)?;
    fields.put(db)?;
    if joined {
        let target = BudgetTarget::Team(team_id.clone());
        budgets::members_changed(db, organization, &target)
    } else {
        Ok(Vec::new())
    }
}

pub(super) fn remove_team_member(
    db: &Connection,
    organization: &OrganizationId,
    team: &TeamId,
    user: &UserId,
) -> Result<Vec<ChangeEvent>, DbError> {
    place(organization, team, user).delete(db, None)?;
    budgets::members_changed(db, organization, &BudgetTarget::Team(team.clone()))
}

pub(super) fn team_members(
    db: &Connection,
    organization: &OrganizationId,
    team: &TeamId,
) -> Result<Vec<TeamMember>, DbError> {
    all(
        db,
        "SELECT * FROM team_users WHERE organization_id = $1 AND team_id = $2 ORDER BY user_id",
        [organization.as_str(), team.as_str()],
        read_place,
    )
}

pub(super) fn teams_of(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Vec<TeamMember>, DbError> {
    all(
        db,
        "SELECT * FROM team_users WHERE organization_id = $1 AND user_id = $2 ORDER BY team_id",
        [organization.as_str(), user.as_str()],
        read_place,
    )
}

/// The live teams that a person shares with others, by id: none that is somebody's own.
pub(super) fn shared_teams_of(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Vec<TeamId>, DbError> {
    all(
        db,
        "SELECT m.team_id FROM team_users m
         JOIN teams t ON t.organization_id = m.organization_id AND t.id = m.team_id
         WHERE m.organization_id = $1 AND m.user_id = $2
           AND t.archived_at IS NULL AND t.personal_owner IS NULL
         ORDER BY m.team_id",
        [organization.as_str(), user.as_str()],
        |row| id(row, "team_id"),
    )
}

// Groups.

impl Document for Group {
    const TABLE: &'static str = "user_groups";
    const GET: &'static str = "SELECT * FROM user_groups WHERE organization_id = $1 AND id = $2";

    fn fields(&self) -> Result<Fields<'_>, DbError> {
        Ok(head(Self::TABLE, &self.organization_id, self.id.as_str())
            .keep("created_at", self.created_at.0)
            .set("slug", &self.slug))
    }

    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        self.created_at = time(row, "created_at")?;
        Ok(())
    }
}

pub(super) fn groups(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<(Group, u64)>, DbError> {
    all(
        db,
        "SELECT g.*, (SELECT count(*) FROM group_members m
                      WHERE m.organization_id = g.organization_id AND m.group_id = g.id) AS people
         FROM user_groups g WHERE g.organization_id = $1 ORDER BY g.created_at, g.id",
        [organization.as_str()],
        |row| {
            let people: i64 = get(row, "people")?;
            let people = u64::try_from(people).map_err(|error| corrupt("people", &error))?;
            Ok((document::read(row)?, people))
        },
    )
}

fn group_place<'a>(
    organization: &'a OrganizationId,
    group: &'a GroupId,
    user: &'a UserId,
) -> Fields<'a> {
    Fields::of("group_members")
        .key("organization_id", organization.as_str())
        .key("group_id", group.as_str())
        .key("user_id", user.as_str())
}

/// Adds a person; returns the events if they were not there.
pub(super) fn add_group_member(
    db: &Connection,
    organization: &OrganizationId,
    group: &GroupId,
    user: &UserId,
) -> Result<Vec<ChangeEvent>, DbError> {
    let fields = group_place(organization, group, user);
    if fields.exists(db)? {
        return Ok(Vec::new());
    }
    fields.insert(db)?;
    budgets::members_changed(db, organization, &BudgetTarget::Group(group.clone()))
}

pub(super) fn remove_group_member(
    db: &Connection,
    organization: &OrganizationId,
    group: &GroupId,
    user: &UserId,
) -> Result<Vec<ChangeEvent>, DbError> {
    group_place(organization, group, user).delete(db, None)?;
    budgets::members_changed(db, organization, &BudgetTarget::Group(group.clone()))
}

pub(super) fn group_members(
    db: &Connection,
    organization: &OrganizationId,
    group: &GroupId,
) -> Result<Vec<User>, DbError> {
    all(
        db,
        "SELECT u.* FROM group_members m JOIN users u ON u.id = m.user_id
         WHERE m.organization_id = $1 AND m.group_id = $2 ORDER BY u.id",
        [organization.as_str(), group.as_str()],
        read_user,
    )
}

pub(super) fn groups_of(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Vec<GroupId>, DbError> {
    all(
        db,
        "SELECT group_id FROM group_members WHERE organization_id = $1 AND user_id = $2
         ORDER BY group_id",
        [organization.as_str(), user.as_str()],
        |row| id(row, "group_id"),
    )
}

// Invitations.

impl Document for Invite {
    const TABLE: &'static str = "invites";
    const GET: &'static str = "SELECT * FROM invites WHERE organization_id = $1 AND id = $2";

    fn fields(&self) -> Result<Fields<'_>, DbError> {
        Ok(head(Self::TABLE, &self.organization_id, self.id.as_str())
            .keep("created_at", self.created_at.0)
            .keep("created_by", &self.created_by))
    }

    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        self.created_at = time(row, "created_at")?;
        self.created_by = get(row, "created_by")?;
        Ok(())
    }
}

pub(super) fn invites(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<Invite>, DbError> {
    all(
        db,
        "SELECT * FROM invites WHERE organization_id = $1 ORDER BY created_at DESC, id DESC",
        [organization.as_str()],
        document::read,
    )
}

// Rows.

fn read_user(row: &Row<'_>) -> Result<User, DbError> {
    Ok(User {
        id: id(row, "id")?,
        email: get(row, "email")?,
        name: get(row, "name")?,
        password_hash: get(row, "password_hash")?,
        created_at: time(row, "created_at")?,
    })
}

fn read_member(row: &Row<'_>) -> Result<Member, DbError> {
    Ok(Member {
        user: read_user(row)?,
        role: serde_word(row, "role")?,
        disabled_at: time_option(row, "disabled_at")?,
        created_at: time(row, "joined_at")?,
    })
}

fn read_place(row: &Row<'_>) -> Result<TeamMember, DbError> {
    Ok(TeamMember {
        team_id: id(row, "team_id")?,
        user_id: id(row, "user_id")?,
        role: serde_word(row, "role")?,
        custom_role_id: id_option(row, "custom_role_id")?,
    })
}
