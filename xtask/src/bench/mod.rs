//! Measures the gateway beside nginx and the provider itself, in one run.
//!
//! The figure that counts is CPU time per request, because on shared cores it is the one that the
//! neighbours disturb least; see [`measure`] for how the targets take turns and [`load`] for what
//! latency means here. Everything runs on loopback, ends by itself, and is gone afterwards. Must
//! never print a number of a run with failed requests or missing records without saying so.
//! Start at [`run`].

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task's result and its progress"
)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;
use serde_json::Value;

use measure::Effort;
use process::Machine;
use report::{Report, Setting};
use rig::{Rig, Settings};
use scale::Size;
use scenario::Scenario;

mod governance;
mod http;
mod load;
mod manage;
mod measure;
mod process;
mod report;
mod rig;
mod scale;
mod scenario;

/// Files that a process needs besides its connections.
const SPARE_FILES: u64 = 512;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct BenchArgs {
    /// What to measure, separated by commas [default: everything]
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Turns of every target, once in the closed and once in the open loop
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of a turn
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections of the load generator
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Requests per second of the open loop [default: half of what the slowest target can do]
    #[arg(long)]
    rate: Option<f64>,
    /// Streams held open in slow-streams
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    streams: u32,
    /// How long all slow streams are watched
    #[arg(long, default_value_t = 6.0)]
    hold_seconds: f64,
    /// Keys of the large side in scale
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(10_000..=10_000_000))]
    keys: u32,
    /// Model providers of the large side in scale
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    providers: u32,
    /// A few seconds in all, to see that everything works: the numbers mean little
    #[arg(long)]
    quick: bool,
    /// A gateway that is built already [default: builds one with the release profile]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The nginx to compare with [default: the one of the system]
    #[arg(long)]
    nginx: Option<PathBuf>,
    /// Do without the comparison with nginx
    #[arg(long, conflicts_with = "nginx")]
    without_nginx: bool,
    /// Threads of the mock provider
    #[arg(long, default_value_t = 1)]
    mock_workers: u32,
    /// Also write everything that was measured to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: BenchArgs) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        return run_optimised(&args);
    }
    let effort = effort(&args)?;
    let scenarios = scenarios(&args);
    check_file_limit(&scenarios, effort)?;
    let (nginx, nginx_version) = if args.without_nginx {
        (None, None)
    } else {
        let (path, version) = rig::find_nginx(args.nginx.as_deref())?;
        (Some(path), Some(version))
    };
    let setting = setting(&args, effort, nginx_version);
    let binary = match args.binary {
        Some(binary) => binary,
        None => built(&build(&["langwatch"])?, "langwatch")?,
    };
    let binary = fs::canonicalize(&binary).with_context(|| binary.display().to_string())?;
    let settings = Settings {
        binary,
        nginx,
        mock_workers: args.mock_workers,
    };
    let mut report = Report {
        setting,
        load: Vec::new(),
        memory: Vec::new(),
        scale: None,
    };
    let before = Machine::read()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for scenario in scenarios {
        eprintln!("measuring {} ...", scenario.name());
        let measured = if scenario == Scenario::Scale {
            let filler = built(&build_filler()?, "fill")?;
            let options = scale_options(args.keys, args.providers, args.quick);
            let scale = runtime.block_on(scale::run(&settings, &filler, options));
            scale.map(|scale| report.scale = Some(scale))
        } else {
            runtime.block_on(measure_one(&settings, scenario, effort, &mut report))
        };
        measured.with_context(|| format!("scenario {}", scenario.name()))?;
    }
    report.setting.others_percent = Machine::read()?.others_percent(&before);
    print!("{}", report.markdown());
    if let Some(path) = args.json {
        fs::write(&path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let invalid = report.invalid();
    ensure!(
        invalid == 0,
        "{invalid} rows do not count: see INVALID above"
    );
    Ok(())
}

async fn measure_one(
    settings: &Settings,
    scenario: Scenario,
    effort: Effort,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut rig = Rig::start(settings, scenario).await?;
    report.setting.data_threads = rig.gateway.workers();
    match scenario {
        Scenario::SlowStreams => {
            report
                .memory
                .extend(measure::slow_streams(&mut rig, scenario, effort).await?);
        }
        Scenario::Idle => report
            .memory
            .extend(measure::idle(&mut rig, scenario, effort).await?),
        Scenario::Json1k
        | Scenario::Json1kInfo
        | Scenario::Json100k
        | Scenario::Json1m
        | Scenario::Answer100k
        | Scenario::Answer1m
        | Scenario::Stream50
        | Scenario::TlsJson1k
        | Scenario::TlsStream50
        | Scenario::TranslatedJson1k
        | Scenario::TranslatedStream50
        | Scenario::Governance
        | Scenario::GovernanceStream
        // Measured elsewhere, with processes of its own.
        | Scenario::Scale => {
            report
                .load
                .extend(measure::load(&mut rig, scenario, effort).await?);
        }
    }
    Ok(())
}

/// A generator without optimisation would take the cores from what it measures: becomes an
/// optimised build of itself, with the same arguments.
fn run_optimised(args: &BenchArgs) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;

    let packages: &[&str] = if args.binary.is_some() {
        &["xtask"]
    } else {
        &["xtask", "langwatch"]
    };
    let artifacts = build(packages)?;
    let mut command = Command::new(built(&artifacts, "xtask")?);
    command.args(std::env::args_os().skip(1));
    if args.binary.is_none() {
        command.arg("--binary").arg(built(&artifacts, "langwatch")?);
    }
    Err(command.exec()).context("cannot start the optimised build of this task")
}

/// Builds packages with the release profile; returns what cargo says it made, a JSON value a line.
fn build(packages: &[&str]) -> anyhow::Result<String> {
    let mut options = vec!["--release"];
    for package in packages {
        options.extend(["--package", package]);
    }
    cargo_build(&packages.join(" and "), &options)
}

/// Builds what fills the data folders of `scale`. It is not measured, so it need not be linked for long.
fn build_filler() -> anyhow::Result<String> {
    let options = ["--profile", "quick", "--package", "lw-store-sql"];
    cargo_build(
        "the filler",
        &[&options[..], &["--example", "fill"]].concat(),
    )
}

fn cargo_build(what: &str, options: &[&str]) -> anyhow::Result<String> {
    eprintln!("building {what} ...");
    let output = Command::new("cargo")
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(options)
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo build failed");
    Ok(String::from_utf8(output.stdout)?)
}

/// Where cargo put the program of this name.
fn built(artifacts: &str, name: &str) -> anyhow::Result<PathBuf> {
    for line in artifacts.lines() {
        let Ok(artifact) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let is_it = artifact.pointer("/target/name").and_then(Value::as_str) == Some(name);
        if let Some(path) = artifact
            .get("executable")
            .and_then(Value::as_str)
            .filter(|_| is_it)
        {
            return Ok(path.into());
        }
    }
    bail!("cargo built no program {name}")
}

fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

fn scenarios(args: &BenchArgs) -> Vec<Scenario> {
    if !args.scenario.is_empty() {
        return args.scenario.clone();
    }
    if args.quick {
        return vec![
            Scenario::Json1k,
            Scenario::Stream50,
            Scenario::Governance,
            Scenario::SlowStreams,
            Scenario::Idle,
        ];
    }
    Scenario::value_variants().to_vec()
}

fn effort(args: &BenchArgs) -> anyhow::Result<Effort> {
    ensure!(
        (0.05..=600.0).contains(&args.seconds),
        "--seconds is from 0.05 to 600"
    );
    ensure!(
        (0.5..=600.0).contains(&args.hold_seconds),
        "--hold-seconds is from 0.5 to 600"
    );
    let effort = Effort {
        rounds: args.rounds,
        slice: Duration::from_secs_f64(args.seconds),
        connections: args.connections.into(),
        rate: args.rate,
        streams: args.streams,
        hold: Duration::from_secs_f64(args.hold_seconds),
        idle: Duration::from_secs(3),
    };
    if !args.quick {
        return Ok(effort);
    }
    Ok(Effort {
        rounds: 1,
        slice: effort.slice.min(Duration::from_millis(300)),
        streams: effort.streams.min(100),
        hold: Duration::from_millis(800),
        idle: Duration::from_millis(300),
        ..effort
    })
}

fn scale_options(keys: u32, providers: u32, quick: bool) -> scale::Options {
    let size = |keys: u32, providers: u32| Size {
        keys: keys as usize,
        providers: providers as usize,
    };
    let (many, some, calls, warm, idle) = if quick {
        (size(10_000, 1_000), size(1_000, 100), 20, 1, 1)
    } else {
        let some = size(10_000, providers.min(1_000));
        (size(keys, providers), some, 400, 12, 3)
    };
    let few = Size {
        keys: scale::FEW_KEYS,
        providers: 100,
    };
    scale::Options {
        sizes: [few, some, many],
        calls,
        warm: Duration::from_secs(warm),
        idle: Duration::from_secs(idle),
    }
}

/// A proxy needs two files per request in flight.
fn check_file_limit(scenarios: &[Scenario], effort: Effort) -> anyhow::Result<()> {
    let streams = if scenarios.contains(&Scenario::SlowStreams) {
        effort.streams
    } else {
        0
    };
    let connections = (effort.connections as u64).max(streams.into());
    let needed = connections * 2 + SPARE_FILES;
    let limit = process::open_file_limit()?;
    ensure!(
        limit >= needed,
        "this run needs {needed} open files per process, the limit is {limit}: run \
         `ulimit -n {needed}` first, or measure less (--streams, --connections)"
    );
    Ok(())
}

fn setting(args: &BenchArgs, effort: Effort, nginx: Option<String>) -> Setting {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find(|line| line.starts_with("model name"));
    let cpu = cpu
        .and_then(|line| line.split_once(':'))
        .map_or("unknown CPU", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Setting {
        command: format!("cargo xtask {}", words.join(" ")),
        commit: commit(),
        cpu: cpu.to_owned(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: kernel.trim().to_owned(),
        nginx,
        data_threads: 0,
        mock_workers: args.mock_workers,
        connections: effort.connections,
        rounds: effort.rounds,
        slice_seconds: effort.slice.as_secs_f64(),
        others_percent: 0.0,
    }
}

fn commit() -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(workspace())
        .output();
    match git {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        Ok(_) | Err(_) => "an unknown commit".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn args(words: &[&str]) -> BenchArgs {
        Line::try_parse_from(["bench"].iter().chain(words))
            .unwrap()
            .args
    }

    #[test]
    fn everything_is_measured_unless_said_otherwise() {
        assert_eq!(scenarios(&args(&[])), Scenario::value_variants());
        let some = args(&["--scenario", "json-1k,slow-streams", "--scenario", "idle"]);
        let wanted = [Scenario::Json1k, Scenario::SlowStreams, Scenario::Idle];
        assert_eq!(scenarios(&some), wanted);
    }

    #[test]
    fn quick_is_quick() {
        let effort = effort(&args(&["--quick"])).unwrap();
        assert!(effort.slice * effort.rounds <= Duration::from_secs(1));
        assert!(effort.streams <= 100);
    }

    #[test]
    fn the_program_is_found_among_what_cargo_made() {
        let artifacts = r#"{"reason":"compiler-artifact","target":{"name":"lib"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"langwatch"},"executable":"/t/langwatch"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            built(artifacts, "langwatch").unwrap(),
            Path::new("/t/langwatch")
        );
        assert!(built(artifacts, "xtask").is_err());
    }
}
