//! Developer tasks: `cargo xtask <task>`.
//!
//! Everything that CI does and everything that a developer repeats is a task here, so that it is the
//! same command everywhere. Must never be needed to build or run the product. Start at [`Task`].

use clap::Parser;

mod bench;
mod prices;

/// Developer tasks of the LangWatch gateway.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Measure the gateway beside nginx and the provider itself, in one run.
    Bench(bench::BenchArgs),
    /// Refresh the bundled price catalogue and show what changed.
    Prices(prices::PricesArgs),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Bench(args) => bench::run(args),
        Task::Prices(args) => prices::run(args),
    }
}
