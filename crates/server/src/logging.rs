//! Structured logs on standard output (observability 12): one JSON object a line, or text for people.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogLevel;

/// Starts logging. A second start in one process changes nothing.
pub(crate) fn start(level: LogLevel, text: bool) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let registry = tracing_subscriber::registry().with(level);
    // Libraries below us talk about every byte at their lowest levels, bodies included.
    let ours = tracing_subscriber::filter::filter_fn(|meta| {
        meta.target().starts_with("lw_")
            || meta.target().starts_with("langwatch")
            || *meta.level() <= tracing::Level::WARN
    });
    let _ = if text {
        registry
            .with(ours)
            .with(fmt::layer().with_ansi(false))
            .try_init()
    } else {
        registry
            .with(ours)
            .with(fmt::layer().json().flatten_event(true))
            .try_init()
    };
}
