//! Whether it costs anything to have very many keys, budgets and providers: three installations, from a small
//! one to a large one, are asked the same things in turn.
//!
//! Each side has a data folder of its own that an example of `lw-store-sql` fills, and a gateway of its
//! own; all run at once and take turns call by call, so that what disturbs one disturbs the others. What a
//! key reaches (26 providers, two to five budgets) is the same on all sides. A side that has not enough keys
//! for a question is not asked it, so that sides are compared at equally many keys in use only. Must never
//! count a call that was not answered as it should be: it ends the run. Start at [`run`].

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::load::histogram;
use super::process::{Cpu, Memory, Used};
use super::report::{Quantiles, median};
use super::rig::{DATA_THREADS, Mock, Settings};
use ask::Ask;
use side::Side;

mod ask;
mod side;
mod table;

/// Gateways are restarted this often to time their start.
const STARTS: usize = 5;
/// Installations.
pub(crate) const SIDES: usize = 3;
/// Keys that are in use on every side; the smallest has no more.
pub(crate) const FEW_KEYS: usize = 10;
/// Keys whose first request is timed on each side that has so many.
const COLD: usize = 300;
/// Keys that such sides have served before their memory is compared.
const TOUCHED: usize = 800;
/// Keys that the largest side has served in the end: twice what the cache holds.
const TOUCHED_MANY: usize = 20_000;
/// Warm requests for each call of the management API: they are much shorter.
const AGAIN: usize = 10;
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
    /// From the smallest to the largest.
    pub(crate) sizes: [Size; SIDES],
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
    sizes: [Size; SIDES],
    calls: Vec<Calls>,
    figures: Vec<Figure>,
}

/// Latencies of one kind of call on the sides that were asked.
#[derive(Serialize)]
struct Calls {
    what: &'static str,
    sides: [Option<Quantiles>; SIDES],
    /// Rows of an answer, for lists.
    rows: Option<[f64; SIDES]>,
}

/// A number of the sides that have one.
#[derive(Serialize)]
struct Figure {
    what: &'static str,
    unit: &'static str,
    sides: [Option<f64>; SIDES],
    /// Whether it may grow with what there is: the disk may, the memory may not.
    grows: bool,
}

impl Figure {
    /// Of each side for which there is one.
    fn of(
        what: &'static str,
        unit: &'static str,
        sides: &[Side; SIDES],
        number: impl Fn(&Side) -> anyhow::Result<Option<f64>>,
    ) -> anyhow::Result<Self> {
        let mut found = [None; SIDES];
        for (side, found) in sides.iter().zip(&mut found) {
            *found = number(side)?;
        }
        Ok(Self {
            what,
            unit,
            sides: found,
            grows: false,
        })
    }

    fn all(what: &'static str, unit: &'static str, sides: [f64; SIDES]) -> Self {
        Self {
            what,
            unit,
            sides: sides.map(Some),
            grows: false,
        }
    }

    fn growing(self) -> Self {
        Self {
            grows: true,
            ..self
        }
    }

    /// Resident memory of the sides that have served `keys` keys.
    fn memory(what: &'static str, sides: &[Side; SIDES], keys: usize) -> anyhow::Result<Self> {
        Self::of(what, "MiB", sides, |side| {
            let rss = || Memory::read(&[side.process()?]);
            let served = (side.told() >= keys).then(rss).transpose()?;
            Ok(served.map(|memory| memory.now as f64 / (1024.0 * 1024.0)))
        })
    }
}

/// Times of one kind of call, side by side.
struct Times([Histogram<u64>; SIDES]);

impl Times {
    fn new() -> anyhow::Result<Self> {
        let all: Vec<_> = (0..SIDES).map(|_| histogram()).collect::<Result<_, _>>()?;
        let all = all.try_into().ok().context("a histogram for each side")?;
        Ok(Self(all))
    }

    fn record(&mut self, side: usize, time: Duration) -> anyhow::Result<()> {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let histogram = self.0.get_mut(side).context("no such side")?;
        histogram.record(nanos)?;
        Ok(())
    }

    fn into_calls(self, what: &'static str) -> Calls {
        let quantiles = |times: Histogram<u64>| (!times.is_empty()).then(|| Quantiles::of(&times));
        Calls {
            what,
            sides: self.0.map(quantiles),
            rows: None,
        }
    }
}

/// Measures all sides.
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
        sizes,
        calls,
        warm,
        idle,
    } = options;
    let mut sides = Vec::new();
    for (place, size) in sizes.into_iter().enumerate() {
        let home = folder.path().join(format!("side-{place}"));
        sides.push(Side::make(settings, filler, &home, size, &mock.base_url()).await?);
    }
    let mut sides = <[Side; SIDES]>::try_from(sides)
        .ok()
        .context("as many sides as sizes")?;

    let mut figures = vec![
        Figure::of("budgets", "", &sides, |side| Ok(Some(side.budgets())))?.growing(),
        Figure::of("filling", "s", &sides, |side| Ok(Some(side.filling)))?.growing(),
        Figure::of("configuration on disk", "MiB", &sides, Side::configuration)?.growing(),
        Figure::of("ledger on disk", "MiB", &sides, Side::ledger)?.growing(),
        Figure::all("start", "ms", starts(settings, &mut sides).await?),
    ];
    tokio::time::sleep(idle).await;
    figures.push(Figure::memory("idle RSS", &sides, 0)?);

    let mut rows = Vec::from(cold(&mut sides, 0..FEW_KEYS, FIRST_KEYS).await?);
    rows.push(again(&mut sides, calls * AGAIN).await?);
    let [data, whole] = warm_cpu(&mut sides, warm).await?;
    figures.push(Figure::memory("RSS after 10 keys", &sides, FEW_KEYS)?);
    figures.push(Figure::all("warm: data CPU per request", "µs", data));
    figures.push(Figure::all("warm: whole CPU per request", "µs", whole));
    rows.extend(cold(&mut sides, FEW_KEYS..COLD, MORE_KEYS).await?);

    for (keys, what) in [
        (TOUCHED, "RSS after 800 keys"),
        (TOUCHED_MANY, "RSS after 20,000 keys"),
    ] {
        for side in sides.iter_mut().filter(|side| side.told() >= keys) {
            side.touch(0..keys, CONNECTIONS).await?;
        }
        tokio::time::sleep(SETTLING).await;
        figures.push(Figure::memory(what, &sides, keys)?);
    }
    rows.extend(management(&mut sides, calls).await?);
    figures.push(Figure::memory("RSS after all calls", &sides, 0)?);
    Ok(Scale {
        sizes,
        calls: rows,
        figures,
    })
}

/// Medians of the milliseconds from the start of the process until it listens.
async fn starts(settings: &Settings, sides: &mut [Side; SIDES]) -> anyhow::Result<[f64; SIDES]> {
    let mut millis: [Vec<f64>; SIDES] = Default::default();
    for _ in 0..STARTS {
        for (side, millis) in sides.iter_mut().zip(&mut millis) {
            side.stop();
            let start = Instant::now();
            side.start(settings).await?;
            millis.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    Ok(millis.map(|millis| median(millis).unwrap_or_default()))
}

/// What the rows of [`cold`] are called.
type Names = [&'static str; 3];
const FIRST_KEYS: Names = [
    "first request of each of 10 keys",
    "second request of each of 10 keys",
    "first beyond the second, 10 keys",
];
const MORE_KEYS: Names = [
    "first request of 290 more keys",
    "second request of 290 more keys",
    "first beyond the second, 290 more keys",
];

/// The first request of keys that were never seen, beside their second one, on the sides that have them.
async fn cold(
    sides: &mut [Side; SIDES],
    keys: Range<usize>,
    names: Names,
) -> anyhow::Result<[Calls; 3]> {
    let (mut first, mut second, mut added) = (Times::new()?, Times::new()?, Times::new()?);
    for key in keys.clone() {
        for (at, side) in sides.iter_mut().enumerate() {
            if side.told() < keys.end {
                continue;
            }
            let (cold, warm) = (side.chat(key).await?, side.chat(key).await?);
            first.record(at, cold)?;
            second.record(at, warm)?;
            added.record(at, cold.saturating_sub(warm))?;
        }
    }
    let [of_first, of_second, of_added] = names;
    Ok([
        first.into_calls(of_first),
        second.into_calls(of_second),
        added.into_calls(of_added),
    ])
}

/// Requests of keys that were just used, one after the other.
async fn again(sides: &mut [Side; SIDES], count: usize) -> anyhow::Result<Calls> {
    let mut times = Times::new()?;
    for turn in 0..count {
        for (at, side) in sides.iter_mut().enumerate() {
            times.record(at, side.chat(turn % FEW_KEYS).await?)?;
        }
    }
    Ok(times.into_calls("warm request, 10 keys in use"))
}

/// Microseconds of CPU per request, of the data threads and of the whole process, while all sides use as many
/// keys that they know. In four turns each.
async fn warm_cpu(sides: &mut [Side; SIDES], time: Duration) -> anyhow::Result<[[f64; SIDES]; 2]> {
    const TURNS: u32 = 4;
    let mut used = [(Used::default(), 0); SIDES];
    for _ in 0..TURNS {
        for (side, (sum, requests)) in sides.iter_mut().zip(&mut used) {
            let process = [side.process()?];
            let before = Cpu::read(&process)?;
            *requests += side.use_keys(FEW_KEYS, CONNECTIONS, time / TURNS).await?;
            // What the records cost is part of it.
            tokio::time::sleep(SETTLING / 2).await;
            let Used { data_ns, whole_ns } = Cpu::read(&process)?.since(&before, DATA_THREADS);
            sum.data_ns += data_ns;
            sum.whole_ns += whole_ns;
        }
    }
    ensure!(
        used.iter().all(|(_, requests)| *requests > 0),
        "no warm request was answered"
    );
    let micros = |ns: u64, requests: u64| ns as f64 / 1_000.0 / requests as f64;
    Ok([
        used.map(|(used, requests)| micros(used.data_ns, requests)),
        used.map(|(used, requests)| micros(used.whole_ns, requests)),
    ])
}

/// Each call of the management API on each side, in turn.
async fn management(sides: &mut [Side; SIDES], count: usize) -> anyhow::Result<Vec<Calls>> {
    let mut rows = Vec::new();
    for ask in Ask::ALL {
        let mut times = Times::new()?;
        let mut found = [0_usize; SIDES];
        for turn in 0..count {
            for (at, (side, found)) in sides.iter_mut().zip(&mut found).enumerate() {
                let (time, rows) = side.ask(ask, turn).await?;
                times.record(at, time)?;
                *found += rows.unwrap_or_default();
            }
        }
        rows.push(Calls {
            rows: ask
                .is_list()
                .then(|| found.map(|found| found as f64 / count as f64)),
            ..times.into_calls(ask.name())
        });
    }
    Ok(rows)
}
