//! A node of a file against the shape of its field.
//!
//! Every problem is recorded with its line and the walk goes on, so that a person sees all of them
//! at once. A message never repeats a value from a place where a secret belongs.

use url::Url;

use super::schema::not_here;
use super::shape::{Field, Kind, Object, Shape};
use super::suggest::did_you_mean;
use super::tree::{Node, Value};
use super::value::{is_setting, money, set, tags, time, word};
use super::world::{What, World};
use crate::json::Json;

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    /// Position of the file on the command line.
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) message: String,
}

/// Checks the fields of one entry.
pub(super) struct Checker<'a> {
    pub(super) world: &'a World,
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) file: usize,
    /// `virtual_keys "web"`.
    pub(super) subject: &'a str,
}

impl Checker<'_> {
    pub(super) fn problem(&mut self, line: usize, path: &str, message: &str) {
        let message = if path.is_empty() {
            format!("{}: {message}", self.subject)
        } else {
            format!("{}: `{path}` {message}", self.subject)
        };
        self.problems.push(Problem {
            file: self.file,
            line,
            message,
        });
    }

    /// The fields of an entry, in the order of the schema. `id` is the caller's.
    pub(super) fn entry(&mut self, kind: Kind, fields: &'static [Field], node: &Node) -> Json {
        self.map(fields, node, "", Some(kind))
    }

    fn map(
        &mut self,
        fields: &'static [Field],
        node: &Node,
        path: &str,
        kind: Option<Kind>,
    ) -> Json {
        let inside = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        for (key, _) in node.fields() {
            let own_id = kind.is_some() && key.text == "id";
            if own_id || fields.iter().any(|field| field.is_called(&key.text)) {
                continue;
            }
            let at = inside(&key.text);
            if let Some(advice) = kind.and_then(|kind| not_here(kind, &key.text)) {
                self.problem(key.line, &at, &format!("cannot be set here: {advice}"));
                continue;
            }
            let known = fields
                .iter()
                .flat_map(|field| [field.name].into_iter().chain(field.also.iter().copied()));
            let hint = did_you_mean(&key.text, known);
            self.problem(key.line, &at, &format!("is not a known field{hint}"));
        }
        let mut out = Json::Object(Vec::new());
        for field in fields {
            let given = node.fields().iter();
            let mut given = given.filter(|(key, _)| field.is_called(&key.text));
            let Some((key, value)) = given.next() else {
                if field.required {
                    self.problem(node.line, &inside(field.name), "is missing");
                }
                continue;
            };
            if let Some((again, _)) = given.next() {
                let message = format!("says the same as `{}`", key.text);
                self.problem(again.line, &inside(&again.text), &message);
            }
            if let Some(value) = self.value(&field.shape, value, &inside(&key.text)) {
                out.set(field.name, value);
            }
        }
        out
    }

    /// The value in the words of the API's answers, references by label; `None` after a problem.
    fn value(&mut self, shape: &Shape, node: &Node, path: &str) -> Option<Json> {
        match shape {
            Shape::Nullable(_) | Shape::Blankable(_) if node.is_null() => Some(Json::Null),
            Shape::Nullable(inner) | Shape::Blankable(inner) => self.value(inner, node, path),
            Shape::Some(inner) => self.some(inner, node, path),
            Shape::List(inner) => Some(Json::Array(self.list(inner, node, path)?)),
            Shape::Set(inner) => Some(set(self.list(inner, node, path)?)),
            Shape::Tags => {
                let items = self.list(&Shape::Text(4096), node, path)?;
                Some(tags(items.iter().map(Json::display)))
            }
            Shape::Object(Object { fields, .. }) => match &node.value {
                Value::Map(_) => Some(self.map(fields, node, path, None)),
                _ => self.wrong(node, path, "a map"),
            },
            Shape::Any => Some(node.to_json()),
            Shape::AnyMap => match &node.value {
                Value::Map(_) => Some(node.to_json()),
                _ => self.wrong(node, path, "a map"),
            },
            Shape::Texts(longest) => self.texts(*longest, node, path),
            Shape::CustomKeys => self.custom_keys(node, path),
            Shape::Headers => self.headers(node, path),
            Shape::EvaluatorSettings => self.evaluator_settings(node, path),
            Shape::ModelMap => self.model_map(node, path),
            Shape::Scope => self.scope(node, path),
            Shape::BudgetScope => self.budget_scope(node, path),
            Shape::Ref(kind) => self.reference(What::Of(*kind), node, path),
            Shape::Project => self.reference(What::Project, node, path),
            Shape::User => self.reference(What::User, node, path),
            Shape::Text(longest) => self.text(*longest, node, path).map(Json::from),
            Shape::Handle(longest) => {
                let text = self.text(*longest, node, path)?;
                Some(text.to_ascii_lowercase().into())
            }
            Shape::Flag => match node.value {
                Value::Flag(flag) => Some(flag.into()),
                _ => self.wrong(node, path, "true or false"),
            },
            Shape::Whole(least, most) => self.whole(*least, *most, node, path),
            Shape::Fraction(least, most) => {
                let number = match &node.value {
                    Value::Number(_) => node.to_json(),
                    _ => return self.wrong(node, path, "a number"),
                };
                let fits = number.as_f64().is_some_and(|n| n >= *least && n <= *most);
                self.fit(fits, number, node, path, || {
                    format!("must be between {least} and {most}")
                })
            }
            Shape::OneOf(words, other) => self.one_of(words, other, node, path),
            Shape::Money => {
                let amount = match &node.value {
                    Value::Number(text) | Value::Text(text) => money(text.trim()),
                    _ => None,
                };
                let fits = amount.is_some();
                self.fit(fits, amount.into(), node, path, || {
                    "must be dollars above zero with at most 6 digits behind the point".to_owned()
                })
            }
            Shape::Time => {
                let instant = node.text().and_then(time);
                let fits = instant.is_some();
                self.fit(fits, instant.into(), node, path, || {
                    "must be a time such as 2026-12-31T00:00:00Z".to_owned()
                })
            }
        }
    }

    fn fit(
        &mut self,
        fits: bool,
        value: Json,
        node: &Node,
        path: &str,
        otherwise: impl FnOnce() -> String,
    ) -> Option<Json> {
        if fits {
            return Some(value);
        }
        self.problem(node.line, path, &otherwise());
        None
    }

    fn wrong<T>(&mut self, node: &Node, path: &str, wanted: &str) -> Option<T> {
        let message = format!("must be {wanted}, not {}", node.what());
        self.problem(node.line, path, &message);
        None
    }

    fn text(&mut self, longest: usize, node: &Node, path: &str) -> Option<String> {
        let text = match &node.value {
            Value::Text(text) => text.trim(),
            Value::Number(_) | Value::Flag(_) => return self.wrong(node, path, "text (quote it)"),
            _ => return self.wrong(node, path, "text"),
        };
        let length = text.chars().count();
        if length == 0 || length > longest {
            let message = format!("must have 1 to {longest} characters");
            self.problem(node.line, path, &message);
            return None;
        }
        Some(text.to_owned())
    }

    fn whole(&mut self, least: i64, most: i64, node: &Node, path: &str) -> Option<Json> {
        let number = match &node.value {
            Value::Number(text) => text.parse::<i64>().ok(),
            _ => return self.wrong(node, path, "a whole number"),
        };
        let fits = number.is_some_and(|number| number >= least && number <= most);
        self.fit(fits, number.into(), node, path, || {
            if most == i64::MAX {
                format!("must be a whole number from {least} on")
            } else {
                format!("must be a whole number from {least} to {most}")
            }
        })
    }

    fn one_of(
        &mut self,
        words: &[&str],
        other: &[(&str, &str)],
        node: &Node,
        path: &str,
    ) -> Option<Json> {
        let text = match &node.value {
            // `404` is a number to YAML.
            Value::Text(text) | Value::Number(text) => word(text, other),
            _ => return self.wrong(node, path, "a word"),
        };
        let fits = words.is_empty() || words.contains(&text.as_str());
        self.fit(fits, text.into(), node, path, || {
            format!("must be one of {}", words.join(", "))
        })
    }

    fn list(&mut self, inner: &Shape, node: &Node, path: &str) -> Option<Vec<Json>> {
        if !matches!(node.value, Value::List(_)) {
            return self.wrong(node, path, "a list");
        }
        let items = node.items().iter().enumerate();
        let items = items.map(|(i, item)| self.value(inner, item, &format!("{path}[{i}]")));
        let items: Vec<Option<Json>> = items.collect();
        items.into_iter().collect()
    }

    /// At least one item or field.
    fn some(&mut self, inner: &Shape, node: &Node, path: &str) -> Option<Json> {
        if matches!(node.value, Value::List(_) | Value::Map(_))
            && node.items().is_empty()
            && node.fields().is_empty()
        {
            self.problem(node.line, path, "must not be empty");
            return None;
        }
        self.value(inner, node, path)
    }

    fn texts(&mut self, longest: usize, node: &Node, path: &str) -> Option<Json> {
        if !matches!(node.value, Value::Map(_)) {
            return self.wrong(node, path, "a map of names to text");
        }
        let mut out = Json::Object(Vec::new());
        for (key, value) in node.fields() {
            let text = self.text(longest, value, &format!("{path}.{}", key.text));
            if let Some(text) = text {
                out.set(&key.text, text.into());
            }
        }
        Some(out)
    }

    fn reference(&mut self, what: What, node: &Node, path: &str) -> Option<Json> {
        let Some(text) = node.text() else {
            let wanted = format!("the name of a {}", what.noun());
            return self.wrong(node, path, &wanted);
        };
        self.named(what, text, node.line, path).map(Json::from)
    }

    fn named(&mut self, what: What, text: &str, line: usize, path: &str) -> Option<String> {
        match self.world.resolve(what, text.trim()) {
            Ok(label) => Some(label),
            Err(message) => {
                self.problem(line, path, &format!("is wrong: {message}"));
                None
            }
        }
    }

    fn model_map(&mut self, node: &Node, path: &str) -> Option<Json> {
        if !matches!(node.value, Value::Map(_)) {
            return self.wrong(node, path, "a map");
        }
        let mut out = Json::Object(Vec::new());
        for (model, targets) in node.fields() {
            let path = format!("{path}.{}", model.text);
            let Some(texts) = self.texts(256, targets, &path) else {
                continue;
            };
            let mut named = Json::Object(Vec::new());
            for (key, _) in targets.fields() {
                let inside = format!("{path}.{}", key.text);
                let name = if self.world.has_provider_kind(&key.text) {
                    Some(key.text.clone())
                } else {
                    self.named(What::Of(Kind::Provider), &key.text, key.line, &inside)
                        .map(|label| self.world.map_target(&label))
                };
                if let (Some(name), Some(value)) = (name, texts.get(&key.text)) {
                    named.set(&name, value.clone());
                }
            }
            out.set(&model.text, named);
        }
        Some(out)
    }

    // Secrets.

    fn custom_keys(&mut self, node: &Node, path: &str) -> Option<Json> {
        if !matches!(node.value, Value::Map(_)) {
            return self.wrong(node, path, "a map of credential fields");
        }
        let mut out = Json::Object(Vec::new());
        for (key, value) in node.fields() {
            let path = format!("{path}.{}", key.text);
            let value = match &value.value {
                Value::Null => Json::Null,
                Value::Text(text) if is_setting(&key.text) && !has_password(text) => {
                    text.trim().into()
                }
                // A problem is recorded; the others are looked for all the same.
                _ => match self.secret(value, &path) {
                    Some(reference) => reference,
                    None => continue,
                },
            };
            out.set(&key.text, value);
        }
        Some(out)
    }

    fn headers(&mut self, node: &Node, path: &str) -> Option<Json> {
        if !matches!(node.value, Value::List(_)) {
            return self.wrong(node, path, "a list of {key, value}");
        }
        let mut out = Vec::new();
        for (i, item) in node.items().iter().enumerate() {
            let path = format!("{path}[{i}]");
            for (key, _) in item.fields() {
                if !matches!(key.text.as_str(), "key" | "value") {
                    let path = format!("{path}.{}", key.text);
                    self.problem(key.line, &path, "is not a known field");
                }
            }
            let (Some(name), Some(value)) = (item.get("key"), item.get("value")) else {
                self.problem(item.line, &path, "needs `key` and `value`");
                continue;
            };
            let name = self.text(256, name, &format!("{path}.key"));
            let value = self.secret(value, &format!("{path}.value"));
            if let (Some(name), Some(value)) = (name, value) {
                out.push(Json::object([("key", name.into()), ("value", value)]));
            }
        }
        Some(Json::Array(out))
    }

    fn evaluator_settings(&mut self, node: &Node, path: &str) -> Option<Json> {
        if !matches!(node.value, Value::Map(_)) {
            return self.wrong(node, path, "a map");
        }
        let mut out = Json::Object(Vec::new());
        for (key, value) in node.fields() {
            if key.text != "headers" {
                out.set(&key.text, value.to_json());
                continue;
            }
            let mut headers = Json::Object(Vec::new());
            for (name, value) in value.fields() {
                let path = format!("{path}.headers.{}", name.text);
                if let Some(reference) = self.secret(value, &path) {
                    headers.set(&name.text, reference);
                }
            }
            out.set("headers", headers);
        }
        Some(out)
    }

    /// `{from_env: NAME}` or `{from_file: path}`, and nothing else.
    fn secret(&mut self, node: &Node, path: &str) -> Option<Json> {
        if let [(key, value)] = node.fields() {
            match (key.text.as_str(), value.text()) {
                ("from_env", Some(name)) if is_variable(name) => {
                    return Some(Json::object([("from_env", name.into())]));
                }
                ("from_env", _) => {
                    let message = "must name an environment variable: letters, digits and _";
                    self.problem(value.line, &format!("{path}.from_env"), message);
                    return None;
                }
                ("from_file", Some(file)) if !file.trim().is_empty() => {
                    return Some(Json::object([("from_file", file.trim().into())]));
                }
                _ => {}
            }
        }
        let name = path.rsplit('.').next().unwrap_or(path);
        let variable = super::value::variable_name(name.trim_end_matches(']'));
        let message = format!(
            "holds a secret, and secrets do not belong in this file: write {{ from_env: {variable} }} or {{ from_file: ./file }}"
        );
        self.problem(node.line, path, &message);
        None
    }

    // Scopes.

    fn scope(&mut self, node: &Node, path: &str) -> Option<Json> {
        if let Some(text) = node.text() {
            return self.place(text, node.line, path).map(Json::from);
        }
        let kind = node.get("scope_type").and_then(Node::text);
        let id = node.get("scope_id").and_then(Node::text);
        match (kind, id, node.fields().len()) {
            (Some(kind), Some(id), 2) => {
                let text = format!("{kind}:{id}");
                self.place(&text, node.line, path).map(Json::from)
            }
            _ => {
                let message =
                    "must be org:<slug>, team:<slug>, project:<slug>, or {scope_type, scope_id}";
                self.problem(node.line, path, message);
                None
            }
        }
    }

    fn place(&mut self, text: &str, line: usize, path: &str) -> Option<String> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let kind = kind.trim().to_ascii_lowercase();
        let (kind, what) = match (kind.as_str(), name.trim()) {
            ("org" | "organization", name) if !name.is_empty() => ("org", What::Organization),
            ("team", name) if !name.is_empty() => ("team", What::Team),
            ("project", name) if !name.is_empty() => ("project", What::Project),
            _ => {
                let message = "must be org:<slug>, team:<slug> or project:<slug>";
                self.problem(line, path, message);
                return None;
            }
        };
        let label = self.named(what, name, line, path)?;
        Some(format!("{kind}:{label}"))
    }

    fn budget_scope(&mut self, node: &Node, path: &str) -> Option<Json> {
        let text = match node.text() {
            Some(text) => text.to_owned(),
            None => self.budget_scope_of_map(node, path)?,
        };
        let (kind, name) = text.split_once(':').unwrap_or((&text, ""));
        let kind = kind.trim().to_ascii_lowercase().replace('-', "_");
        let (line, key) = (node.line, What::Of(Kind::Key));
        let label = match kind.as_str() {
            "virtual_key" | "vk" | "key" => {
                format!("virtual_key:{}", self.named(key, name, line, path)?)
            }
            "principal" => format!("principal:{}", self.named(What::User, name, line, path)?),
            "group" => format!("group:{}", self.named(What::Group, name, line, path)?),
            "attributed_user" => match name.split_once(':') {
                Some(("project", _)) => {
                    format!("attributed_user:{}", self.place(name, line, path)?)
                }
                Some(("virtual_key", name)) => {
                    let name = self.named(key, name, line, path)?;
                    format!("attributed_user:virtual_key:{name}")
                }
                _ => {
                    let message = "must be attributed_user:virtual_key:<name> or attributed_user:project:<slug>";
                    self.problem(line, path, message);
                    return None;
                }
            },
            "org" | "organization" | "team" | "project" => self.place(&text, line, path)?,
            _ => {
                let message = "must begin with org:, team:, project:, virtual_key:, principal:, group: or attributed_user:";
                self.problem(line, path, message);
                return None;
            }
        };
        Some(label.into())
    }

    /// `{kind: team, team_id: eng}` as `team:eng`.
    fn budget_scope_of_map(&mut self, node: &Node, path: &str) -> Option<String> {
        let kind = node.get("kind").and_then(Node::text).unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        let names: &[(&str, &str)] = match kind.as_str() {
            "organization" => &[("organization", "organization")],
            "team" => &[("team", "team")],
            "project" => &[("project", "project")],
            "virtual_key" => &[("virtual_key", "virtual_key")],
            "principal" => &[("principal_user", "principal")],
            "group" => &[("group", "group")],
            "attributed_user" => &[
                ("anchor_virtual_key", "attributed_user:virtual_key"),
                ("anchor_project", "attributed_user:project"),
            ],
            _ => &[],
        };
        let targets: Vec<String> = names
            .iter()
            .filter_map(|(name, prefix)| {
                let id = node.get(&format!("{name}_id")).or_else(|| node.get(name))?;
                Some(format!("{prefix}:{}", id.text()?))
            })
            .collect();
        match targets.as_slice() {
            [target] if node.fields().len() == 2 => Some(target.clone()),
            _ => {
                let message =
                    "must be written as team:<slug> and so on, or as {kind: team, team_id: <slug>}";
                self.problem(node.line, path, message);
                None
            }
        }
    }
}

fn is_variable(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// An address with a password in it is a secret.
fn has_password(text: &str) -> bool {
    Url::parse(text.trim()).is_ok_and(|url| url.password().is_some())
}
