//! Plans, results and problems as people and programs read them.

use super::check::Problem;
use super::compare::Change;
use super::execute::Status;
use super::plan::{Action, Step};
use crate::json::Json;
use crate::style::Style;
use crate::table::clean;

/// What every plan ends with.
const NOTHING_IS_DELETED: &str =
    "Nothing is ever deleted: what the files do not name stays as it is.";
const SECRETS_STAY: &str = "Stored secrets cannot be read back, so they are taken as unchanged. \
     Send them again with --rotate-secrets.";

fn count(steps: &[Step], action: Action) -> usize {
    steps.iter().filter(|step| step.action == action).count()
}

/// Whether something has to be sent.
pub(super) fn differs(steps: &[Step]) -> bool {
    steps.iter().any(|step| step.action != Action::Unchanged)
}

/// The plan, or with other statuses the result, for a program.
pub(super) fn document(steps: &[Step], statuses: &[Status]) -> Json {
    let rows = steps.iter().enumerate().map(|(i, step)| {
        let status = match step.action {
            Action::Unchanged => Status::Done,
            _ => statuses.get(i).copied().unwrap_or(Status::Planned),
        };
        let changes = step.changes.iter().map(|change| {
            let Change { field, old, new } = change;
            Json::object([
                ("field", field.as_str().into()),
                ("old", old.clone()),
                ("new", new.clone()),
            ])
        });
        Json::object([
            ("kind", step.declared.kind.section().into()),
            ("name", step.label.as_str().into()),
            ("action", step.action.word().into()),
            ("status", status.word().into()),
            ("changes", Json::Array(changes.collect())),
        ])
    });
    let rows: Vec<Json> = rows.collect();
    Json::object([
        ("ok", true.into()),
        ("changed", differs(steps).into()),
        (
            "summary",
            Json::object([
                ("create", count(steps, Action::Create).into()),
                ("update", count(steps, Action::Update).into()),
                ("unchanged", count(steps, Action::Unchanged).into()),
            ]),
        ),
        ("steps", rows.into()),
    ])
}

/// The plan for a person.
pub(super) fn plan(steps: &[Step], style: Style) -> String {
    let mut out = String::new();
    for step in steps {
        let line = format!(
            "{} {} {}",
            step.declared.kind.section(),
            clean(&step.label),
            step.action.word()
        );
        match step.action {
            Action::Create => out.push_str(&style.green(&format!("+ {line}"))),
            Action::Update => out.push_str(&style.yellow(&format!("~ {line}"))),
            Action::Unchanged => out.push_str(&style.grey(&format!("= {line}"))),
        }
        out.push('\n');
        for Change { field, old, new } in &step.changes {
            let (field, old, new) = (clean(field), clean(&old.display()), clean(&new.display()));
            if step.action == Action::Create {
                out.push_str(&format!("    {field}: {new}\n"));
            } else {
                out.push_str(&format!("    {field}: {old} -> {new}\n"));
            }
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    if differs(steps) {
        out.push_str(&format!(
            "{} to create, {} to update, {} unchanged.\n",
            count(steps, Action::Create),
            count(steps, Action::Update),
            count(steps, Action::Unchanged)
        ));
    } else {
        out.push_str(&format!(
            "Nothing to do: {} unchanged.\n",
            count(steps, Action::Unchanged)
        ));
    }
    if steps.iter().any(|step| step.keeps_secrets) {
        out.push_str(&format!("{}\n", style.grey(SECRETS_STAY)));
    }
    out.push_str(&format!("{}\n", style.grey(NOTHING_IS_DELETED)));
    out
}

/// How an apply ended, for a person.
pub(super) fn result(steps: &[Step], statuses: &[Status], style: Style) -> String {
    let list = |wanted: Status| {
        let rows = steps.iter().zip(statuses);
        let rows =
            rows.filter(|(step, status)| **status == wanted && step.action != Action::Unchanged);
        rows.map(|(step, _)| {
            format!(
                "  {} {}\n",
                step.declared.kind.section(),
                clean(&step.label)
            )
        })
        .collect::<Vec<String>>()
    };
    let (done, failed, rest) = (
        list(Status::Done),
        list(Status::Failed),
        list(Status::NotTried),
    );
    if failed.is_empty() {
        return format!(
            "{}\n",
            style.green(&format!(
                "Done: {} created, {} updated, {} unchanged.",
                count(steps, Action::Create),
                count(steps, Action::Update),
                count(steps, Action::Unchanged)
            ))
        );
    }
    let mut out = String::new();
    for (title, rows) in [("Done:", done), ("Failed:", failed), ("Not tried:", rest)] {
        if !rows.is_empty() {
            out.push_str(&format!("{}\n{}", style.bold(title), rows.concat()));
        }
    }
    out.push_str("What is done stays done. Run the same command again to continue.\n");
    out
}

/// The secrets of new keys, for a person.
pub(super) fn secrets(secrets: &Json, style: Style) -> String {
    let mut out = format!(
        "{}\n",
        style.yellow("Copy the secrets of the new keys now: they are shown only once.")
    );
    for (label, secret) in secrets.fields() {
        out.push_str(&format!(
            "  {}  {}\n",
            clean(label),
            clean(&secret.display())
        ));
    }
    out
}

/// The problems of the files, sorted: the sentence, and one reason for each.
pub(super) fn problems(mut problems: Vec<Problem>, files: &[String]) -> (String, Vec<Json>) {
    problems.sort();
    problems.dedup();
    let reasons: Vec<Json> = problems
        .into_iter()
        .map(|problem| {
            let Problem {
                file,
                line,
                message,
            } = problem;
            Json::object([
                ("code", "invalid_configuration".into()),
                ("message", clean(&message).into()),
                ("file", files.get(file).map(String::as_str).into()),
                ("line", line.into()),
            ])
        })
        .collect();
    let sentence = match reasons.len() {
        1 => "The configuration has a problem. Nothing was changed.".to_owned(),
        many => format!("The configuration has {many} problems. Nothing was changed."),
    };
    (sentence, reasons)
}
