//! `docs/compatibility.md`: what works between every surface and every kind of provider.
//!
//! Made of two things that tests hold: the snapshot of how each kind serves each surface (`lw-proxy`), and the
//! goldens of what becomes of each request on its way to each provider (`lw-translate`). Nothing is claimed
//! here that no test checks. Start at [`document`].

mod titles;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::root;
use titles::{GROUPS, title_of};

/// Options of `cargo xtask compat`.
#[derive(clap::Args)]
pub(crate) struct CompatArgs {
    /// Write nothing; fail when the committed page is out of date.
    #[arg(long)]
    pub(crate) check: bool,
}

const PAGE: &str = "docs/compatibility.md";
const WAYS: &str = "crates/proxy/src/lane/snapshots/\
    lw_proxy__lane__ways__tests__every_surface_has_its_way_to_every_kind.snap";
const GOLDENS: &str = "crates/translate/tests/goldens/requests";

/// The surfaces of conversations: word in the snapshot and of the goldens, title, what calls it.
const SURFACES: [(&str, &str, &str, &str); 4] = [
    (
        "chat",
        "chat",
        "Chat Completions",
        "`POST /v1/chat/completions`: the OpenAI SDKs (`client.chat.completions`), LangChain, LiteLLM, most tools.",
    ),
    (
        "responses",
        "responses",
        "Responses",
        "`POST /v1/responses`: the OpenAI SDKs (`client.responses`), the Agents SDK, Codex.",
    ),
    (
        "messages",
        "messages",
        "Messages",
        "`POST /v1/messages`: the Anthropic SDKs, Claude Code.",
    ),
    (
        "generate",
        "gemini",
        "Gemini",
        "`POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`: the Google Gen AI SDKs, \
         Gemini CLI.",
    ),
];

/// Further surfaces.
const OTHERS: [(&str, &str); 4] = [
    ("embeddings", "Embeddings (OpenAI)"),
    ("gemini_embed", "Embeddings (Gemini)"),
    ("count_tokens", "Token count (Anthropic)"),
    ("gemini_count", "Token count (Gemini)"),
];

/// The columns of features: folder of the goldens, title, and the surface that it needs no golden for.
const COLUMNS: [(&str, &str, &str); 8] = [
    ("responses", "OpenAI, Azure", "responses"),
    ("chat", "Compatible", "chat"),
    ("messages", "Claude to 4.5", "messages"),
    ("messages-adaptive", "Claude from 4.6", "messages"),
    ("gemini", "Gemini 2.5", "gemini"),
    ("gemini3", "Gemini 3", "gemini"),
    ("converse", "Bedrock, Claude", ""),
    ("converse-nova", "Bedrock, Nova", ""),
];

/// What a golden holds of interest.
#[derive(Deserialize)]
struct Golden {
    #[serde(default)]
    dropped: Vec<String>,
    #[serde(default)]
    problem: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    param: String,
}

/// How a kind serves each surface.
#[derive(Deserialize)]
struct Provider {
    provider: String,
    ways: BTreeMap<String, Option<String>>,
}

pub(crate) fn run(args: &CompatArgs) -> anyhow::Result<()> {
    let made = document(&root())?;
    let path = root().join(PAGE);
    if args.check {
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if committed != made {
            bail!("{PAGE} is out of date: run `cargo xtask compat`");
        }
        return Ok(());
    }
    fs::write(&path, made).with_context(|| path.display().to_string())
}

/// The page, from what lies in the tree.
///
/// # Errors
/// A file is missing or not what it should be, or a case has no title.
fn document(root: &Path) -> anyhow::Result<String> {
    let providers = ways(root)?;
    let mut out = String::from(HEAD);
    out.push_str("\n## Surfaces and providers\n\n");
    surfaces(&mut out, &providers)?;
    for (_, dialect, title, callers) in SURFACES {
        write!(out, "\n## {title}\n\n{callers}\n")?;
        features(&mut out, root, dialect)?;
    }
    Ok(out)
}

const HEAD: &str = "\
# Compatibility

<!-- Written by `cargo xtask compat` from what the tests hold. Change the cases or the code, not this page. -->

Every surface reaches every kind of provider that can serve it, whichever SDK calls. Where the provider speaks
the caller's dialect, bytes pass as they are (**native**). Everywhere else the gateway translates requests,
answers, streams and errors (**translated**).

To find out whether something works: take the section of the SDK that calls, and the column of the model that
shall answer.

| In a cell | means |
|---|---|
| yes | it reaches the model: as it is, or as what the provider has for it |
| native | the body is not touched: it is the provider's to say |
| without `x` | the rest works; `x` is left out and named in the header `X-LangWatch-Params-Dropped` |
| no: `x` | the request is refused with a 400 that names `x` and says what to do |

A caller that sends `\"drop_tuning_params\": false` gets a refusal in place of everything that would be left out.
Columns: *OpenAI, Azure* is the Responses API; *Compatible* is any server that speaks Chat Completions (custom,
Groq, xAI, DeepSeek, Mistral ...); *Claude* and *Gemini* are the models at their vendors and on Vertex AI, Claude
with `anthropic_invoke` also on Bedrock; *Bedrock* is the Converse API.
";

fn ways(root: &Path) -> anyhow::Result<Vec<Provider>> {
    let path = root.join(WAYS);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // A snapshot has a head between two lines of dashes.
    let body = text.splitn(3, "---\n").nth(2);
    serde_json::from_str(body.context("the snapshot has no body")?)
        .context("the snapshot of the ways is not the expected JSON")
}

fn surfaces(out: &mut String, providers: &[Provider]) -> anyhow::Result<()> {
    let columns: Vec<(&str, &str)> = SURFACES
        .iter()
        .map(|(word, _, title, _)| (*word, *title))
        .chain(OTHERS)
        .collect();
    let titles: Vec<&str> = columns.iter().map(|(_, title)| *title).collect();
    writeln!(out, "| Provider | {} |", titles.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(columns.len() + 1))?;
    for Provider { provider, ways } in providers {
        let cell = |(word, _): &(&str, &str)| -> anyhow::Result<&'static str> {
            let way = ways
                .get(*word)
                .with_context(|| format!("no way for {word}"))?;
            Ok(match way.as_deref() {
                None => "no",
                Some("Native") => "native",
                // The body is the caller's but for the fields that the cloud has in its path.
                Some("Claude") => "native, two fields moved",
                Some("Count" | "Embeddings") => "translated",
                Some(way) if way.starts_with("Translated") => "translated",
                Some(other) => bail!("a way that the page has no word for: {other}"),
            })
        };
        let cells: Vec<&str> = columns.iter().map(cell).collect::<Result<_, _>>()?;
        writeln!(out, "| {provider} | {} |", cells.join(" | "))?;
    }
    Ok(())
}

/// The tables of one surface: a row for each feature that it has a case of.
fn features(out: &mut String, root: &Path, dialect: &str) -> anyhow::Result<()> {
    let cases = cases(
        &root
            .join("crates/translate/tests/cases/requests")
            .join(dialect),
    )?;
    for case in &cases {
        if title_of(case).is_none() {
            bail!("the case {case} has no title: add one in xtask/src/compat/titles.rs");
        }
    }
    // A native column needs no golden.
    let columns: Vec<(&str, &str, &str)> = COLUMNS.to_vec();
    let titles: Vec<&str> = columns.iter().map(|(_, title, _)| *title).collect();
    for (group, features) in GROUPS {
        let here: Vec<&(&str, &str)> = features
            .iter()
            .filter(|(case, _)| cases.contains(*case))
            .collect();
        if here.is_empty() {
            continue;
        }
        writeln!(out, "\n### {group}\n\n| | {} |", titles.join(" | "))?;
        writeln!(out, "|{}", "---|".repeat(columns.len() + 1))?;
        for (case, title) in here {
            let cells: Vec<String> = columns
                .iter()
                .map(|(folder, _, native)| {
                    // OpenAI and Azure speak both of their dialects.
                    let native = *native == dialect || (*folder, dialect) == ("responses", "chat");
                    if native {
                        return Ok("native".to_owned());
                    }
                    let path = root
                        .join(GOLDENS)
                        .join(format!("{dialect}-{folder}/{case}.json"));
                    cell(&path)
                })
                .collect::<anyhow::Result<_>>()?;
            writeln!(out, "| {title} | {} |", cells.join(" | "))?;
        }
    }
    Ok(())
}

fn cell(path: &PathBuf) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let Golden { dropped, problem } =
        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let named = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    Ok(match problem {
        Some(Problem { param }) => format!("no: {}", named(&[param])),
        None if dropped.is_empty() => "yes".to_owned(),
        None => format!("without {}", named(&dropped)),
    })
}

/// The names of the cases in a folder.
fn cases(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().map(|name| name.to_string_lossy());
        names.extend(name.map(std::borrow::Cow::into_owned));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_what_the_tests_hold() {
        if let Err(error) = run(&CompatArgs { check: true }) {
            panic!("{error:#}");
        }
    }

    #[test]
    fn a_title_stands_once_and_for_a_case_that_is_there() {
        let mut all = BTreeSet::new();
        for (_, dialect, ..) in SURFACES {
            let folder = root()
                .join("crates/translate/tests/cases/requests")
                .join(dialect);
            all.extend(cases(&folder).expect("cases"));
        }
        let titled: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, features)| features.iter().map(|(case, _)| *case))
            .collect();
        let once: BTreeSet<&str> = titled.iter().copied().collect();
        assert_eq!(once.len(), titled.len());
        for case in titled {
            assert!(all.contains(case), "{case} is titled and not there");
        }
    }
}
