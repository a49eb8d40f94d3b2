//! `langwatch serve`: from flags to a running process, and from a signal to its end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Variables, report};
use crate::demo::Demo;
use crate::process::{Listening, Process, version};
use crate::{cores, logging};

/// Options of `langwatch serve`. Each has a variable of the same meaning; the flag wins.
#[derive(clap::Args, Default)]
pub(crate) struct ServeArgs {
    /// Where applications call [env: SERVER_ADDR] [default: 127.0.0.1:5563].
    #[arg(long, value_name = "ADDR")]
    pub(crate) gateway_addr: Option<String>,
    /// Console and management API [env: LANGWATCH_CONTROL_ADDR] [default: 127.0.0.1:5560].
    #[arg(long, value_name = "ADDR")]
    pub(crate) control_addr: Option<String>,
    /// Database files, sealing key and spool [env: LANGWATCH_DATA_DIR] [default: ./langwatch-data].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Reserved: this version keeps SQLite files in the data folder [env: DATABASE_URL].
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Try it: a mock provider behind it, a key in front of it, sample requests made, a data folder that
    /// goes away at the end.
    #[arg(long)]
    pub(crate) demo: bool,
}

/// Runs until a signal, and tells how it went.
#[expect(
    clippy::print_stderr,
    reason = "a start that fails is told to whoever started it"
)]
pub(crate) fn run(args: &ServeArgs, mut variables: Variables) -> ExitCode {
    for (name, value) in [
        ("SERVER_ADDR", args.gateway_addr.clone()),
        ("LANGWATCH_CONTROL_ADDR", args.control_addr.clone()),
        (
            "LANGWATCH_DATA_DIR",
            args.data_dir
                .as_ref()
                .map(|path| path.display().to_string()),
        ),
        ("DATABASE_URL", args.database_url.clone()),
    ] {
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    }
    let demo = if args.demo {
        match Demo::prepare(&mut variables) {
            Ok(demo) => Some(demo),
            Err(error) => {
                eprintln!("error: the demo cannot start: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    } else {
        None
    };
    let loaded = match Config::load(&variables, cores()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprint!("error: {}", report(&problems));
            return ExitCode::FAILURE;
        }
    };
    logging::start(loaded.config.log_level, loaded.config.log_text);
    let effective: Vec<String> = loaded
        .shown
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    tracing::info!(
        version = version(),
        settings = effective.join(" "),
        "gateway_effective_config"
    );
    match serve(&loaded.config, demo.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &Config, demo: Option<&Demo>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Signals are caught before anything starts, so that none is missed.
    let (mut terminate, mut interrupt) = runtime.block_on(async {
        anyhow::Ok((
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ))
    })?;
    let allowed = demo.iter().map(|demo| demo.provider_addr()).collect();
    let process = Process::start(config, allowed)?;
    greet(&process, config, demo.is_some());
    tracing::info!("lifecycle_started");
    if let Some(demo) = demo {
        demo.introduce(process.listening())?;
    }
    runtime.block_on(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        process.announce_stop();
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            exit_at_once();
        };
        let delay = if demo.is_some() {
            Duration::ZERO
        } else {
            config.drain_delay
        };
        let limit = config.drain_limit;
        let stopping = async move {
            tokio::time::sleep(delay).await;
            let stopped = tokio::task::spawn_blocking(move || process.stop(limit)).await;
            if stopped.is_err() {
                tracing::error!("the stop panicked");
            }
        };
        tokio::select! {
            () = stopping => {}
            () = again => {}
        }
    });
    Ok(())
}

/// A second signal: whoever sent it does not want to wait. The spool holds what was promised.
#[expect(
    clippy::disallowed_methods,
    reason = "the one way out that does not wait"
)]
fn exit_at_once() {
    std::process::exit(130);
}

/// Says once, on standard error, where everything is. The key of a first start is shown here and nowhere
/// else.
#[expect(
    clippy::print_stderr,
    reason = "the one place where the first key is shown"
)]
fn greet(process: &Process, config: &Config, demo: bool) {
    let Listening { gateway, control } = process.listening();
    if demo {
        return;
    }
    eprintln!("LangWatch AI gateway {}", version());
    eprintln!("  gateway        http://{gateway}/v1");
    eprintln!("  control plane  http://{control}");
    eprintln!("  data folder    {}", config.data_dir.display());
    let Some(key) = &process.first_key else {
        return;
    };
    eprintln!();
    eprintln!(
        "This is the first start. The organization `{}` was made, with this API key.",
        config.init_org
    );
    eprintln!("It is shown once and stored nowhere in clear:");
    eprintln!();
    eprintln!("  export LANGWATCH_API_KEY={}", key.expose());
    eprintln!("  export LANGWATCH_ENDPOINT=http://{control}");
    eprintln!();
    eprintln!("Next: store a provider, then mint a key for an application:");
    eprintln!();
    let org = &config.init_org;
    eprintln!(
        "  langwatch model-provider create --provider openai --scope org:{org} --key-from-env OPENAI_API_KEY"
    );
    eprintln!("  langwatch virtual-keys create --name dev --scope org:{org}");
}
