//! Refreshes the bundled price catalogue, `crates/engine/data/prices.json`.
//!
//! The facts (rates, windows) come from a maintained catalogue that ships inside a published Python
//! package; nothing else of it enters our tree. A rate travels as the text of the published number,
//! so no float ever stands between the publisher and the bill. Must never invent a price: a row that
//! cannot be priced whole is left out, because a model without a price is safe ("unpriced") and a
//! model with half a price is not. Start at [`run`],
//! then [`convert`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use self::convert::{Converted, convert};

mod convert;

/// The package that carries the maintained catalogue, and the file in it.
const PACKAGE: &str = "litellm";
const MEMBER: &str = "litellm/model_prices_and_context_window_backup.json";

/// The file goes into every binary.
const LARGEST_FILE: usize = 500_000;

/// A refresh that loses more rows than this share is a broken source.
const FEWEST_KEPT_PERCENT: usize = 80;

/// Options of `cargo xtask prices`.
#[derive(clap::Args)]
pub(crate) struct PricesArgs {
    /// Convert this copy of the source file instead of downloading the package.
    #[arg(long, value_name = "JSON")]
    from: Option<PathBuf>,
    /// Release of the source package: what to download, or what `--from` was taken from.
    #[arg(long, value_name = "VERSION")]
    release: Option<String>,
    /// Date to record for what changed (UTC); today without it.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
    /// Write nothing; fail when a row of the committed file would change.
    #[arg(long)]
    check: bool,
}

/// Our catalogue file. `lw_engine::price` reads the same format.
#[derive(Deserialize, Serialize)]
struct Catalogue {
    updated_at: String,
    source: String,
    models: BTreeMap<String, Row>,
}

/// One model of one provider kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Row {
    provider: String,
    mode: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    floating: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context_window: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_output: Option<u64>,
    rates: Rates,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    long_context: Option<LongContext>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tiers: BTreeMap<String, Tier>,
    source: String,
    /// When this row last changed in our file.
    date: String,
}

/// Rate name to published decimal text, dollars for one unit.
type Rates = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LongContext {
    above_tokens: u64,
    rates: Rates,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    rates: Rates,
    #[serde(default, skip_serializing_if = "Rates::is_empty")]
    long_context: Rates,
}

pub(crate) fn run(args: PricesArgs) -> anyhow::Result<()> {
    let PricesArgs {
        from,
        release,
        date,
        check,
    } = args;
    let date = match date {
        Some(date) => date,
        None => output(Command::new("date").args(["-u", "+%F"]))?,
    };
    ensure!(
        date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-'),
        "{date:?} is not a date"
    );
    let (text, version) = match from {
        Some(path) => {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            (text, release.unwrap_or_else(|| "local copy".to_owned()))
        }
        None => download(release.as_deref())?,
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/engine/data/prices.json");
    let old: BTreeMap<String, Row> = match std::fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str::<Catalogue>(&text)
                .with_context(|| format!("{} does not parse", path.display()))?
                .models
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
    };

    let Converted { mut models, notes } = convert(&text, &date)?;
    for (id, row) in &mut models {
        if let Some(before) = old.get(id)
            && (Row {
                date: before.date.clone(),
                ..row.clone()
            }) == *before
        {
            row.date.clone_from(&before.date);
        }
    }
    let changes = differences(&old, &models);
    let mut out = std::io::stdout().lock();
    for note in &notes {
        writeln!(out, "note: {note}")?;
    }
    for change in &changes {
        writeln!(out, "{change}")?;
    }
    writeln!(
        out,
        "{} models, {} changes since the committed file",
        models.len(),
        changes.len()
    )?;
    ensure!(
        models.len() * 100 >= old.len() * FEWEST_KEPT_PERCENT,
        "only {} of {} models are left: is this the right source file?",
        models.len(),
        old.len()
    );
    if check {
        ensure!(
            changes.is_empty(),
            "the committed catalogue is not what the source says"
        );
        return Ok(());
    }
    let catalogue = Catalogue {
        updated_at: date,
        source: format!("{PACKAGE} {version}"),
        models,
    };
    let text = render(&catalogue)?;
    ensure!(
        text.len() <= LARGEST_FILE,
        "{} bytes is too large a catalogue",
        text.len()
    );
    std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(out, "wrote {} ({} bytes)", path.display(), text.len())?;
    Ok(())
}

/// Fetches the package with pip into a temporary folder; the source text and the release.
fn download(release: Option<&str>) -> anyhow::Result<(String, String)> {
    let folder = tempfile::tempdir()?;
    let wanted = release.map_or_else(|| PACKAGE.to_owned(), |r| format!("{PACKAGE}=={r}"));
    output(
        Command::new("python3")
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary",
                ":all:",
            ])
            .arg("--dest")
            .arg(folder.path())
            .arg(wanted),
    )?;
    let wheel = std::fs::read_dir(folder.path())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip downloaded no wheel")?;
    let version = wheel
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.split('-').nth(1))
        .context("the wheel's name has no version")?
        .to_owned();
    output(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(&wheel)
            .arg(folder.path().join("wheel")),
    )?;
    let text = std::fs::read_to_string(folder.path().join("wheel").join(MEMBER))
        .with_context(|| format!("the wheel has no {MEMBER}"))?;
    Ok((text, version))
}

/// Runs a command to its end; its trimmed output.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let done = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !done.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// What differs, one line a model that came or went and one line a price that moved.
fn differences(old: &BTreeMap<String, Row>, new: &BTreeMap<String, Row>) -> Vec<String> {
    let ids: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut lines = Vec::new();
    for id in ids {
        match (old.get(id), new.get(id)) {
            (None, Some(row)) => lines.push(format!("added    {id}  {}", summary(&row.rates))),
            (Some(row), None) => lines.push(format!("removed  {id}  {}", summary(&row.rates))),
            (Some(before), Some(after)) => {
                let (before, after) = (flat(before), flat(after));
                let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
                for name in names {
                    let (was, is) = (before.get(name), after.get(name));
                    if was != is {
                        let show = |v: Option<&String>| v.map_or("none", String::as_str).to_owned();
                        lines.push(format!(
                            "changed  {id}  {name} {} -> {}",
                            show(was),
                            show(is)
                        ));
                    }
                }
            }
            (None, None) => {}
        }
    }
    lines
}

fn summary(rates: &Rates) -> String {
    let mut text = String::new();
    for (name, rate) in rates {
        let _ = write!(text, "{name} {rate}  ");
    }
    text.trim_end().to_owned()
}

/// Everything that a row says but its date, by name.
fn flat(row: &Row) -> BTreeMap<String, String> {
    let Row {
        provider,
        mode,
        floating,
        context_window,
        max_output,
        rates,
        long_context,
        tiers,
        source,
        date: _,
    } = row;
    let count = |count: &Option<u64>| count.map_or("unknown".to_owned(), |n| n.to_string());
    let mut flat = BTreeMap::from([
        ("provider".to_owned(), provider.clone()),
        ("mode".to_owned(), mode.clone()),
        ("floating".to_owned(), floating.to_string()),
        ("context_window".to_owned(), count(context_window)),
        ("max_output".to_owned(), count(max_output)),
        ("source".to_owned(), source.clone()),
    ]);
    let mut add = |class: &str, rates: &Rates| {
        flat.extend(
            rates
                .iter()
                .map(|(name, rate)| (format!("{class}{name}"), rate.clone())),
        );
    };
    add("", rates);
    if let Some(long) = long_context {
        add("long_context.", &long.rates);
        add(
            "",
            &BTreeMap::from([("above_tokens".to_owned(), long.above_tokens.to_string())]),
        );
    }
    for (name, tier) in tiers {
        add(&format!("{name}."), &tier.rates);
        add(&format!("{name}.long_context."), &tier.long_context);
    }
    flat
}

/// The file: JSON with one model a line, so that a difference in review is a model.
fn render(catalogue: &Catalogue) -> anyhow::Result<String> {
    let mut text = format!(
        "{{\n\"updated_at\": {},\n\"source\": {},\n\"models\": {{\n",
        serde_json::to_string(&catalogue.updated_at)?,
        serde_json::to_string(&catalogue.source)?
    );
    for (index, (id, row)) in catalogue.models.iter().enumerate() {
        let comma = if index + 1 == catalogue.models.len() {
            ""
        } else {
            ","
        };
        writeln!(
            text,
            "{}: {}{comma}",
            serde_json::to_string(id)?,
            serde_json::to_string(row)?
        )?;
    }
    text.push_str("}\n}\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_readable_and_the_file_reads_back() {
        let row = |rate: &str| {
            let source = format!(
                r#"{{"e": {{"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": {rate}}}}}"#
            );
            convert(&source, "2026-01-02")
                .expect("a source that converts")
                .models
        };
        let (old, new) = (row("2e-8"), row("1e-8"));
        assert_eq!(
            differences(&old, &new),
            ["changed  openai/e  input 2e-8 -> 1e-8"]
        );
        assert_eq!(
            differences(&BTreeMap::new(), &new),
            ["added    openai/e  input 1e-8"]
        );
        assert_eq!(
            differences(&new, &BTreeMap::new()),
            ["removed  openai/e  input 1e-8"]
        );
        let file = Catalogue {
            updated_at: "2026-01-02".to_owned(),
            source: "s".to_owned(),
            models: new,
        };
        let text = render(&file).expect("renders");
        assert_eq!(text.lines().count(), 7);
        let back: Catalogue = serde_json::from_str(&text).expect("reads back");
        assert_eq!(back.models, file.models);
    }
}
