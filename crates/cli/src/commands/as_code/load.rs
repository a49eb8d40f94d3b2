//! Files to entries: what is declared, where it stands, and which thing of the server it is.

use std::path::{Path, PathBuf};

use super::check::{Checker, Problem};
use super::schema::fields;
use super::shape::Kind;
use super::suggest::did_you_mean;
use super::tree::{Node, Value, parse};
use super::world::{Entry, What, World};
use crate::environment::Environment;
use crate::error::CliError;
use crate::json::Json;

/// The files of one run.
pub(super) struct Files {
    /// As they were named on the command line.
    pub(super) names: Vec<String>,
    folders: Vec<PathBuf>,
    pub(super) raw: Vec<Raw>,
}

/// An entry before it is understood.
pub(super) struct Raw {
    pub(super) kind: Kind,
    pub(super) file: usize,
    pub(super) node: Node,
}

/// An entry that is understood.
pub(super) struct Declared {
    pub(super) kind: Kind,
    /// Its place in the world.
    pub(super) entry: usize,
    pub(super) file: usize,
    pub(super) node: Node,
    /// `virtual_keys "web"`.
    pub(super) subject: String,
    /// Its fields in the order of the schema, references by label.
    pub(super) fields: Json,
}

impl Declared {
    /// The line of a field, or of the entry.
    pub(super) fn line_of(&self, name: &str) -> usize {
        let field = fields(self.kind).iter().find(|field| field.name == name);
        let mut given = self.node.fields().iter();
        let given = given.find(|(key, _)| match field {
            Some(field) => field.is_called(&key.text),
            None => key.text == name,
        });
        given.map_or(self.node.line, |(key, _)| key.line)
    }
}

impl Files {
    /// The folder that relative paths in the file start from.
    pub(super) fn folder(&self, file: usize) -> &Path {
        self.folders
            .get(file)
            .map_or(Path::new("."), PathBuf::as_path)
    }

    pub(super) fn read(
        env: &Environment,
        names: &[String],
        problems: &mut Vec<Problem>,
    ) -> Result<Self, CliError> {
        let mut files = Self {
            names: names.to_vec(),
            folders: Vec::new(),
            raw: Vec::new(),
        };
        for (file, name) in names.iter().enumerate() {
            let path = env.working_dir().join(name);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| CliError::usage(format!("Cannot read {name}: {error}.")))?;
            let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
            files.folders.push(folder);
            match parse(&text) {
                Ok(documents) if documents.is_empty() => problems.push(Problem {
                    file,
                    line: 1,
                    message: "the file is empty".to_owned(),
                }),
                Ok(documents) => {
                    for document in documents {
                        files.document(file, document, problems);
                    }
                }
                Err(error) => problems.push(Problem {
                    file,
                    line: error.line,
                    message: error.message,
                }),
            }
        }
        Ok(files)
    }

    fn document(&mut self, file: usize, document: Node, problems: &mut Vec<Problem>) {
        let mut problem = |line, message: String| {
            problems.push(Problem {
                file,
                line,
                message,
            });
        };
        let line = document.line;
        let Value::Map(sections) = document.value else {
            problem(line, "the file must be a map with `version: 1`".to_owned());
            return;
        };
        if !sections.iter().any(|(key, _)| key.text == "version") {
            problem(line, "`version: 1` is missing".to_owned());
        }
        for (key, section) in sections {
            if key.text == "version" {
                if !matches!(&section.value, Value::Number(n) | Value::Text(n) if n == "1") {
                    problem(key.line, "this client reads `version: 1` only".to_owned());
                }
                continue;
            }
            let Some(kind) = Kind::ALL.into_iter().find(|k| k.section() == key.text) else {
                let known = Kind::ALL.iter().map(|kind| kind.section());
                let hint = did_you_mean(&key.text, known.chain(["version"]));
                problem(
                    key.line,
                    format!("`{}` is not a known section{hint}", key.text),
                );
                continue;
            };
            match section.value {
                Value::Null => {}
                Value::List(items) => {
                    for node in items {
                        if matches!(node.value, Value::Map(_)) {
                            self.raw.push(Raw { kind, file, node });
                        } else {
                            let message = format!("an entry of `{}` must be a map", key.text);
                            problem(node.line, message);
                        }
                    }
                }
                _ => problem(key.line, format!("`{}` must be a list", key.text)),
            }
        }
    }

    /// Finds every entry's place in the world, adds what is new, then checks every field.
    pub(super) fn declare(self, world: &mut World, problems: &mut Vec<Problem>) -> Vec<Declared> {
        // Ids first: what they rename gives its old name free.
        let (by_id, by_name): (Vec<_>, Vec<_>) =
            (self.raw.into_iter().enumerate()).partition(|(_, raw)| own_text(raw, "id").is_some());
        let mut placed: Vec<(usize, Raw, Result<usize, String>)> = Vec::new();
        for (order, raw) in by_id.into_iter().chain(by_name) {
            let entry = place(&raw, world);
            placed.push((order, raw, entry));
        }
        placed.sort_by_key(|(order, ..)| *order);
        let mut declared: Vec<Declared> = Vec::new();
        for (_, raw, entry) in placed {
            let subject = subject(&raw);
            let mut checker = Checker {
                world,
                problems,
                file: raw.file,
                subject: &subject,
            };
            // What has no place is checked all the same, to name every problem at once.
            let fields = checker.entry(raw.kind, fields(raw.kind), &raw.node);
            let same = |other: &&Declared| other.kind == raw.kind && Ok(other.entry) == entry;
            let trouble = declared.iter().find(same).map(|other| {
                let at = self.names.get(other.file).map_or("", String::as_str);
                format!("declared twice, first at {at}:{}", other.node.line)
            });
            match (trouble, entry) {
                (None, Ok(entry)) => declared.push(Declared {
                    kind: raw.kind,
                    entry,
                    file: raw.file,
                    node: raw.node,
                    subject,
                    fields,
                }),
                (Some(message), _) | (None, Err(message)) => {
                    checker.problem(raw.node.line, "", &message);
                }
            }
        }
        declared
    }
}

fn own_text<'a>(raw: &'a Raw, name: &str) -> Option<&'a str> {
    let text = raw.node.get(name)?.text()?.trim();
    (!text.is_empty()).then_some(text)
}

fn subject(raw: &Raw) -> String {
    let name = own_text(raw, "name").or_else(|| own_text(raw, "id"));
    match name {
        Some(name) => format!("{} \"{name}\"", raw.kind.section()),
        None => raw.kind.section().to_owned(),
    }
}

/// The thing that an entry means: by id, else by external id, else by name. Adds it when new.
fn place(raw: &Raw, world: &mut World) -> Result<usize, String> {
    let Some(name) = own_text(raw, "name") else {
        return Err("`name` is missing".to_owned());
    };
    let what = What::Of(raw.kind);
    let names = names(raw, name, world);
    if let Some(id) = own_text(raw, "id") {
        let mut entries = world.entries(what).iter();
        let found = entries.position(|entry| entry.id.as_deref() == Some(id));
        let found = found.ok_or_else(|| {
            format!(
                "there is no {} with the id `{id}`; leave `id` out to create one",
                raw.kind.noun()
            )
        })?;
        rename(world, raw.kind, found, names);
        return Ok(found);
    }
    // What identifies it: the last of its names for those that have a second one.
    let external = match raw.kind {
        Kind::Key | Kind::Budget => own_text(raw, "external_id"),
        _ => None,
    };
    let is_it = |entry: &Entry| match (external, raw.kind) {
        (Some(external), _) => entry.names.get(1).map(String::as_str) == Some(external),
        (None, Kind::Guardrail) => entry.names.get(1) == names.get(1),
        (None, _) => entry.names.first().map(String::as_str) == Some(name),
    };
    let entries = world.entries(what).iter().enumerate();
    let hits: Vec<usize> = entries
        .filter(|(_, entry)| is_it(entry))
        .map(|(at, _)| at)
        .collect();
    match hits.as_slice() {
        [] => Ok(world.add(
            raw.kind,
            Entry {
                id: None,
                names,
                remote: None,
            },
        )),
        [one] => {
            let one = *one;
            rename(world, raw.kind, one, names);
            Ok(one)
        }
        several => {
            let by = match raw.kind {
                Kind::Key | Kind::Budget => "`external_id` or `id`",
                _ => "`id`",
            };
            Err(format!(
                "{} {}s have this name; give {by} to say which one",
                several.len(),
                raw.kind.noun()
            ))
        }
    }
}

/// From now on it is called what the file calls it.
fn rename(world: &mut World, kind: Kind, at: usize, names: Vec<String>) {
    if let Some(entry) = world.entry_mut(kind, at) {
        let old = std::mem::replace(&mut entry.names, names);
        if entry.names.len() < old.len() {
            entry.names.extend(old.into_iter().skip(1).take(1));
        }
    }
}

fn names(raw: &Raw, name: &str, world: &World) -> Vec<String> {
    let second = match raw.kind {
        Kind::Key | Kind::Budget => own_text(raw, "external_id").map(str::to_owned),
        Kind::Provider => own_text(raw, "routing_handle").map(str::to_ascii_lowercase),
        Kind::Guardrail => own_text(raw, "project_id")
            .or_else(|| own_text(raw, "project"))
            .map(|project| {
                let label = world.resolve(What::Project, project);
                format!("{}/{name}", label.as_deref().unwrap_or(project))
            }),
        Kind::Policy | Kind::CacheRule => None,
    };
    [name.to_owned()].into_iter().chain(second).collect()
}
