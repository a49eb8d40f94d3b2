//! Carries a plan out, one call after the other, and stops at the first failure.
//!
//! A create carries an idempotency key made of its content, so that a lost answer or a crash does
//! not make a second one.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use ureq::http::Method;

use super::super::bare;
use super::plan::{Action, Step};
use super::read::headers;
use super::secrets::{self, Minted};
use super::shape::Kind;
use super::world::World;
use crate::client::{Request, segment};
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

/// How often a create whose recorded answer is of something that is gone gets a new key.
const MOST_KEYS: usize = 8;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Status {
    Planned,
    Done,
    Failed,
    NotTried,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::NotTried => "not_tried",
        }
    }
}

/// How a plan ended.
pub(super) struct Ending {
    /// One for each step.
    pub(super) statuses: Vec<Status>,
    pub(super) failure: Option<CliError>,
}

/// Carries out every step that changes something.
pub(super) fn execute(
    context: &mut Context<'_>,
    steps: &[Step],
    world: &mut World,
    folders: &[PathBuf],
    minted: &mut Minted,
) -> Ending {
    let mut ending = Ending {
        statuses: Vec::new(),
        failure: None,
    };
    for step in steps {
        let status = if step.action == Action::Unchanged {
            Status::Done
        } else if ending.failure.is_some() {
            Status::NotTried
        } else {
            match carry_out(context, step, world, folders, minted) {
                Ok(()) => {
                    let done = match step.action {
                        Action::Create => "created",
                        _ => "updated",
                    };
                    let noun = step.declared.kind.noun();
                    context.note(&format!(
                        "{done} {noun} {}",
                        crate::table::clean(&step.label)
                    ));
                    Status::Done
                }
                Err(error) => {
                    ending.failure = Some(error);
                    Status::Failed
                }
            }
        };
        ending.statuses.push(status);
    }
    ending
}

fn carry_out(
    context: &mut Context<'_>,
    step: &Step,
    world: &mut World,
    folders: &[PathBuf],
    minted: &mut Minted,
) -> Result<(), CliError> {
    let declared = &step.declared;
    let folder = folders.get(declared.file).cloned().unwrap_or_default();
    let mut missing = None;
    let body = step.body(world, &mut |reference| match secrets::open(
        reference,
        &folder,
        context.env,
    ) {
        Ok(secret) => {
            context.redactor.learn(&secret);
            secret.into()
        }
        Err(message) => {
            missing = Some(message);
            Json::Null
        }
    });
    if let Some(message) = missing {
        return Err(CliError::usage(format!("{} {message}.", declared.subject)));
    }
    if step.action == Action::Create {
        return create(context, step, &body, world, minted);
    }
    let entry = world.entry(declared.kind, declared.entry);
    let id = entry.and_then(|entry| entry.id.clone()).unwrap_or_default();
    let path = format!("{}/{}", declared.kind.path(), segment(&id));
    if step.sends() {
        let request = Request::new(Method::PATCH, headers(declared.kind), path.as_str()).body(body);
        let answer = context.send(action(declared.kind, step.action), &request)?;
        warn(context, &answer);
    }
    if step.make_default {
        let path = format!("{path}/set-default");
        let request = Request::new(Method::POST, headers(declared.kind), path);
        let request = request.body(Json::Object(Vec::new()));
        context.send("make the routing policy the default", &request)?;
    }
    Ok(())
}

fn create(
    context: &mut Context<'_>,
    step: &Step,
    body: &Json,
    world: &mut World,
    minted: &mut Minted,
) -> Result<(), CliError> {
    let kind = step.declared.kind;
    let wrapper = kind.noun().replace(' ', "_");
    for attempt in 0..MOST_KEYS {
        let key = idempotency_key(step, body, world, attempt);
        let request = Request::new(Method::POST, headers(kind), kind.path())
            .body(body.clone())
            .idempotency_key(Some(&key));
        let (answer, replayed) = send_once(context, action(kind, Action::Create), &request)?;
        let secret = answer.text("secret").map(str::to_owned);
        let made = bare(answer.clone(), &wrapper);
        let id = made.text("id").unwrap_or_default().to_owned();
        if replayed && !is_there(context, kind, &id)? {
            continue;
        }
        warn(context, &answer);
        if let Some(entry) = world.entry_mut(kind, step.declared.entry) {
            entry.id = Some(id);
        }
        if let Some(secret) = secret {
            context.redactor.learn(&secret);
            minted.add(&step.label, &secret);
        }
        return Ok(());
    }
    Err(CliError::usage(format!(
        "{}: the server keeps answering with one that was deleted. Try again tomorrow, or change the description.",
        step.declared.subject
    )))
}

/// A create is sent once more when its answer was lost: the key makes the two one.
fn send_once(
    context: &mut Context<'_>,
    action: &'static str,
    request: &Request,
) -> Result<(Json, bool), CliError> {
    match context.send_marked(action, request) {
        Err(CliError::Call { failure, .. }) if failure.code == "network_error" => {
            context.send_marked(action, request)
        }
        other => other,
    }
}

/// Whether what a recorded answer speaks of still stands.
fn is_there(context: &mut Context<'_>, kind: Kind, id: &str) -> Result<bool, CliError> {
    let path = format!("{}/{}", kind.path(), segment(id));
    let request = Request::new(Method::GET, headers(kind), path);
    match context.send(action(kind, Action::Create), &request) {
        Ok(answer) => {
            let row = bare(answer, &kind.noun().replace(' ', "_"));
            let archived = row.get("archived_at").is_some_and(|at| !at.is_null());
            Ok(!archived && row.text("status") != Some("revoked"))
        }
        Err(CliError::Call { failure, .. }) if failure.status == Some(404) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The same for the same content; another once a key of that name has ended.
fn idempotency_key(step: &Step, body: &Json, world: &World, attempt: usize) -> String {
    let mut text = format!("{}\n{}", step.declared.kind.path(), body.compact());
    if step.declared.kind == Kind::Key {
        let name = step.declared.fields.text("name");
        let external = step.declared.fields.text("external_id");
        for (ended, ended_external, id) in &world.ended_keys {
            if Some(ended.as_str()) == name && ended_external.as_deref() == external {
                text.push_str(&format!("\nafter {id}"));
            }
        }
    }
    if attempt > 0 {
        text.push_str(&format!("\nattempt {attempt}"));
    }
    let hash = digest(&SHA256, text.as_bytes());
    format!("apply-{}", HEXLOWER.encode(hash.as_ref()))
}

fn warn(context: &mut Context<'_>, answer: &Json) {
    let warnings = answer.get("warnings").map(Json::items).unwrap_or_default();
    for warning in warnings {
        context.note(&format!(
            "Warning: {}",
            crate::table::clean(&warning.display())
        ));
    }
}

fn action(kind: Kind, action: Action) -> &'static str {
    match (kind, action) {
        (Kind::Provider, Action::Create) => "create the model provider",
        (Kind::Guardrail, Action::Create) => "create the guardrail",
        (Kind::Policy, Action::Create) => "create the routing policy",
        (Kind::CacheRule, Action::Create) => "create the cache rule",
        (Kind::Key, Action::Create) => "create the virtual key",
        (Kind::Budget, Action::Create) => "create the budget",
        (Kind::Provider, _) => "update the model provider",
        (Kind::Guardrail, _) => "update the guardrail",
        (Kind::Policy, _) => "update the routing policy",
        (Kind::CacheRule, _) => "update the cache rule",
        (Kind::Key, _) => "update the virtual key",
        (Kind::Budget, _) => "update the budget",
    }
}
