//! What the administration groups have in common: organization calls, whole lists, generic views.
//!
//! A group describes its resource once, as a [`Resource`], and keeps only its flags and its own
//! rules. Machine output is the server's own answer: the envelope of a list stays, with all of its
//! rows in it; a single object comes bare.

use clap::Args;
use ureq::http::Method;

use super::bare;
use super::virtual_key_view::{field, optional};
use crate::args::when;
use crate::client::{Headers, Request, segment};
use crate::context::Context;
use crate::error::CliError;
use crate::failure::Failure;
use crate::json::Json;
use crate::style::Style;
use crate::table::{Table, details};

/// Rows asked for at a time when a list is fetched whole.
const PAGE_SIZE: usize = 200;
/// A list that needs more pages than this is not ending.
const MAX_PAGES: usize = 10_000;

/// The flags of a list with numbered pages.
#[derive(Args, Debug)]
pub(crate) struct PageFlags {
    /// Fetch only this page, the first is 1 (default: all pages)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    page: Option<u32>,

    /// Rows of a page; without --page, of the first page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: Option<u32>,
}

/// The flags of a list that is cut by offset.
#[derive(Args, Debug)]
pub(crate) struct OffsetFlags {
    /// Skip this many rows
    #[arg(long, value_name = "N")]
    offset: Option<u32>,

    /// Fetch at most this many rows (default: all)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// How a column or a line gets its text.
#[derive(Clone, Copy)]
pub(crate) enum Cell {
    /// A field as it is.
    Field(&'static str),
    /// A time, to the minute.
    When(&'static str),
    /// Whatever the function makes of the row; nothing is absent.
    Made(fn(&Json, Style) -> Option<String>),
}

impl Cell {
    fn text(self, row: &Json, style: Style) -> Option<String> {
        match self {
            Self::Field(name) => optional(row, name),
            Self::When(name) => when(row.get(name)),
            Self::Made(make) => make(row, style),
        }
    }
}

/// Headers or labels with what stands under or beside them.
pub(crate) type Cells = [(&'static str, Cell)];

/// A kind of thing that the organization holds.
pub(crate) struct Resource {
    /// For sentences: `Team`.
    pub(crate) name: &'static str,
    /// Where its routes begin: `/api/teams`.
    pub(crate) base: &'static str,
    /// The field that answers may wrap one of it in: `team`.
    pub(crate) wrapper: &'static str,
    pub(crate) columns: &'static Cells,
    pub(crate) details: &'static Cells,
    /// What to say, and to run, when there is none.
    pub(crate) empty: &'static str,
}

impl Resource {
    /// A call on the collection.
    pub(crate) fn all(&self, method: Method) -> Request {
        organization_request(method, self.base)
    }

    /// A call on one of it; `tail` begins with `/` or is empty.
    pub(crate) fn one(&self, method: Method, id: &str, tail: &str) -> Request {
        organization_request(method, format!("{}/{}{tail}", self.base, segment(id)))
    }

    pub(crate) fn show_list(
        &self,
        context: &mut Context<'_>,
        answer: Json,
        rows: &str,
    ) -> Result<(), CliError> {
        context.show(answer, |answer, style| {
            table(rows_of(answer, rows), style, self.columns, self.empty)
        })
    }

    pub(crate) fn get(
        &self,
        context: &mut Context<'_>,
        action: &'static str,
        id: &str,
    ) -> Result<(), CliError> {
        let answer = context.send(action, &self.one(Method::GET, id, ""))?;
        context.show(bare(answer, self.wrapper), |value, style| {
            lines(value, style, self.details)
        })
    }

    /// Sends a create or an update, and shows a sentence and what came of it.
    pub(crate) fn change(
        &self,
        context: &mut Context<'_>,
        action: &'static str,
        request: &Request,
        done: &str,
    ) -> Result<(), CliError> {
        let value = bare(context.send(action, request)?, self.wrapper);
        context.show(value, |value, style| {
            let sentence = format!("{} \"{}\" {done}.", self.name, name_of(value));
            let lines = lines(value, style, self.details);
            format!("{}\n\n{lines}", style.green(&sentence))
        })
    }

    /// Sends a removal; people get a sentence.
    pub(crate) fn remove(
        &self,
        context: &mut Context<'_>,
        action: &'static str,
        id: &str,
        done: &str,
    ) -> Result<(), CliError> {
        let sentence = format!("{} {id} {done}.", self.name);
        acknowledge(
            context,
            action,
            &self.one(Method::DELETE, id, ""),
            &sentence,
        )
    }
}

pub(crate) fn organization_request(method: Method, path: impl Into<String>) -> Request {
    Request::new(method, Headers::Organization, path)
}

/// Sends a call whose answer says little: people get the sentence, programs the answer.
pub(crate) fn acknowledge(
    context: &mut Context<'_>,
    action: &'static str,
    request: &Request,
    sentence: &str,
) -> Result<(), CliError> {
    let mut answer = context.send(action, request)?;
    if answer.fields().is_empty() && !matches!(answer, Json::Array(_)) {
        answer = Json::object([("success", true.into())]);
    }
    context.show(answer, |_, style| {
        let sentence = crate::table::clean(sentence);
        format!("{}\n", style.green(&sentence))
    })
}

/// A page list: the page that was asked for, else `{data, pagination}` of all pages.
pub(crate) fn send_pages(
    context: &mut Context<'_>,
    action: &'static str,
    request: &Request,
    flags: &PageFlags,
) -> Result<Json, CliError> {
    let PageFlags { page, limit } = flags;
    if page.is_some() || limit.is_some() {
        let request = request.clone().query("page", *page).query("limit", *limit);
        return context.send(action, &request);
    }
    let mut rows = Vec::new();
    for page in 1..=MAX_PAGES {
        let request = request.clone().query("page", Some(page));
        let request = request.query("limit", Some(PAGE_SIZE));
        let mut answer = context.send(action, &request)?;
        let Some(Json::Array(batch)) = answer.take("data") else {
            return Ok(answer);
        };
        let last = batch.is_empty();
        rows.extend(batch);
        let total = answer.at(&["pagination", "total"]).and_then(Json::as_i64);
        if last || reached(rows.len(), total) {
            let mut whole = Json::object([]);
            let found = rows.len();
            whole.set("data", rows.into());
            if answer.get("pagination").is_some() {
                let pagination = Json::object([
                    ("page", 1_i64.into()),
                    ("limit", found.max(PAGE_SIZE).into()),
                    ("total", total.map_or_else(|| found.into(), Json::from)),
                ]);
                whole.set("pagination", pagination);
            }
            return Ok(whole);
        }
    }
    Err(endless(action))
}

/// An offset list, `{<rows>, totalCount}`: all of it unless a limit was asked for.
pub(crate) fn send_offsets(
    context: &mut Context<'_>,
    action: &'static str,
    request: &Request,
    rows: &str,
    flags: &OffsetFlags,
) -> Result<Json, CliError> {
    let OffsetFlags { offset, limit } = flags;
    if limit.is_some() {
        let request = request.clone().query("offset", *offset);
        return context.send(action, &request.query("limit", *limit));
    }
    let start = usize::try_from(offset.unwrap_or_default()).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    for _ in 0..MAX_PAGES {
        let next = start.saturating_add(all.len());
        let request = request.clone().query("offset", Some(next));
        let request = request.query("limit", Some(PAGE_SIZE));
        let mut answer = context.send(action, &request)?;
        let Some(Json::Array(batch)) = answer.take(rows) else {
            return Ok(answer);
        };
        let last = batch.is_empty();
        all.extend(batch);
        let total = answer.get("totalCount").and_then(Json::as_i64);
        if last || reached(start.saturating_add(all.len()), total) {
            let found = all.len();
            let mut whole = Json::object([]);
            whole.set(rows, all.into());
            let total = total.map_or_else(|| found.into(), Json::from);
            whole.set("totalCount", total);
            return Ok(whole);
        }
    }
    Err(endless(action))
}

/// Whether `found` rows are all; a list that names no total has one page.
fn reached(found: usize, total: Option<i64>) -> bool {
    total.is_none_or(|total| i64::try_from(found).is_ok_and(|found| found >= total))
}

fn endless(action: &'static str) -> CliError {
    let message = "the list does not end: the server keeps answering with more pages";
    let failure = Box::new(Failure::local("invalid_response", message));
    CliError::Call { action, failure }
}

/// The rows of a list answer, whether bare or in an envelope.
pub(crate) fn rows_of<'a>(answer: &'a Json, rows: &str) -> &'a [Json] {
    match answer {
        Json::Array(items) => items,
        _ => answer
            .get(rows)
            .or_else(|| answer.get("data"))
            .map_or(&[], Json::items),
    }
}

pub(crate) fn table(rows: &[Json], style: Style, columns: &Cells, empty: &str) -> String {
    if rows.is_empty() {
        return format!("{empty}\n");
    }
    let headers: Vec<&'static str> = columns.iter().map(|(header, _)| *header).collect();
    let mut table = Table::new(headers);
    for row in rows {
        let cells = columns.iter().map(|(_, cell)| {
            let text = cell.text(row, style);
            text.unwrap_or_else(|| "-".to_owned())
        });
        table.row(cells.collect::<Vec<String>>());
    }
    table.render(style)
}

pub(crate) fn lines(value: &Json, style: Style, cells: &Cells) -> String {
    let rows: Vec<(&str, Option<String>)> = cells
        .iter()
        .map(|(label, cell)| (*label, cell.text(value, style)))
        .collect();
    details(style, 0, &rows)
}

/// What a person calls it: its name, else its address, else its id.
fn name_of(value: &Json) -> String {
    optional(value, "name")
        .or_else(|| optional(value, "email"))
        .unwrap_or_else(|| field(value, "id"))
}

/// Sets a text field that was said.
pub(crate) fn set_text(body: &mut Json, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        body.set(name, value.into());
    }
}

/// Sets a list of texts that was said at all.
pub(crate) fn set_texts(body: &mut Json, name: &str, values: &[String]) {
    if !values.is_empty() {
        let values: Vec<Json> = values.iter().map(|value| value.as_str().into()).collect();
        body.set(name, values.into());
    }
}

/// The body, or the complaint that it is empty.
pub(crate) fn something(body: Json, flags: &str) -> Result<Json, CliError> {
    if body.fields().is_empty() {
        let sentence = format!("nothing to update. Provide at least one of {flags}.");
        return Err(CliError::usage(sentence));
    }
    Ok(body)
}

/// The surroundings of a fresh key, for the person who asked for it.
pub(crate) struct Minted<'a> {
    /// What happened, without the key.
    pub(crate) sentence: String,
    pub(crate) secret: &'a str,
    /// Whether it can be read again later.
    pub(crate) once: bool,
    /// The lines below, without the key.
    pub(crate) lines: String,
}

impl Minted<'_> {
    /// The text; only the key itself passes the redactor by.
    pub(crate) fn text(&self, style: Style, redactor: &crate::redact::Redactor) -> String {
        let secret = crate::table::clean(self.secret);
        let mut out = format!("{}\n", style.green(&self.sentence));
        if secret.is_empty() {
            // Not every server makes a key here.
            out.push_str(&format!("\n{}", self.lines));
            return redactor.text(&out);
        }
        if self.once {
            let warning = "Copy the key now: it is shown only once.";
            out.push_str(&format!("{}\n", style.yellow(warning)));
        }
        let mut out = redactor.text(&out);
        out.push_str(&format!("\n{}\n\n", style.bold(&secret)));
        out.push_str(&format!("export LANGWATCH_API_KEY=\"{secret}\"\n"));
        if !self.lines.is_empty() {
            out.push_str(&redactor.text(&format!("\n{}", self.lines)));
        }
        out
    }
}
