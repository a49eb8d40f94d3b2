//! Whether it costs anything to have very many keys and providers: two installations, one small and one
//! large, are asked the same things in turn.
//!
//! Each side has a data folder of its own that an example of `lw-store-sql` fills, and a gateway of its
//! own; both run at once and take turns call by call, so that what disturbs one disturbs the other. What a
//! key reaches (26 providers) is the same on both sides. Must never count a call that was not answered as
//! it should be: it ends the run. Start at [`run`].

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::load::histogram;
use super::process::{Cpu, Memory};
use super::report::Quantiles;
use super::rig::{DATA_THREADS, Mock, Settings};
use ask::Ask;
use side::Side;

mod ask;
mod side;
mod table;

/// Gateways are restarted this often to time their start.
const STARTS: usize = 5;
/// Keys whose first request is timed on each side.
const COLD: usize = 300;
/// Keys that both sides have served before memory and CPU are compared.
const TOUCHED: usize = 800;
/// Keys that the large side has served in the end: twice what the cache holds.
const TOUCHED_MANY: usize = 20_000;
/// Connections that touch keys.
const CONNECTIONS: usize = 8;
/// What the records of finished requests take to be stored.
const SETTLING: Duration = Duration::from_secs(2);

/// How much there is on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Size {
    pub(crate) keys: usize,
    pub(crate) providers: usize,
}

/// What to compare, and how thoroughly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) few: Size,
    pub(crate) many: Size,
    /// Calls of each kind on each side.
    pub(crate) calls: usize,
    /// How long warm keys are used on each side.
    pub(crate) warm: Duration,
    /// How long a fresh process is left alone.
    pub(crate) idle: Duration,
}

/// What was measured.
#[derive(Serialize)]
pub(crate) struct Scale {
    few: Size,
    many: Size,
    calls: Vec<Calls>,
    figures: Vec<Figure>,
}

/// Latencies of one kind of call on both sides.
#[derive(Serialize)]
struct Calls {
    what: &'static str,
    few: Quantiles,
    many: Quantiles,
    /// Rows of an answer, for lists.
    rows: Option<[f64; 2]>,
}

/// A number of both sides, where a side has one.
#[derive(Serialize)]
struct Figure {
    what: &'static str,
    unit: &'static str,
    few: Option<f64>,
    many: Option<f64>,
    /// Whether it may grow with what there is: the disk may, the memory may not.
    grows: bool,
}

impl Figure {
    fn of(what: &'static str, unit: &'static str, [few, many]: [f64; 2]) -> Self {
        Self {
            what,
            unit,
            few: Some(few),
            many: Some(many),
            grows: false,
        }
    }

    fn growing(what: &'static str, unit: &'static str, both: [f64; 2]) -> Self {
        Self {
            grows: true,
            ..Self::of(what, unit, both)
        }
    }
}

/// Measures both sides.
pub(crate) async fn run(
    settings: &Settings,
    filler: &Path,
    options: Options,
) -> anyhow::Result<Scale> {
    let folder = tempfile::Builder::new()
        .prefix("langwatch-scale-")
        .tempdir()?;
    let mock = Mock::start(settings, folder.path(), false).await?;
    let Options {
        few,
        many,
        calls,
        warm,
        idle,
    } = options;
    let mut sides = Vec::new();
    for (name, size) in [("few", few), ("many", many)] {
        let home = folder.path().join(name);
        sides.push(Side::make(settings, filler, &home, size, &mock.base_url()).await?);
    }
    let [mut few_side, mut many_side] = <[Side; 2]>::try_from(sides)
        .ok()
        .context("there are two sides")?;
    let mut sides = [&mut few_side, &mut many_side];

    let mut figures = vec![
        Figure::growing("filling", "s", both(&sides, |side| Ok(side.filling))?),
        Figure::growing("configuration on disk", "MiB", both(&sides, Side::disk)?),
    ];
    figures.push(Figure::of(
        "start",
        "ms",
        starts(settings, &mut sides).await?,
    ));
    tokio::time::sleep(idle).await;
    figures.push(Figure::of("idle RSS", "MiB", both(&sides, rss)?));

    let mut rows = cold(&mut sides).await?;
    for side in &mut sides {
        side.touch(COLD..TOUCHED, CONNECTIONS).await?;
    }
    tokio::time::sleep(SETTLING).await;
    figures.push(Figure::of("RSS after 800 keys", "MiB", both(&sides, rss)?));
    let [data, whole] = warm_cpu(&mut sides, warm).await?;
    figures.push(Figure::of("warm: data CPU per request", "µs", data));
    figures.push(Figure::of("warm: whole CPU per request", "µs", whole));

    let [_, many_side] = &mut sides;
    let told = many_side.told();
    if told >= TOUCHED_MANY {
        many_side.touch(0..TOUCHED_MANY, CONNECTIONS).await?;
        tokio::time::sleep(SETTLING).await;
        figures.push(Figure {
            what: "RSS after 20,000 keys",
            unit: "MiB",
            few: None,
            many: Some(rss(many_side)?),
            grows: false,
        });
    }
    rows.extend(management(&mut sides, calls).await?);
    figures.push(Figure::of("RSS after all calls", "MiB", both(&sides, rss)?));
    Ok(Scale {
        few,
        many,
        calls: rows,
        figures,
    })
}

/// A number of each side.
fn both(
    sides: &[&mut Side; 2],
    number: impl Fn(&Side) -> anyhow::Result<f64>,
) -> anyhow::Result<[f64; 2]> {
    let [few, many] = sides;
    Ok([number(few)?, number(many)?])
}

fn rss(side: &Side) -> anyhow::Result<f64> {
    Ok(Memory::read(&[side.process()?])?.now as f64 / (1024.0 * 1024.0))
}

/// Medians of the milliseconds from the start of the process until it listens.
async fn starts(settings: &Settings, sides: &mut [&mut Side; 2]) -> anyhow::Result<[f64; 2]> {
    let mut millis = [Vec::new(), Vec::new()];
    for _ in 0..STARTS {
        for (side, millis) in sides.iter_mut().zip(&mut millis) {
            side.stop();
            let start = Instant::now();
            side.start(settings).await?;
            millis.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    Ok(millis.map(|mut millis| {
        millis.sort_by(f64::total_cmp);
        millis.get(millis.len() / 2).copied().unwrap_or_default()
    }))
}

/// The first request of keys that were never seen, beside their second one.
async fn cold(sides: &mut [&mut Side; 2]) -> anyhow::Result<Vec<Calls>> {
    let mut first = [histogram()?, histogram()?];
    let mut second = [histogram()?, histogram()?];
    let mut added = [histogram()?, histogram()?];
    for key in 0..COLD {
        for (at, side) in sides.iter_mut().enumerate() {
            let (cold, warm) = (side.chat(key).await?, side.chat(key).await?);
            let nanos = [cold, warm, cold.saturating_sub(warm)].map(|time| nanos(time).max(1));
            for (histogram, nanos) in [&mut first, &mut second, &mut added].into_iter().zip(nanos) {
                if let Some(histogram) = histogram.get_mut(at) {
                    histogram.record(nanos)?;
                }
            }
        }
    }
    Ok(vec![
        calls("first request of a key", &first),
        calls("second request of a key", &second),
        calls("first beyond the second", &added),
    ])
}

fn calls(what: &'static str, [few, many]: &[Histogram<u64>; 2]) -> Calls {
    Calls {
        what,
        few: Quantiles::of(few),
        many: Quantiles::of(many),
        rows: None,
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Microseconds of CPU per request, of the data threads and of the whole process, while both sides use keys
/// that they know. In four turns each.
async fn warm_cpu(sides: &mut [&mut Side; 2], time: Duration) -> anyhow::Result<[[f64; 2]; 2]> {
    const TURNS: u32 = 4;
    let (mut data, mut whole, mut requests) = ([0; 2], [0; 2], [0; 2]);
    for _ in 0..TURNS {
        for (at, side) in sides.iter_mut().enumerate() {
            let process = [side.process()?];
            let before = Cpu::read(&process)?;
            let served = side.use_keys(TOUCHED, CONNECTIONS, time / TURNS).await?;
            // What the records cost is part of it.
            tokio::time::sleep(SETTLING / 2).await;
            let used = Cpu::read(&process)?.since(&before, DATA_THREADS);
            for (sum, part) in [
                (&mut data, used.data_ns),
                (&mut whole, used.whole_ns),
                (&mut requests, served),
            ] {
                if let Some(sum) = sum.get_mut(at) {
                    *sum += part;
                }
            }
        }
    }
    let [few, many] = requests;
    ensure!(few > 0 && many > 0, "no warm request was answered");
    Ok([data, whole].map(|[of_few, of_many]: [u64; 2]| {
        [
            of_few as f64 / 1_000.0 / few as f64,
            of_many as f64 / 1_000.0 / many as f64,
        ]
    }))
}

/// Each call of the management API on each side, in turn.
async fn management(sides: &mut [&mut Side; 2], count: usize) -> anyhow::Result<Vec<Calls>> {
    let mut rows = Vec::new();
    for ask in Ask::ALL {
        let mut times = [histogram()?, histogram()?];
        let mut found = [0_usize; 2];
        for turn in 0..count {
            let both = sides.iter_mut().zip(times.iter_mut().zip(&mut found));
            for (side, (times, found)) in both {
                let (time, rows) = side.ask(ask, turn).await?;
                times.record(nanos(time).max(1))?;
                *found += rows.unwrap_or_default();
            }
        }
        let row = calls(ask.name(), &times);
        rows.push(Calls {
            rows: ask
                .is_list()
                .then(|| found.map(|found| found as f64 / count as f64)),
            ..row
        });
    }
    Ok(rows)
}
