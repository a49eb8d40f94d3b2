//! How one model is spelled in different places (billing 5, rule 1).
//!
//! A name is taken apart into a stem, a date and a version; [`asks`] lists, in order, whose rows to
//! search and for what. Must never join models that are priced apart: a dated name falls back to the
//! undated one, an undated one to the newest dated, and a dated one never to another date. A vendor
//! reached through someone else's platform is asked last. Start at [`asks`].

use std::borrow::Cow;

/// Whose rows to search and for what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask<'a> {
    /// Provider kind of the rows.
    pub(super) kind: &'a str,
    /// A row of exactly this name, first of all.
    pub(super) exact: Option<&'a str>,
    /// Else one of this stem that agrees with the date and the version.
    pub(super) stem: Cow<'a, str>,
    pub(super) date: Option<u32>,
    pub(super) version: Option<&'a str>,
}

/// A model name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// The name without date, version and "latest".
    pub(super) stem: &'a str,
    /// `20251001`, or the small number of a Google version (`-001`).
    pub(super) date: Option<u32>,
    /// Bedrock's `-v1:0`.
    pub(super) version: Option<&'a str>,
    /// It names whatever is newest.
    pub(super) floating: bool,
}

impl Parts<'_> {
    /// Whether two spellings of one stem may be the same model.
    pub(super) fn agree(&self, date: Option<u32>, version: Option<&str>) -> bool {
        let dates = self.date.is_none() || date.is_none() || self.date == date;
        let versions = self.version.is_none() || version.is_none() || self.version == version;
        dates && versions
    }
}

/// Kinds with a second spelling (data-plane 12.2).
const ALIASES: [(&str, &str); 8] = [
    ("azure_openai", "azure"),
    ("azure_ai", "azure"),
    ("aws_bedrock", "bedrock"),
    ("vertex_ai", "vertex"),
    ("google_vertex", "vertex"),
    ("google_gemini", "gemini"),
    ("google_agent_platform", "gemini"),
    ("custom_openai", "custom"),
];

/// Bedrock names a model behind a geography. Not GovCloud, whose prices are its own.
const GEOGRAPHIES: [&str; 7] = ["global.", "us.", "eu.", "apac.", "au.", "jp.", "ca."];

/// The one spelling of a provider kind.
pub(super) fn canonical_kind(kind: &str) -> Cow<'_, str> {
    if let Some((_, kind)) = ALIASES
        .iter()
        .find(|(alias, _)| alias.eq_ignore_ascii_case(kind))
    {
        return Cow::Borrowed(kind);
    }
    if kind.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(kind.to_ascii_lowercase());
    }
    Cow::Borrowed(kind)
}

/// Where a model of a provider may have its price, best first. `kind` is canonical.
pub(super) fn asks<'a>(kind: &'a str, model: &'a str) -> Vec<Ask<'a>> {
    let name = bare(kind, model);
    let mut asks = Vec::with_capacity(4);
    if name != model {
        // A vendor may have a model whose own name starts like the kind: Groq's `groq/compound`.
        asks.push(Ask {
            exact: Some(model),
            ..stem_ask(kind, kind, model)
        });
    }
    asks.push(Ask {
        exact: Some(name),
        ..stem_ask(kind, kind, name)
    });
    match kind {
        "bedrock" => {
            let here = without_geography(name);
            if here != name {
                asks.push(Ask {
                    exact: Some(here),
                    ..stem_ask(kind, kind, here)
                });
            }
            if here.starts_with("claude-") {
                let ask = stem_ask(kind, kind, here);
                asks.push(Ask {
                    stem: format!("anthropic.{}", ask.stem).into(),
                    ..ask
                });
            }
            let anthropic = here.strip_prefix("anthropic.").unwrap_or(here);
            if anthropic.starts_with("claude-") {
                asks.push(vendor_ask("anthropic", kind, anthropic));
            } else if let Some(openai) = here.strip_prefix("openai.") {
                asks.push(vendor_ask("openai", kind, openai));
            }
        }
        "vertex" | "azure" if name.starts_with("claude-") => {
            asks.push(vendor_ask("anthropic", kind, name));
        }
        "azure" => asks.push(Ask {
            exact: Some(name),
            ..stem_ask("openai", kind, name)
        }),
        "vertex" if name.starts_with("gemini-") => {
            asks.push(Ask {
                exact: Some(name),
                ..stem_ask("gemini", kind, name)
            });
        }
        "gemini" if name.starts_with("gemini-") => {
            asks.push(Ask {
                exact: Some(name),
                ..stem_ask("vertex", kind, name)
            });
        }
        _ => {}
    }
    asks
}

/// Asks `rows` for a name that is spelled as `kind` does, by stem alone.
fn stem_ask<'a>(rows: &'a str, kind: &str, name: &'a str) -> Ask<'a> {
    let Parts {
        stem,
        date,
        version,
        floating: _,
    } = parts(kind, name);
    Ask {
        kind: rows,
        exact: None,
        stem: Cow::Borrowed(stem),
        date,
        version,
    }
}

/// Asks the vendor itself: the platform's version suffix means nothing there.
fn vendor_ask<'a>(vendor: &'a str, kind: &str, name: &'a str) -> Ask<'a> {
    Ask {
        version: None,
        ..stem_ask(vendor, kind, name)
    }
}

/// The model without what only says where it is served.
fn bare<'a>(kind: &str, model: &'a str) -> &'a str {
    let mut name = model;
    if let Some((first, rest)) = name.split_once('/')
        && canonical_kind(first) == kind
    {
        name = rest;
    }
    match kind {
        "bedrock" if name.starts_with("arn:") => {
            name = name.rsplit_once('/').map_or(name, |(_, last)| last);
        }
        "gemini" | "vertex" => {
            name = name.strip_prefix("models/").unwrap_or(name);
            name = name.rsplit_once("/models/").map_or(name, |(_, last)| last);
        }
        // A fine-tuned model is `ft:<base>:<organization>:<name>:<id>`; it costs what its base costs
        // fine-tuned, which the rows call `ft:<base>`.
        "openai" | "azure" if name.starts_with("ft:") => {
            let end = name
                .match_indices(':')
                .nth(1)
                .map_or(name.len(), |(at, _)| at);
            name = name.get(..end).unwrap_or(name);
        }
        _ => {}
    }
    name
}

fn without_geography(name: &str) -> &str {
    GEOGRAPHIES
        .iter()
        .find_map(|geography| name.strip_prefix(geography))
        .unwrap_or(name)
}

/// Takes a bare name apart.
pub(super) fn parts<'a>(kind: &str, name: &'a str) -> Parts<'a> {
    let google = matches!(kind, "gemini" | "vertex");
    for latest in ["-latest", "@latest", "@default"] {
        if let Some(stem) = name.strip_suffix(latest) {
            return Parts {
                stem,
                date: None,
                version: None,
                floating: true,
            };
        }
    }
    let (rest, version) = if kind == "bedrock" {
        split_version(name)
    } else {
        (name, None)
    };
    let (stem, date) = match split_date(rest) {
        Some((stem, date)) => (stem, Some(date)),
        None => match rest.rsplit_once(['-', '@']) {
            Some((stem, number)) if google && number.len() == 3 => match digits(number) {
                Some(number) => (stem, Some(number)),
                None => (rest, None),
            },
            _ => (rest, None),
        },
    };
    Parts {
        stem,
        date,
        version,
        floating: false,
    }
}

/// Splits `-v1:0`, `-v1` or `:0` (and a context size, `:0:200k`) off a Bedrock name.
fn split_version(name: &str) -> (&str, Option<&str>) {
    let mut end = name.len();
    if let Some((head, tail)) = name.split_once(':')
        && digits(tail.split_once(':').map_or(tail, |(number, _)| number)).is_some()
    {
        end = head.len();
    }
    let head = name.get(..end).unwrap_or(name);
    if let Some((stem, number)) = head.rsplit_once("-v")
        && digits(number).is_some()
    {
        end = stem.len();
    }
    match name.split_at_checked(end) {
        Some((stem, version)) if !version.is_empty() => (stem, Some(version)),
        _ => (name, None),
    }
}

/// Splits `-20251001`, `@20251001` or `-2025-10-01` off a name.
fn split_date(name: &str) -> Option<(&str, u32)> {
    if let Some((stem, date)) = name.rsplit_once(['-', '@'])
        && date.len() == 8
        && let Some(date) = digits(date)
        && is_date(date)
    {
        return Some((stem, date));
    }
    let (rest, day) = name.rsplit_once('-')?;
    let (rest, month) = rest.rsplit_once('-')?;
    let (stem, year) = rest.rsplit_once('-')?;
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let date = digits(year)? * 10_000 + digits(month)? * 100 + digits(day)?;
    is_date(date).then_some((stem, date))
}

fn is_date(date: u32) -> bool {
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    (2020..2100).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// At most eight decimal digits, as a number.
fn digits(text: &str) -> Option<u32> {
    let plain = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_apart() {
        for (kind, name, stem, date, version) in [
            ("openai", "gpt-4o", "gpt-4o", None, None),
            (
                "openai",
                "gpt-4o-2024-08-06",
                "gpt-4o",
                Some(20_240_806),
                None,
            ),
            ("openai", "gpt-4-0613", "gpt-4-0613", None, None),
            ("openai", "gpt-4o-99999999", "gpt-4o-99999999", None, None),
            (
                "anthropic",
                "claude-haiku-4-5-20251001",
                "claude-haiku-4-5",
                Some(20_251_001),
                None,
            ),
            (
                "anthropic",
                "claude-3-7-sonnet-latest",
                "claude-3-7-sonnet",
                None,
                None,
            ),
            (
                "vertex",
                "claude-sonnet-4-5@20250929",
                "claude-sonnet-4-5",
                Some(20_250_929),
                None,
            ),
            (
                "vertex",
                "claude-opus-5@default",
                "claude-opus-5",
                None,
                None,
            ),
            (
                "gemini",
                "gemini-2.0-flash-001",
                "gemini-2.0-flash",
                Some(1),
                None,
            ),
            (
                "openai",
                "text-embedding-ada-002",
                "text-embedding-ada-002",
                None,
                None,
            ),
            (
                "bedrock",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "us.anthropic.claude-sonnet-4-5",
                Some(20_250_929),
                Some("-v1:0"),
            ),
            (
                "bedrock",
                "anthropic.claude-opus-4-6-v1",
                "anthropic.claude-opus-4-6",
                None,
                Some("-v1"),
            ),
            (
                "bedrock",
                "amazon.nova-lite-v1:0:300k",
                "amazon.nova-lite",
                None,
                Some("-v1:0:300k"),
            ),
            (
                "bedrock",
                "openai.gpt-oss-20b-1:0",
                "openai.gpt-oss-20b-1",
                None,
                Some(":0"),
            ),
            ("openai", "llama3:8b", "llama3:8b", None, None),
        ] {
            let floating = name.ends_with("latest") || name.ends_with("default");
            assert_eq!(
                parts(kind, name),
                Parts {
                    stem,
                    date,
                    version,
                    floating
                },
                "{name}"
            );
        }
    }

    #[test]
    fn what_only_says_where_is_stripped() {
        for (kind, model, name) in [
            ("openai", "openai/gpt-4o", "gpt-4o"),
            ("bedrock", "AWS_BEDROCK/amazon.nova", "amazon.nova"),
            ("groq", "openai/gpt-oss-20b", "openai/gpt-oss-20b"),
            (
                "bedrock",
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova",
                "us.amazon.nova",
            ),
            ("gemini", "models/gemini-x", "gemini-x"),
            (
                "vertex",
                "projects/p/locations/l/publishers/anthropic/models/claude-x",
                "claude-x",
            ),
            (
                "openai",
                "ft:gpt-4o-2024-08-06:acme::abc",
                "ft:gpt-4o-2024-08-06",
            ),
        ] {
            assert_eq!(bare(kind, model), name, "{model}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_safe(
            kind in "openai|bedrock|vertex|gemini|azure|custom|x",
            name in "(us\\.|ft:|arn:|models/)?[a-zé:@/\\-0-9.v]{0,40}",
        ) {
            let asks = asks(&kind, &name);
            prop_assert!(!asks.is_empty() && asks.len() <= 5);
        }
    }
}
