//! `langwatch mock-provider`: the provider that answers from a script, on its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lw_mock::{MockConfig, TlsMode};

/// Options of `langwatch mock-provider`.
#[derive(clap::Args)]
pub(crate) struct MockArgs {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5565", value_name = "ADDR")]
    addr: SocketAddr,
    /// Threads, each with its own listening socket.
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// Milliseconds between the frames of a stream.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pace_ms: u64,
    /// Keep counts only, not what was asked and generated.
    #[arg(long)]
    no_record: bool,
    /// Speak TLS with a certificate made at start.
    #[arg(long)]
    tls: bool,
    /// Where to write the authority of that certificate (PEM); implies --tls.
    #[arg(long, value_name = "FILE")]
    tls_ca_out: Option<PathBuf>,
}

/// Serves until the process ends. Prints one JSON line when it is ready.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the result of a command"
)]
pub(crate) fn run(args: &MockArgs) -> ExitCode {
    let tls = args.tls || args.tls_ca_out.is_some();
    let config = MockConfig {
        addr: args.addr,
        workers: args.workers.max(1),
        tls: tls.then(|| TlsMode::SelfSigned {
            ca_out: args.tls_ca_out.clone(),
        }),
        pace: Duration::from_millis(args.pace_ms),
        record: !args.no_record,
    };
    let scheme = if tls { "https" } else { "http" };
    let served = lw_mock::run_blocking(config, |addr| {
        let line =
            serde_json::json!({"addr": addr.to_string(), "base_url": format!("{scheme}://{addr}")});
        println!("{line}");
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the mock provider cannot serve on {}: {error}", args.addr);
            ExitCode::FAILURE
        }
    }
}
