//! The flags of `gateway-budgets create` and `update`, and the bodies they make.

use clap::{Args, ValueEnum};

use super::flags::{
    Breach, IdempotencyFlag, LabelFlags, set_nulls, set_text, set_value, something,
};
use crate::args::{parse_timestamp, parse_usd};
use crate::error::CliError;
use crate::json::Json;

/// What a budget limits.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ScopeKind {
    Organization,
    Team,
    Project,
    #[value(alias = "virtual_key")]
    VirtualKey,
    /// One person
    Principal,
    /// Each member of a group
    Group,
    /// Each end user behind a virtual key or a project
    #[value(alias = "attributed_user")]
    AttributedUser,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Window {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    /// One period that never ends
    Total,
    /// One period that ends with `reset`
    Manual,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Enforcement {
    /// Refuse a call whose cost does not fit
    Strict,
    /// Refuse calls once the limit is reached
    Soft,
}

/// The flags of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateFlags {
    /// Name of the budget
    #[arg(long)]
    name: String,

    /// What the budget is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// What the budget limits; the flag of the same name takes its id
    #[arg(long, value_name = "TYPE", ignore_case = true)]
    scope: ScopeKind,

    #[command(flatten)]
    target: TargetFlags,

    /// How long a period lasts
    #[arg(long, value_name = "WINDOW", ignore_case = true)]
    window: Window,

    /// Dollars for one period; for one member of a group, for one person of an attributed user
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    limit: String,

    /// What happens at the limit
    #[arg(
        long,
        value_name = "ACTION",
        ignore_case = true,
        default_value = "block"
    )]
    on_breach: Breach,

    /// When calls are refused (default: the server's)
    #[arg(long, value_name = "MODE", ignore_case = true)]
    enforcement: Option<Enforcement>,

    /// Time zone to show beside the budget; periods follow UTC
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,

    /// Count only what this model provider costs
    #[arg(long, value_name = "ID")]
    provider_key: Option<String>,

    /// When the first period begins: ISO 8601 with an offset (default: by the calendar)
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    cycle_anchor_at: Option<String>,

    /// Create the budget even when no active key reaches its scope yet
    #[arg(long)]
    allow_unreachable: bool,

    #[command(flatten)]
    labels: LabelFlags,

    #[command(flatten)]
    idempotency: IdempotencyFlag,
}

/// Whose money it is: the id for the scope type.
#[derive(Args, Debug)]
struct TargetFlags {
    /// Organization, for --scope organization
    #[arg(long, value_name = "ID")]
    organization: Option<String>,

    /// Team, for --scope team
    #[arg(long, value_name = "ID")]
    team: Option<String>,

    /// Project, for --scope project
    #[arg(long, value_name = "ID")]
    project: Option<String>,

    /// Virtual key, for --scope virtual-key
    #[arg(long, value_name = "ID")]
    virtual_key: Option<String>,

    /// Person, for --scope principal
    #[arg(long, value_name = "ID")]
    principal: Option<String>,

    /// Group whose members get the limit each, for --scope group
    #[arg(long, value_name = "ID")]
    group: Option<String>,

    /// Virtual key whose end users get the limit each, for --scope attributed-user
    #[arg(long, value_name = "ID", conflicts_with = "anchor_project")]
    anchor_virtual_key: Option<String>,

    /// Project whose end users get the limit each, for --scope attributed-user
    #[arg(long, value_name = "ID")]
    anchor_project: Option<String>,
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// Id of the budget
    id: String,

    /// New name
    #[arg(long)]
    name: Option<String>,

    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Remove the description
    #[arg(long, conflicts_with = "description")]
    clear_description: bool,

    /// Dollars for one period
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    limit: Option<String>,

    /// What happens at the limit
    #[arg(long, value_name = "ACTION", ignore_case = true)]
    on_breach: Option<Breach>,

    /// When calls are refused
    #[arg(long, value_name = "MODE", ignore_case = true)]
    enforcement: Option<Enforcement>,

    /// Time zone to show beside the budget; periods follow UTC
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,

    /// Remove the time zone
    #[arg(long, conflicts_with = "timezone")]
    clear_timezone: bool,

    #[command(flatten)]
    labels: LabelFlags,

    /// Remove all labels
    #[arg(long, conflicts_with = "metadata")]
    clear_metadata: bool,
}

impl CreateFlags {
    pub(crate) fn idempotency_key(&self) -> Option<&str> {
        self.idempotency.key()
    }

    pub(crate) fn body(&self) -> Result<Json, CliError> {
        let Self {
            name,
            description,
            scope,
            target,
            window,
            limit,
            on_breach,
            enforcement,
            timezone,
            provider_key,
            cycle_anchor_at,
            allow_unreachable,
            labels,
            idempotency: _,
        } = self;
        let mut body = Json::object([
            ("scope", target.of(*scope)?),
            ("name", name.as_str().into()),
        ]);
        set_text(&mut body, "description", description.as_deref());
        set_value(&mut body, "window", Some(*window));
        body.set("limit_usd", limit.as_str().into());
        set_value(&mut body, "on_breach", Some(*on_breach));
        set_value(&mut body, "enforcement", *enforcement);
        set_text(&mut body, "timezone", timezone.as_deref());
        set_text(&mut body, "provider_key", provider_key.as_deref());
        set_text(&mut body, "cycle_anchor_at", cycle_anchor_at.as_deref());
        if *allow_unreachable {
            body.set("allow_unreachable", true.into());
        }
        labels.add_to(&mut body);
        Ok(body)
    }
}

impl TargetFlags {
    /// The scope as the API takes it. Ids for other scope types are not looked at.
    fn of(&self, kind: ScopeKind) -> Result<Json, CliError> {
        let Self {
            organization,
            team,
            project,
            virtual_key,
            principal,
            group,
            anchor_virtual_key,
            anchor_project,
        } = self;
        let (flags, field, id) = match kind {
            ScopeKind::Organization => ("--organization <id>", "organization_id", organization),
            ScopeKind::Team => ("--team <id>", "team_id", team),
            ScopeKind::Project => ("--project <id>", "project_id", project),
            ScopeKind::VirtualKey => ("--virtual-key <id>", "virtual_key_id", virtual_key),
            ScopeKind::Principal => ("--principal <id>", "principal_user_id", principal),
            ScopeKind::Group => ("--group <id>", "group_id", group),
            ScopeKind::AttributedUser if anchor_project.is_some() => {
                ("", "anchor_project_id", anchor_project)
            }
            ScopeKind::AttributedUser => (
                "--anchor-virtual-key <id> or --anchor-project <id>",
                "anchor_virtual_key_id",
                anchor_virtual_key,
            ),
        };
        let mut scope = Json::Object(Vec::new());
        set_value(&mut scope, "kind", Some(kind));
        let Some(id) = id.as_deref().map(str::trim).filter(|id| !id.is_empty()) else {
            let kind = kind.to_possible_value();
            let kind = kind.as_ref().map_or("", |kind| kind.get_name());
            let text = format!("--scope {kind} needs {flags}.");
            return Err(CliError::usage(text));
        };
        scope.set(field, id.into());
        Ok(scope)
    }
}

impl UpdateFlags {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn body(&self) -> Result<Json, CliError> {
        let Self {
            id: _,
            name,
            description,
            clear_description,
            limit,
            on_breach,
            enforcement,
            timezone,
            clear_timezone,
            labels,
            clear_metadata,
        } = self;
        let mut body = Json::Object(Vec::new());
        set_text(&mut body, "name", name.as_deref());
        set_text(&mut body, "description", description.as_deref());
        set_text(&mut body, "limit_usd", limit.as_deref());
        set_value(&mut body, "on_breach", *on_breach);
        set_value(&mut body, "enforcement", *enforcement);
        set_text(&mut body, "timezone", timezone.as_deref());
        labels.add_to(&mut body);
        set_nulls(
            &mut body,
            &[
                (*clear_description, "description"),
                (*clear_timezone, "timezone"),
            ],
        );
        if *clear_metadata {
            body.set("metadata", Json::Object(Vec::new()));
        }
        something(
            body,
            "--name, --description, --limit, --on-breach, --enforcement, --timezone, \
             --external-id, --metadata, or a --clear-… flag",
        )
    }
}
