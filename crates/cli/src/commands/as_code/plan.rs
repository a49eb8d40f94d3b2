//! What has to be sent so that the server is as the files say.
//!
//! Pure but for the secrets, which are looked up to know that they are there. Every problem that
//! can be known before the first write is found here or in `check`.

use std::path::Path;

use super::check::Problem;
use super::compare::{Change, SECRET, comparable, differences};
use super::load::{Declared, Files};
use super::read::stored;
use super::schema::{fields, needed_to_create};
use super::secrets;
use super::shape::{Field, Kind, Object, Shape, Write};
use super::value::{is_masked, is_reference, to_api};
use super::world::{What, World};
use crate::environment::Environment;
use crate::json::Json;

/// What happens to one entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    Create,
    Update,
    Unchanged,
}

impl Action {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Unchanged => "unchanged",
        }
    }
}

/// One entry of the plan.
pub(super) struct Step {
    pub(super) declared: Declared,
    pub(super) label: String,
    pub(super) action: Action,
    pub(super) changes: Vec<Change>,
    /// The fields to send, with the part of them where only a part is sent.
    send: Vec<(&'static Field, Option<Vec<String>>)>,
    /// The policy becomes the default, which is a call of its own.
    pub(super) make_default: bool,
    /// It has secrets that stay as they are.
    pub(super) keeps_secrets: bool,
}

/// What the planner knows.
pub(super) struct Planner<'a> {
    pub(super) env: &'a Environment,
    pub(super) world: &'a World,
    pub(super) rotate: bool,
}

impl Planner<'_> {
    /// The steps in the order of their execution.
    pub(super) fn plan(
        &self,
        declared: Vec<Declared>,
        folder: impl Fn(usize) -> std::path::PathBuf,
        problems: &mut Vec<Problem>,
    ) -> Vec<Step> {
        default_policies(&declared, problems);
        let takers: Vec<Taker> = declared.iter().filter_map(takes_default).collect();
        let mut steps: Vec<Step> = declared
            .into_iter()
            .map(|declared| self.step(declared, &takers, problems))
            .collect();
        for step in &steps {
            self.look_for_secrets(step, &folder(step.declared.file), problems);
        }
        steps.sort_by_key(|step| phase(step, self.world));
        steps
    }

    fn step(&self, mut declared: Declared, takers: &[Taker], problems: &mut Vec<Problem>) -> Step {
        let kind = declared.kind;
        if kind == Kind::Key {
            routing(&mut declared, problems);
        }
        let label = self.world.label(What::Of(kind), declared.entry);
        let entry = self.world.entry(kind, declared.entry);
        let row = entry.and_then(|entry| entry.remote.as_ref());
        let mut step = Step {
            label,
            action: Action::Create,
            changes: Vec::new(),
            send: Vec::new(),
            make_default: false,
            keeps_secrets: false,
            declared,
        };
        match row {
            Some(row) => {
                let before = stored(kind, row, self.world);
                self.compare(&mut step, &before, takers, problems);
            }
            None => create(&mut step, problems),
        }
        step
    }

    fn compare(
        &self,
        step: &mut Step,
        before: &Json,
        takers: &[Taker],
        problems: &mut Vec<Problem>,
    ) {
        for field in fields(step.declared.kind) {
            let Some(new) = step.declared.fields.get(field.name).cloned() else {
                continue;
            };
            let preset = field.preset.json().unwrap_or(Json::Null);
            let old = before.get(field.name).cloned().unwrap_or(preset);
            let mut changes = Vec::new();
            let mut part = None;
            match (&field.shape, field.name) {
                (_, "is_default") => {
                    let scopes = before.get("scopes").map(Json::items).unwrap_or_default();
                    let mut others = takers.iter().filter(|taker| taker.takes_over(scopes));
                    let own = step.declared.fields.text("name");
                    let replaced = others.any(|taker| Some(taker.name.as_str()) != own);
                    default_flag(step, (&old, &new), replaced, problems);
                    continue;
                }
                (Shape::CustomKeys, _) => {
                    let (found, names) = self.custom_keys(step, &old, &new);
                    (changes, part) = (found, Some(names));
                }
                (Shape::Object(object), _) if object.keeps => {
                    let (found, names) = parts(field.name, object, &old, &new);
                    (changes, part) = (found, Some(names));
                }
                _ => {
                    let (shown_old, shown_new) = (
                        comparable(&field.shape, &old),
                        comparable(&field.shape, &new),
                    );
                    differences(field.name, &shown_old, &shown_new, &mut changes);
                    if changes.is_empty() && holds_secrets(&new) {
                        if self.rotate {
                            changes.push(secret_change(field.name, SECRET.into()));
                        } else {
                            step.keeps_secrets = true;
                        }
                    }
                }
            }
            if changes.is_empty() {
                continue;
            }
            match field.write {
                Write::Free => {
                    step.send.push((field, part));
                    step.changes.extend(changes);
                }
                Write::OnlyNew => {}
                Write::Fixed => problems.push(fixed(&step.declared, field, &old, &new)),
            }
        }
        step.action = match step.changes.as_slice() {
            [] => Action::Unchanged,
            _ => Action::Update,
        };
    }

    fn custom_keys(&self, step: &mut Step, old: &Json, new: &Json) -> (Vec<Change>, Vec<String>) {
        let (mut changes, mut names) = (Vec::new(), Vec::new());
        for (name, new) in new.fields() {
            let before = old.get(name);
            let hidden = before.is_some_and(|old| is_reference(old) || is_masked(old));
            let field = format!("custom_keys.{name}");
            let shown = if hidden {
                Json::from(SECRET)
            } else {
                before.cloned().unwrap_or(Json::Null)
            };
            let change = if new.is_null() {
                before.map(|_| Change {
                    field,
                    old: shown,
                    new: Json::Null,
                })
            } else if hidden && !self.rotate {
                step.keeps_secrets = true;
                None
            } else if is_reference(new) {
                Some(Change {
                    field,
                    old: shown,
                    new: secrets::origin(new).into(),
                })
            } else {
                (before != Some(new)).then(|| Change {
                    field,
                    old: shown,
                    new: new.clone(),
                })
            };
            if let Some(change) = change {
                changes.push(change);
                names.push(name.clone());
            }
        }
        (changes, names)
    }

    /// Builds the body only to see that every secret is there.
    fn look_for_secrets(&self, step: &Step, folder: &Path, problems: &mut Vec<Problem>) {
        let mut missing = Vec::new();
        step.body(self.world, &mut |reference| {
            match secrets::open(reference, folder, self.env) {
                Ok(_) => {}
                Err(message) if missing.contains(&message) => {}
                Err(message) => missing.push(message),
            }
            Json::Null
        });
        for message in missing {
            let place = fields(step.declared.kind).iter().find(|field| {
                let value = step.declared.fields.get(field.name);
                value.is_some_and(holds_secrets)
            });
            problems.push(Problem {
                file: step.declared.file,
                line: place.map_or(step.declared.node.line, |field| {
                    secret_line(&step.declared, field.name, &message)
                }),
                message: format!("{}: {message}", step.declared.subject),
            });
        }
    }
}

impl Step {
    /// The body of the request. `open` gives the secret behind a reference.
    pub(super) fn body(&self, world: &World, open: &mut dyn FnMut(&Json) -> Json) -> Json {
        let declared = &self.declared;
        let mut body = Json::Object(Vec::new());
        if self.action == Action::Create {
            for field in fields(declared.kind) {
                if let Some(value) = declared.fields.get(field.name) {
                    let mut value = to_api(&field.shape, value, world, open);
                    if let (Shape::CustomKeys, Json::Object(keys)) = (&field.shape, &mut value) {
                        keys.retain(|(_, key)| !key.is_null());
                    }
                    body.set(field.name, value);
                }
            }
            if declared.kind == Kind::Provider && body.get("custom_keys").is_none() {
                body.set("custom_keys", Json::Object(Vec::new()));
            }
            return body;
        }
        for (field, part) in &self.send {
            let Some(value) = declared.fields.get(field.name) else {
                continue;
            };
            let mut value = value.clone();
            if let (Some(part), Json::Object(inner)) = (part, &mut value) {
                inner.retain(|(name, _)| part.contains(name));
            }
            body.set(field.name, to_api(&field.shape, &value, world, open));
        }
        // The two travel together, or the server infers one from the other.
        if body.get("routing_mode").is_some() || body.get("routing_policy_id").is_some() {
            for field in fields(declared.kind) {
                if matches!(field.name, "routing_mode" | "routing_policy_id")
                    && let Some(value) = declared.fields.get(field.name)
                {
                    body.set(field.name, to_api(&field.shape, value, world, open));
                }
            }
        }
        body
    }

    /// Whether a PATCH is needed: a new default alone is another call.
    pub(super) fn sends(&self) -> bool {
        self.action == Action::Create || !self.send.is_empty()
    }
}

/// `replaced` is whether another policy of the files takes the place.
fn default_flag(
    step: &mut Step,
    (old, new): (&Json, &Json),
    replaced: bool,
    problems: &mut Vec<Problem>,
) {
    let flag = |value: &Json| value.as_bool().unwrap_or_default();
    match (flag(old), flag(new)) {
        (false, true) => {
            step.make_default = true;
            step.changes.push(Change {
                field: "is_default".to_owned(),
                old: old.clone(),
                new: new.clone(),
            });
        }
        (true, false) if !replaced => problems.push(Problem {
            file: step.declared.file,
            line: step.declared.line_of("is_default"),
            message: format!(
                "{}: a default policy cannot be unset; set `is_default: true` on the one that takes its place",
                step.declared.subject
            ),
        }),
        // The server moves the flag, or there is nothing to move.
        (true, _) | (false, false) => {}
    }
}

/// The differences of a map whose fields are kept when left out, and the fields that differ.
fn parts(path: &str, object: &Object, old: &Json, new: &Json) -> (Vec<Change>, Vec<String>) {
    let (mut changes, mut names) = (Vec::new(), Vec::new());
    for field in object.fields {
        let Some(new) = new.get(field.name) else {
            continue;
        };
        let preset = field.preset.json().unwrap_or(Json::Null);
        let old = comparable(&field.shape, old.get(field.name).unwrap_or(&preset));
        let new = comparable(&field.shape, new);
        if old != new {
            differences(&format!("{path}.{}", field.name), &old, &new, &mut changes);
            names.push(field.name.to_owned());
        }
    }
    (changes, names)
}

fn fixed(declared: &Declared, field: &Field, old: &Json, new: &Json) -> Problem {
    Problem {
        file: declared.file,
        line: declared.line_of(field.name),
        message: format!(
            "{}: `{}` cannot change after creation: it is {}, the file says {}; give the {} another name to create a new one",
            declared.subject,
            field.name,
            old.display(),
            new.display(),
            declared.kind.noun()
        ),
    }
}

/// Creation order: by kind, but what names a key that is still to be made waits for it.
fn phase(step: &Step, world: &World) -> (Kind, bool, usize, usize) {
    let kind = step.declared.kind;
    let key = step.declared.fields.at(&["matchers", "vk_id"]);
    let waits = key.and_then(Json::as_str).is_some_and(|label| {
        let what = What::Of(Kind::Key);
        match world.find(what, label) {
            super::world::Found::One(at) => world
                .entries(what)
                .get(at)
                .is_some_and(|key| key.id.is_none()),
            _ => false,
        }
    });
    let place = if waits { Kind::Key } else { kind };
    (place, waits, step.declared.file, step.declared.node.line)
}

fn create(step: &mut Step, problems: &mut Vec<Problem>) {
    let declared = &step.declared;
    for name in needed_to_create(declared.kind) {
        let known = fields(declared.kind)
            .iter()
            .find(|field| field.name == *name);
        let given = known.is_some_and(|field| {
            let mut keys = declared.node.fields().iter();
            keys.any(|(key, _)| field.is_called(&key.text))
        });
        if !given {
            problems.push(Problem {
                file: declared.file,
                line: declared.node.line,
                message: format!(
                    "{}: a new {} needs `{name}`",
                    declared.subject,
                    declared.kind.noun()
                ),
            });
        }
    }
    for (name, value) in declared.fields.fields() {
        if name == "name" {
            continue;
        }
        step.changes.push(Change {
            field: name.clone(),
            old: Json::Null,
            new: masked(value),
        });
    }
}

/// References to secrets as what they say.
fn masked(value: &Json) -> Json {
    match value {
        reference if is_reference(reference) => secrets::origin(reference).into(),
        Json::Object(fields) => {
            Json::Object(fields.iter().map(|(k, v)| (k.clone(), masked(v))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(masked).collect()),
        other => other.clone(),
    }
}

fn secret_change(field: &str, old: Json) -> Change {
    Change {
        field: field.to_owned(),
        old,
        new: "(secret, sent again)".into(),
    }
}

fn holds_secrets(value: &Json) -> bool {
    match value {
        reference if is_reference(reference) => true,
        Json::Object(fields) => fields.iter().any(|(_, value)| holds_secrets(value)),
        Json::Array(items) => items.iter().any(holds_secrets),
        _ => false,
    }
}

/// The line of the reference that a message speaks of.
fn secret_line(declared: &Declared, name: &str, message: &str) -> usize {
    fn find(node: &super::tree::Node, message: &str) -> Option<usize> {
        let own = node.get("from_env").or_else(|| node.get("from_file"));
        if let Some(text) = own.and_then(super::tree::Node::text)
            && message.contains(&format!(" {},", text.trim()))
        {
            return Some(node.line);
        }
        let fields = node.fields().iter().map(|(_, node)| node);
        fields
            .chain(node.items())
            .find_map(|node| find(node, message))
    }
    find(&declared.node, message).unwrap_or_else(|| declared.line_of(name))
}

/// A policy without a mode means the mode; a contradiction is a problem.
fn routing(declared: &mut Declared, problems: &mut Vec<Problem>) {
    let policy = declared.fields.get("routing_policy_id").cloned();
    let mode = declared.fields.text("routing_mode").map(str::to_owned);
    let message = match (policy, mode.as_deref()) {
        (Some(Json::String(_)), None) => {
            declared.fields.set("routing_mode", "policy".into());
            return;
        }
        (Some(Json::Null), None) => {
            declared.fields.take("routing_policy_id");
            declared.fields.set("routing_mode", "none".into());
            return;
        }
        (Some(Json::Null), Some("none" | "fallback_all")) => {
            declared.fields.take("routing_policy_id");
            return;
        }
        (Some(Json::String(_)), Some("none" | "fallback_all")) => {
            "`routing_policy_id` goes with `routing_mode: policy` only"
        }
        (None | Some(Json::Null), Some("policy")) => {
            "`routing_mode: policy` needs `routing_policy_id`"
        }
        _ => return,
    };
    problems.push(Problem {
        file: declared.file,
        line: declared.line_of("routing_mode"),
        message: format!("{}: {message}", declared.subject),
    });
}

/// A policy that the files make the default.
struct Taker {
    name: String,
    /// `None` when the file leaves them as they are.
    scopes: Option<Json>,
}

impl Taker {
    /// Whether it pushes out the default of one of these scopes.
    fn takes_over(&self, scopes: &[Json]) -> bool {
        let own = self.scopes.as_ref();
        own.is_none_or(|own| own.items().iter().any(|scope| scopes.contains(scope)))
    }
}

fn takes_default(declared: &Declared) -> Option<Taker> {
    let wanted = declared.fields.get("is_default").and_then(Json::as_bool);
    let is_policy = declared.kind == Kind::Policy && wanted == Some(true);
    let name = declared.fields.text("name")?.to_owned();
    let scopes = declared.fields.get("scopes").cloned();
    is_policy.then_some(Taker { name, scopes })
}

/// Two defaults of one scope would push each other out for ever.
fn default_policies(declared: &[Declared], problems: &mut Vec<Problem>) {
    let mut seen: Vec<(&Json, &str)> = Vec::new();
    for policy in declared.iter().filter(|d| takes_default(d).is_some()) {
        let scopes = policy
            .fields
            .get("scopes")
            .map(Json::items)
            .unwrap_or_default();
        for scope in scopes {
            match seen.iter().find(|(known, _)| *known == scope) {
                Some((_, other)) => problems.push(Problem {
                    file: policy.file,
                    line: policy.line_of("is_default"),
                    message: format!(
                        "{}: {} has a default policy already, {other}",
                        policy.subject,
                        scope.display()
                    ),
                }),
                None => seen.push((scope, &policy.subject)),
            }
        }
    }
}

/// The folders of the files, for a planner that outlives them.
pub(super) fn folders(files: &Files) -> Vec<std::path::PathBuf> {
    (0..files.names.len())
        .map(|file| files.folder(file).to_owned())
        .collect()
}
