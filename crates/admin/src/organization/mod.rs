//! The caller's organization: itself, its people and who is invited (management-api 19, domain 3.1, 3.4).
//!
//! An organization keeps an administrator who is enabled. Whoever leaves or is disabled loses every
//! personal key at once. Start at [`update`]; people are in [`members`], invitations in [`invites`].

mod invites;
mod members;

use http::Method;
use lw_core::{Code, Error};
use lw_store::config::{ChangeEvent, ChangeKind, Known, Write};
use lw_store::rows::{CaptureMode, Organization, OrganizationSettings};
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::edge::Family::Organization as Family;
use crate::edge::stored;
use crate::input::{BODY, Fields, Given, Problems, never_null};
use crate::permission::{OrganizationManage, OrganizationView};
use crate::routes::Route;
use crate::schemas::{
    Named, boolean, if_match, input, named, object, one_of, or_null, text, text_of, time, whole,
};
use crate::serve::{Answer, Call};
use crate::stamp;
use crate::write::{Act, Tried, commit, until_fresh};

pub(crate) use self::members::{existing as member, not_found as member_not_found};

/// The words of [`CaptureMode`].
const CAPTURE: [&str; 4] = ["raw", "redacted", "metadata_only", "none"];
/// The longest sign-in that may be set: ten years.
const MOST_DAYS: u64 = 3_650;

/// The rows of the table.
pub(crate) fn routes() -> Vec<Route> {
    let path = "/api/organization";
    let mut rows = vec![
        Route::new::<OrganizationView>(Family, Method::GET, path, get)
            .named("getOrganization", "Read the organization")
            .answers(200, named("Organization")),
        Route::new::<OrganizationManage>(Family, Method::PATCH, path, update)
            .named("updateOrganization", "Change the organization")
            .headers(vec![if_match()])
            .body(named("OrganizationPatch"))
            .answers(200, named("Organization"))
            .refuses(&[Code::RevisionConflict]),
    ];
    rows.extend(members::routes());
    rows.extend(invites::routes());
    rows
}

/// The shapes of the API description.
pub(crate) fn schemas() -> Vec<Named> {
    let mut all = vec![
        (
            "Organization",
            object(
                &[
                    ("id", text()),
                    ("name", text()),
                    ("slug", text()),
                    ("supportContact", or_null(text())),
                    ("maxSessionDurationDays", whole()),
                    ("presenceEnabled", boolean()),
                    ("traceSharingEnabled", boolean()),
                    ("primaryIntent", or_null(text())),
                    ("payloadCaptureEnabled", boolean()),
                    ("payloadCaptureDefault", one_of(&CAPTURE)),
                    ("createdAt", time()),
                    ("updatedAt", time()),
                ],
                &[],
            ),
        ),
        (
            "OrganizationPatch",
            input(
                &[],
                &[
                    ("name", text_of(1, 255)),
                    ("supportContact", or_null(text_of(1, 500))),
                    (
                        "maxSessionDurationDays",
                        json!({ "type": "integer", "minimum": 0, "maximum": MOST_DAYS }),
                    ),
                    ("presenceEnabled", boolean()),
                    ("traceSharingEnabled", boolean()),
                    ("primaryIntent", or_null(text_of(1, 255))),
                    ("payloadCaptureEnabled", boolean()),
                    ("payloadCaptureDefault", one_of(&CAPTURE)),
                ],
            ),
        ),
    ];
    all.extend(members::schemas());
    all.extend(invites::schemas());
    all
}

/// `GET /api/organization`.
fn get(call: &Call<OrganizationView>) -> Result<Answer, Error> {
    let row = &call.permit.organization;
    Ok(stamp::answer(shown(row), row.updated_at))
}

/// `PATCH /api/organization`.
fn update(call: &Call<OrganizationManage>) -> Result<Answer, Error> {
    let patch = Patch::read(&call.object()?)?;
    let seen = call.if_match()?;
    let (admin, id) = (call.admin(), &call.permit.organization.id);
    until_fresh(
        || {
            let before = read(admin, call)?;
            stamp::insist(seen, before.updated_at, &shown(&before))?;
            let mut after = patch.over(&before);
            if after == before {
                return Ok(Tried::Done(stamp::answer(
                    shown(&before),
                    before.updated_at,
                )));
            }
            let now = admin.clock.now();
            after.updated_at = stamp::next(now, before.updated_at);
            let mut writes = vec![
                Write::StillIs(Known::Organization(&before)),
                Write::UpdateOrganization(&after),
            ];
            let mut events = Vec::new();
            if capture(&before) != capture(&after) {
                // The bundle of every key says what is captured: each counts a revision, and gateways
                // drop what they hold of the organization, which this kind makes them do.
                writes.push(Write::BumpKeysOf {
                    organization: id,
                    now,
                });
                events.push(ChangeEvent::of(
                    ChangeKind::RoutingPolicyUpdated,
                    id.clone(),
                ));
            }
            let change = Act {
                action: "management.organization.update",
                target_id: id.as_str(),
                before: Some(shown(&before)),
                after: Some(shown(&after)),
                events,
                ..Act::default()
            }
            .by(admin, &call.permit, now);
            let answer = stamp::answer(shown(&after), after.updated_at);
            stamp::landed(commit(admin, &writes, &change), answer, stored)
        },
        stamp::conflict,
    )
}

fn read<P>(admin: &Admin, call: &Call<P>) -> Result<Organization, Error> {
    let found = admin.store.organization(&call.permit.organization.id);
    let gone = || Error::new(Code::OrganizationNotFound, "Organization not found.");
    found.map_err(stored)?.ok_or_else(gone)
}

/// What bundles hold of an organization.
fn capture(row: &Organization) -> (bool, CaptureMode) {
    let settings = &row.settings;
    (
        settings.payload_capture_enabled,
        settings.payload_capture_default,
    )
}

/// The body of an update: what is absent stays.
#[derive(Debug)]
struct Patch {
    name: Option<String>,
    support_contact: Given<String>,
    max_session_duration_days: Option<u64>,
    presence_enabled: Option<bool>,
    trace_sharing_enabled: Option<bool>,
    primary_intent: Given<String>,
    payload_capture_enabled: Option<bool>,
    payload_capture_default: Option<CaptureMode>,
}

impl Patch {
    fn read(body: &Map<String, Value>) -> Result<Self, Error> {
        let mut problems = Problems::of(BODY);
        let fields = Fields::new(body, "");
        let name = fields.trimmed("name", 1..=255, &mut problems);
        let days = "maxSessionDurationDays";
        let days = (
            fields.whole(&[days], 0..=MOST_DAYS, &mut problems),
            days.to_owned(),
        );
        let mode = fields.choice(&["payloadCaptureDefault"], &CAPTURE, &mut problems);
        let mode = never_null(mode, "payloadCaptureDefault".into(), &mut problems);
        let mut switch = |name: &'static str| {
            let given = fields.boolean(&[name], &mut problems);
            never_null(given, name.into(), &mut problems)
        };
        let (presence_enabled, trace_sharing_enabled, payload_capture_enabled) = (
            switch("presenceEnabled"),
            switch("traceSharingEnabled"),
            switch("payloadCaptureEnabled"),
        );
        let patch = Self {
            name: never_null(name, "name".into(), &mut problems),
            support_contact: fields.trimmed("supportContact", 1..=500, &mut problems),
            max_session_duration_days: never_null(days.0, days.1, &mut problems),
            presence_enabled,
            trace_sharing_enabled,
            primary_intent: fields.trimmed("primaryIntent", 1..=255, &mut problems),
            payload_capture_enabled,
            payload_capture_default: mode.and_then(CaptureMode::parse),
        };
        problems.finish()?;
        Ok(patch)
    }

    fn over(&self, row: &Organization) -> Organization {
        let Self {
            name,
            support_contact,
            max_session_duration_days: days,
            presence_enabled,
            trace_sharing_enabled,
            primary_intent,
            payload_capture_enabled,
            payload_capture_default,
        } = self;
        let old = row.settings.clone();
        let days = days.and_then(|days| u32::try_from(days).ok());
        Organization {
            name: name.clone().unwrap_or_else(|| row.name.clone()),
            settings: OrganizationSettings {
                support_contact: support_contact.clone().over(old.support_contact),
                max_session_duration_days: days.unwrap_or(old.max_session_duration_days),
                presence_enabled: presence_enabled.unwrap_or(old.presence_enabled),
                trace_sharing_enabled: trace_sharing_enabled.unwrap_or(old.trace_sharing_enabled),
                primary_intent: primary_intent.clone().over(old.primary_intent),
                payload_capture_enabled: payload_capture_enabled
                    .unwrap_or(old.payload_capture_enabled),
                payload_capture_default: payload_capture_default
                    .unwrap_or(old.payload_capture_default),
            },
            ..row.clone()
        }
    }
}

fn shown(row: &Organization) -> Value {
    let Organization {
        id,
        name,
        slug,
        settings,
        created_at,
        updated_at,
    } = row;
    let OrganizationSettings {
        support_contact,
        max_session_duration_days,
        presence_enabled,
        trace_sharing_enabled,
        primary_intent,
        payload_capture_enabled,
        payload_capture_default,
    } = settings;
    json!({
        "id": id,
        "name": name,
        "slug": slug,
        "supportContact": support_contact,
        "maxSessionDurationDays": max_session_duration_days,
        "presenceEnabled": presence_enabled,
        "traceSharingEnabled": trace_sharing_enabled,
        "primaryIntent": primary_intent,
        "payloadCaptureEnabled": payload_capture_enabled,
        "payloadCaptureDefault": payload_capture_default.as_str(),
        "createdAt": created_at.to_rfc3339(),
        "updatedAt": updated_at.to_rfc3339(),
    })
}
