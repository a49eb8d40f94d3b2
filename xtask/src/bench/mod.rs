//! Measures the gateway beside nginx.

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct BenchArgs {}

pub(crate) fn run(_args: BenchArgs) -> anyhow::Result<()> {
    Ok(())
}
