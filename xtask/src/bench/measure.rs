//! How a scenario is measured: targets in turn, short slices, the order rotating.
//!
//! What happens to the machine meanwhile then happens to all targets alike. The closed loop gives
//! throughput and CPU per request, the open loop latency at one rate for all. CPU of the whole
//! process is read after its queues are drained, and only then does the next target get its slice.
//! Must never leave out a failed answer or a missing record: both are faults of the row.
//! Start at [`load`].

use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::governance::cost::{Extra, Slices};
use super::http;
use super::load::{Expect, Held, OPENING_GAP, Pace, Shot, Slice, connect, histogram, hold, run};
use super::process::{Cpu, Memory};
use super::report::{Added, LoadRow, MemoryRow, Quantiles, Spread};
use super::rig::{CHAT, Rig, Target, probe};
use super::scenario::{Answer, FOREIGN_MODEL, MODEL, Scenario, body, judged_body};

/// Part of the lowest maximum among the targets at which latency is measured.
const LOAD_FACTOR: f64 = 0.5;
/// How long after a slice the threads get to finish what belongs to it.
const AFTERMATH: Duration = Duration::from_millis(20);
const WATCH: Duration = Duration::from_millis(200);
/// What slow streams may take longer than three times their plan.
const AT_MOST: Duration = Duration::from_secs(30);
const WARM_STREAMS: usize = 8;
/// The part of the open loop's rate that must have been answered for its latency to mean anything.
const HELD_RATE: f64 = 0.95;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    pub(crate) slice: Duration,
    pub(crate) connections: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) streams: u32,
    pub(crate) hold: Duration,
    pub(crate) idle: Duration,
}

impl Effort {
    fn warm_up(self) -> Duration {
        (self.slice / 2).min(Duration::from_millis(500))
    }
}

/// One target's share of a scenario.
struct Lane {
    target: Target,
    shot: Rc<Shot>,
    closed: Sums,
    open: Sums,
    faults: Vec<String>,
}

/// All slices of one kind.
struct Sums {
    requests: u64,
    elapsed: Duration,
    data_ns: u64,
    whole_ns: u64,
    generator_ns: u64,
    /// Microseconds per request, slice by slice.
    cpu: Slices,
    /// Latency, slice by slice.
    slices: Vec<Quantiles>,
    latency: Histogram<u64>,
    first_byte: Histogram<u64>,
}

impl Sums {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            requests: 0,
            elapsed: Duration::ZERO,
            data_ns: 0,
            whole_ns: 0,
            generator_ns: 0,
            cpu: Slices::default(),
            slices: Vec::new(),
            latency: histogram()?,
            first_byte: histogram()?,
        })
    }

    fn rate(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    fn micros(&self, ns: u64) -> f64 {
        ns as f64 / 1_000.0 / self.requests.max(1) as f64
    }
}

/// Measures requests: closed loop, then open loop.
pub(crate) async fn load(
    rig: &mut Rig,
    scenario: Scenario,
    effort: Effort,
) -> anyhow::Result<Vec<LoadRow>> {
    let mut lanes = lanes(rig, Wanted::of(scenario)).await?;
    for lane in &mut lanes {
        slice(rig, lane, Pace::Closed, effort.warm_up(), effort).await?;
    }
    for round in 0..effort.rounds {
        turn(rig, &mut lanes, round, Pace::Closed, effort).await?;
    }
    let lowest = lanes
        .iter()
        .map(|lane| lane.closed.rate())
        .fold(f64::INFINITY, f64::min);
    let rate = effort.rate.unwrap_or((lowest * LOAD_FACTOR).floor());
    ensure!(
        rate >= 1.0,
        "no target answered enough to derive a rate from: {}",
        faults(&lanes)
    );
    for round in 0..effort.rounds {
        turn(rig, &mut lanes, round, Pace::Open(rate), effort).await?;
    }
    for lane in lanes
        .iter_mut()
        .filter(|lane| lane.target == Target::Governed)
    {
        lane.faults.extend(rig.gateway.check_governed().await?);
    }
    let lane_of = |target| lanes.iter().find(|lane| lane.target == target);
    let direct = lane_of(Target::Direct).map(|lane| lane.open.slices.clone());
    let direct = direct.unwrap_or_default();
    let plain = lane_of(Target::Gateway).map(|lane| lane.closed.cpu.clone());
    let plain = plain.unwrap_or_default();
    let mut rows = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let extra = (lane.target == Target::Governed)
            .then(|| Extra::between(&lane.closed.cpu, &plain))
            .flatten();
        let added = (lane.target != Target::Direct)
            .then(|| Added::between(&lane.open.slices, &direct))
            .flatten();
        let memory = Memory::read(&rig.processes(lane.target)?)?;
        rows.push(LoadRow {
            extra,
            ..lane.into_row(scenario, effort, rate, added, memory)
        });
    }
    Ok(rows)
}

/// Measures the memory that open streams take, one target after the other.
pub(crate) async fn slow_streams(
    rig: &mut Rig,
    scenario: Scenario,
    effort: Effort,
) -> anyhow::Result<Vec<MemoryRow>> {
    let Answer::Stream { pace_ms, .. } = scenario.answer() else {
        return Ok(Vec::new());
    };
    let pace = Duration::from_millis(pace_ms.into());
    // The first stream must still be open when the last one has been for as long as is watched.
    let open = OPENING_GAP * effort.streams * 2 + effort.hold + pace;
    let frames = u32::try_from(open.as_millis().div_ceil(pace.as_millis().max(1)))?;
    let bytes = scenario.request_bytes();
    // First the same streams without a pace: what they look like, and what every process sets up
    // once, which is not to be put to the open streams.
    let wanted = |pace_ms| Wanted {
        bytes,
        answer: Answer::Stream { frames, pace_ms },
        translated: false,
        judged: false,
    };
    let warm = lanes(rig, wanted(0)).await?;
    let mut rows = Vec::with_capacity(warm.len());
    for mut lane in warm {
        let few = Effort {
            connections: WARM_STREAMS,
            ..effort
        };
        slice(rig, &mut lane, Pace::Closed, few.warm_up(), few).await?;
        tokio::time::sleep(effort.idle).await;
        let request = request_to(rig, lane.target, wanted(pace_ms))?;
        let shot = Rc::new(Shot {
            request,
            address: lane.shot.address,
            expect: lane.shot.expect,
        });
        rows.push(hold_streams(rig, lane, &shot, scenario, effort, open).await?);
    }
    Ok(rows)
}

async fn hold_streams(
    rig: &mut Rig,
    mut lane: Lane,
    shot: &Rc<Shot>,
    scenario: Scenario,
    effort: Effort,
    open: Duration,
) -> anyhow::Result<MemoryRow> {
    let processes = rig.processes(lane.target)?;
    let before = Memory::read(&processes)?.now;
    let mut most = 0;
    let (mut first, mut last) = (None, None);
    let watch = || {
        most = most.max(Memory::read(&processes)?.now);
        let read = (Cpu::read(&processes)?, Instant::now());
        if first.is_none() {
            first = Some(read);
        } else {
            last = Some(read);
        }
        Ok(())
    };
    let held = hold(shot, effort.streams, open * 3 + AT_MOST, WATCH, watch).await?;
    rig.check()?;
    lane.add_faults(&held.errors);
    if most == 0 {
        let Held {
            opened, completed, ..
        } = held;
        lane.faults.push(format!(
            "never {} streams open at once ({opened} opened, {completed} completed)",
            effort.streams
        ));
    }
    if lane.target.is_gateway() {
        rig.gateway.add_sent(held.completed.into());
        lane.faults.extend(rig.gateway.settle().await?);
    }
    let cpu_percent = first.zip(last).map(|((first, from), (last, to))| {
        let used = last.since(&first, Rig::data_threads(lane.target));
        used.whole_ns as f64 / 1e7 / (to - from).as_secs_f64()
    });
    let per_stream = most.saturating_sub(before) as f64 / 1024.0 / f64::from(effort.streams);
    Ok(MemoryRow {
        scenario,
        target: lane.target,
        streams: effort.streams,
        before_bytes: before,
        open_bytes: Some(most),
        kib_per_stream: Some(per_stream),
        cpu_percent,
        faults: lane.faults,
    })
}

/// Measures memory before any request.
pub(crate) async fn idle(
    rig: &mut Rig,
    scenario: Scenario,
    effort: Effort,
) -> anyhow::Result<Vec<MemoryRow>> {
    tokio::time::sleep(effort.idle).await;
    rig.check()?;
    let mut rows = Vec::new();
    for target in rig.targets() {
        rows.push(MemoryRow {
            scenario,
            target,
            streams: 0,
            before_bytes: Memory::read(&rig.processes(target)?)?.now,
            open_bytes: None,
            kib_per_stream: None,
            cpu_percent: None,
            faults: Vec::new(),
        });
    }
    Ok(rows)
}

/// What every target is asked.
#[derive(Clone, Copy)]
struct Wanted {
    /// Size of the request's body.
    bytes: usize,
    answer: Answer,
    /// The gateway has to translate.
    translated: bool,
    /// There is something in it for rules to judge.
    judged: bool,
}

impl Wanted {
    fn of(scenario: Scenario) -> Self {
        Self {
            bytes: scenario.request_bytes(),
            answer: scenario.answer(),
            translated: scenario.is_translated(),
            judged: scenario.is_governed(),
        }
    }
}

/// Probes every target; what comes from the provider directly is what all must answer, unless the gateway
/// translates: then its own first answer is what it must go on answering.
async fn lanes(rig: &mut Rig, wanted: Wanted) -> anyhow::Result<Vec<Lane>> {
    let answer = wanted.answer;
    let stream = matches!(answer, Answer::Stream { .. });
    let mut lanes: Vec<Lane> = Vec::new();
    let mut expect = None;
    for target in rig.targets() {
        let request = request_to(rig, target, wanted)?;
        let (address, _) = rig.address(target, stream)?;
        let probed = probe(target, address, &request, stream).await?;
        if target.is_gateway() {
            rig.gateway.add_sent(1);
        }
        let body_bytes = probed.body.len() as u64;
        let own = Expect { body_bytes, stream };
        let expect = if wanted.translated {
            own
        } else {
            *expect.get_or_insert(own)
        };
        let shot = Rc::new(Shot {
            address,
            request,
            expect,
        });
        let (closed, open) = (Sums::new()?, Sums::new()?);
        lanes.push(Lane {
            target,
            shot,
            closed,
            open,
            faults: Vec::new(),
        });
    }
    Ok(lanes)
}

fn request_to(rig: &Rig, target: Target, wanted: Wanted) -> anyhow::Result<Vec<u8>> {
    let Wanted {
        bytes,
        answer,
        translated,
        judged,
    } = wanted;
    let model = if translated && target == Target::Gateway {
        FOREIGN_MODEL
    } else {
        MODEL
    };
    let (address, key) = rig.address(target, matches!(answer, Answer::Stream { .. }))?;
    let body = if judged {
        judged_body(bytes, answer, model)
    } else {
        body(bytes, answer, model)
    };
    Ok(http::request(address, CHAT, Some(key), Some(&body)))
}

/// One slice for every target, beginning with another one each round.
async fn turn(
    rig: &mut Rig,
    lanes: &mut [Lane],
    round: u32,
    pace: Pace,
    effort: Effort,
) -> anyhow::Result<()> {
    let first = round as usize % lanes.len();
    let (later, earlier) = lanes.split_at_mut(first);
    for lane in earlier.iter_mut().chain(later) {
        let (slice, used) = slice(rig, lane, pace, effort.slice, effort).await?;
        lane.add(pace, &slice, used)?;
    }
    Ok(())
}

/// CPU time of a slice.
#[derive(Clone, Copy)]
struct Cost {
    data_ns: u64,
    whole_ns: u64,
    generator_ns: u64,
}

async fn slice(
    rig: &mut Rig,
    lane: &mut Lane,
    pace: Pace,
    time: Duration,
    effort: Effort,
) -> anyhow::Result<(Slice, Cost)> {
    let processes = rig.processes(lane.target)?;
    let own = [std::process::id()];
    let data = Rig::data_threads(lane.target);
    let streams = connect(lane.shot.address, effort.connections).await?;
    let (before, own_before) = (Cpu::read(&processes)?, Cpu::read(&own)?);
    let slice = run(streams, &lane.shot, pace, time).await?;
    let own_after = Cpu::read(&own)?;
    rig.check()?;
    tokio::time::sleep(AFTERMATH).await;
    let served = Cpu::read(&processes)?;
    lane.add_faults(&slice.errors);
    if lane.target.is_gateway() {
        rig.gateway.add_sent(slice.requests);
        lane.faults.extend(rig.gateway.settle().await?);
    }
    let drained = Cpu::read(&processes)?;
    let cost = Cost {
        data_ns: served.since(&before, data).data_ns,
        whole_ns: drained.since(&before, data).whole_ns,
        generator_ns: own_after.since(&own_before, "").whole_ns,
    };
    Ok((slice, cost))
}

impl Lane {
    /// Equal errors of many connections are one fault.
    fn add_faults(&mut self, errors: &[String]) {
        if let Some(first) = errors.first() {
            self.faults.push(format!(
                "{} failed requests, the first: {first}",
                errors.len()
            ));
        }
    }

    fn add(&mut self, pace: Pace, slice: &Slice, cost: Cost) -> anyhow::Result<()> {
        let sums = match pace {
            Pace::Closed => &mut self.closed,
            Pace::Open(_) => &mut self.open,
        };
        sums.requests += slice.requests;
        sums.elapsed += slice.elapsed;
        sums.data_ns += cost.data_ns;
        sums.whole_ns += cost.whole_ns;
        sums.generator_ns += cost.generator_ns;
        let per_request = |ns: u64| ns as f64 / 1_000.0 / slice.requests.max(1) as f64;
        sums.cpu.data.push(per_request(cost.data_ns));
        sums.cpu.whole.push(per_request(cost.whole_ns));
        sums.slices.push(Quantiles::of(&slice.latency));
        sums.latency.add(&slice.latency)?;
        sums.first_byte.add(&slice.first_byte)?;
        Ok(())
    }

    fn into_row(
        self,
        scenario: Scenario,
        effort: Effort,
        rate: f64,
        added: Option<Added>,
        memory: Memory,
    ) -> LoadRow {
        let Self {
            target,
            shot,
            closed,
            open,
            mut faults,
        } = self;
        if open.rate() < rate * HELD_RATE {
            faults.push(format!(
                "only {:.0} requests/s of {rate:.0} were answered",
                open.rate()
            ));
        }
        LoadRow {
            scenario,
            target,
            connections: effort.connections,
            request_bytes: scenario.request_bytes() as u64,
            answer_bytes: shot.expect.body_bytes,
            requests: closed.requests + open.requests,
            requests_per_second: closed.rate(),
            data_micros: closed.micros(closed.data_ns),
            data_micros_spread: Spread::of(&closed.cpu.data),
            whole_micros: closed.micros(closed.whole_ns),
            generator_micros: closed.micros(closed.generator_ns),
            open_rate: rate,
            open_data_micros: open.micros(open.data_ns),
            open_whole_micros: open.micros(open.whole_ns),
            added,
            extra: None,
            latency: Quantiles::of(&open.latency),
            first_byte: Quantiles::of(&open.first_byte),
            closed_latency: Quantiles::of(&closed.latency),
            peak_bytes: memory.peak,
            faults,
        }
    }
}

fn faults(lanes: &[Lane]) -> String {
    let faults: Vec<&str> = lanes
        .iter()
        .flat_map(|lane| &lane.faults)
        .map(String::as_str)
        .collect();
    faults.join("; ")
}
