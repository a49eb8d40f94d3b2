//! Developer tasks: `cargo xtask <task>`.
//!
//! Everything that CI does and everything that a developer repeats is a task here, so that it is the
//! same command everywhere. Must never be needed to build or run the product. Start at [`Task`].

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Parser;

mod bench;
mod compat;
mod prices;
mod tidy;

/// Developer tasks of the LangWatch gateway.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Run every test: the workspace, then the official SDKs and a fuzzer of the management API against
    /// the real binary.
    Test,
    /// Check formatting, lints, dependencies and the shape of the tree.
    Lint(LintArgs),
    /// Check the shape of the tree: crate boundaries, file sizes, paths of machines.
    Tidy,
    /// Everything that CI does, in the same order.
    Ci,
    /// Measure the gateway beside nginx and the provider itself, in one run.
    Bench(bench::BenchArgs),
    /// Write `docs/openapi.json`, the description of the management API.
    Openapi,
    /// Write `docs/compatibility.md`: what works between every surface and every kind of provider.
    Compat(compat::CompatArgs),
    /// Refresh the bundled price catalogue and show what changed.
    Prices(prices::PricesArgs),
}

/// Options of `cargo xtask lint`.
#[derive(clap::Args)]
struct LintArgs {
    /// Leave `cargo deny` out (it has to be installed).
    #[arg(long)]
    without_deny: bool,
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Test => test(),
        Task::Lint(args) => lint(&args),
        Task::Tidy => tidy::run(),
        Task::Ci => ci(),
        Task::Bench(args) => bench::run(args),
        Task::Openapi => openapi(),
        Task::Compat(args) => compat::run(&args),
        Task::Prices(args) => prices::run(args),
    }
}

fn openapi() -> anyhow::Result<()> {
    let output = cargo()
        .args(["run", "--quiet", "--package", "langwatch", "--", "openapi"])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the description could not be made: {}", output.status);
    }
    let path = root().join("docs/openapi.json");
    std::fs::write(&path, output.stdout).with_context(|| path.display().to_string())
}

fn ci() -> anyhow::Result<()> {
    lint(&LintArgs {
        without_deny: false,
    })?;
    test()
}

fn test() -> anyhow::Result<()> {
    step(cargo().args(["test", "--workspace", "--no-fail-fast"]))?;
    let binary = target_dir()?.join("debug").join("langwatch");
    step(cargo().args(["build", "--package", "langwatch"]))?;
    step(Command::new(root().join("tests/sdk/run")).arg(&binary))?;
    step(Command::new(root().join("tests/cli/run")).arg(&binary))?;
    step(Command::new(root().join("tests/api/run")).arg(&binary))
}

fn lint(args: &LintArgs) -> anyhow::Result<()> {
    step(cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run()?;
    compat::run(&compat::CompatArgs { check: true })?;
    step(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    if !args.without_deny {
        let deny = [
            "deny",
            "--all-features",
            "check",
            "bans",
            "licenses",
            "sources",
        ];
        step(cargo().args(deny))
            .context("is cargo-deny installed? `cargo install --locked cargo-deny`")?;
    }
    Ok(())
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

/// The folder that cargo builds into.
fn target_dir() -> anyhow::Result<PathBuf> {
    let metadata = metadata()?;
    let text = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str);
    Ok(PathBuf::from(
        text.context("cargo metadata names no target folder")?,
    ))
}

/// What cargo knows about the workspace's own packages.
fn metadata() -> anyhow::Result<serde_json::Value> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs one step, showing what it is.
#[expect(clippy::print_stderr, reason = "a task tells what it does")]
fn step(command: &mut Command) -> anyhow::Result<()> {
    eprintln!("$ {command:?}");
    let status = command
        .status()
        .with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}
