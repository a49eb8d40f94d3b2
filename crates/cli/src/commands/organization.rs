//! `organization`: the organization that the key belongs to.

use clap::{Args, Subcommand, ValueEnum};
use ureq::http::Method;

use super::bare;
use super::resource::{Cell, Resource, lines, set_text, something};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;
use crate::output::OutputArgs;
use crate::style::Style;

const EXAMPLES: &str = "\
Examples:
  langwatch organization get
  langwatch organization update --support-contact it@acme.example";

const UPDATE_EXAMPLES: &str = "\
Examples:
  langwatch organization update --name \"Acme Corp\" --support-contact it@acme.example
  langwatch organization update --no-presence --trace-sharing
  langwatch organization update --payload-capture redacted";

const ORGANIZATION: Resource = Resource {
    name: "Organization",
    base: "/api/organization",
    wrapper: "organization",
    columns: &[],
    details: &[
        ("ID", Cell::Field("id")),
        ("Name", Cell::Field("name")),
        ("Slug", Cell::Field("slug")),
        ("Support contact", Cell::Field("supportContact")),
        ("Presence", Cell::Made(presence)),
        ("Trace sharing", Cell::Made(trace_sharing)),
        ("Payload capture", Cell::Made(payload_capture)),
        ("Created", Cell::When("createdAt")),
        ("Updated", Cell::When("updatedAt")),
    ],
    empty: "",
};

/// The `organization` group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct OrganizationArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: OrganizationCommand,
}

/// The `organization` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// Show the organization
    Get,
    /// Change the organization; what is not named stays
    #[command(after_help = UPDATE_EXAMPLES)]
    Update(UpdateFlags),
}

/// The flags of `update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateFlags {
    /// New name
    #[arg(long)]
    name: Option<String>,

    /// Whom refusals tell people to ask
    #[arg(long, value_name = "TEXT")]
    support_contact: Option<String>,

    /// Show who else is looking at a page
    #[arg(long, overrides_with = "no_presence")]
    presence: bool,

    /// Do not show who else is looking at a page
    #[arg(long, overrides_with = "presence")]
    no_presence: bool,

    /// Let people share traces by link
    #[arg(long, overrides_with = "no_trace_sharing")]
    trace_sharing: bool,

    /// Do not let people share traces by link
    #[arg(long, overrides_with = "trace_sharing")]
    no_trace_sharing: bool,

    /// What traces keep of requests and answers, for keys that do not say it themselves; off counts for
    /// every key
    #[arg(long, value_name = "MODE", ignore_case = true)]
    payload_capture: Option<Capture>,
}

/// What traces keep of requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Capture {
    /// Everything
    Raw,
    /// Everything, personal data taken out
    Redacted,
    /// Sizes and counts only
    MetadataOnly,
    /// Nothing
    None,
    /// Nothing, whatever the keys say
    Off,
}

impl Capture {
    /// Whether anything is kept, and the default mode; `off` leaves the mode for when it ends.
    const fn fields(self) -> (bool, Option<&'static str>) {
        match self {
            Self::Raw => (true, Some("raw")),
            Self::Redacted => (true, Some("redacted")),
            Self::MetadataOnly => (true, Some("metadata_only")),
            Self::None => (true, Some("none")),
            Self::Off => (false, Option::None),
        }
    }
}

pub(crate) fn run(command: OrganizationCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        OrganizationCommand::Get => {
            let request = ORGANIZATION.all(Method::GET);
            let answer = context.send("get the organization", &request)?;
            context.show(bare(answer, ORGANIZATION.wrapper), |value, style| {
                lines(value, style, ORGANIZATION.details)
            })
        }
        OrganizationCommand::Update(flags) => {
            let request = ORGANIZATION.all(Method::PATCH).body(flags.body()?);
            ORGANIZATION.change(context, "update the organization", &request, "updated")
        }
    }
}

impl UpdateFlags {
    fn body(&self) -> Result<Json, CliError> {
        let Self {
            name,
            support_contact,
            presence,
            no_presence,
            trace_sharing,
            no_trace_sharing,
            payload_capture,
        } = self;
        let mut body = Json::object([]);
        set_text(&mut body, "name", name.as_deref());
        set_text(&mut body, "supportContact", support_contact.as_deref());
        for (field, on, off) in [
            ("presenceEnabled", presence, no_presence),
            ("traceSharingEnabled", trace_sharing, no_trace_sharing),
        ] {
            if *on || *off {
                body.set(field, (*on).into());
            }
        }
        if let Some((enabled, mode)) = payload_capture.map(Capture::fields) {
            body.set("payloadCaptureEnabled", enabled.into());
            set_text(&mut body, "payloadCaptureDefault", mode);
        }
        something(
            body,
            "--name, --support-contact, --[no-]presence, --[no-]trace-sharing, --payload-capture",
        )
    }
}

fn switch(row: &Json, field: &str) -> Option<String> {
    let on = row.get(field)?.as_bool()?;
    Some(if on { "on" } else { "off" }.to_owned())
}

fn presence(row: &Json, _: Style) -> Option<String> {
    switch(row, "presenceEnabled")
}

fn trace_sharing(row: &Json, _: Style) -> Option<String> {
    switch(row, "traceSharingEnabled")
}

fn payload_capture(row: &Json, _: Style) -> Option<String> {
    match row.get("payloadCaptureEnabled")?.as_bool()? {
        true => row.text("payloadCaptureDefault").map(crate::table::clean),
        false => Some("off".to_owned()),
    }
}
