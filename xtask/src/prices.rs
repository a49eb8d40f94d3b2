//! Refreshes the bundled price catalogue.

/// Options of `cargo xtask prices`.
#[derive(clap::Args)]
pub(crate) struct PricesArgs {}

pub(crate) fn run(_args: PricesArgs) -> anyhow::Result<()> {
    Ok(())
}
