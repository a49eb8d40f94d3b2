//! The load generator: closed loop, open loop, and streams held open.
//!
//! One thread runs all connections, because it shares two cores with what it measures. In the open
//! loop a request has an intended start that was fixed before the slice began; its latency counts
//! from there, however late it could really be sent, so a target that stalls cannot hide the
//! requests that it kept from being made (coordinated omission). Every answer is checked. Must never
//! run on for ever: all waits here have an end. Start at [`run`].

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::http::Response;
use super::scenario::STREAM_END;

/// What answers may take longer than the slice before it is given up.
const GRACE: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Streams that are held open start this far apart, so that no listen queue overflows.
pub(crate) const OPENING_GAP: Duration = Duration::from_millis(1);
const BUFFER: usize = 64 * 1024;
const STREAM_BUFFER: usize = 4 * 1024;
const LONGEST_NS: u64 = 120_000_000_000;

/// What is sent, where to, and what must come back.
pub(crate) struct Shot {
    pub(crate) address: SocketAddr,
    pub(crate) request: Vec<u8>,
    pub(crate) expect: Expect,
}

/// A right answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    pub(crate) body_bytes: u64,
    pub(crate) stream: bool,
}

impl Expect {
    /// Four percent and 64 bytes are for ids and times in the answer, whose digits vary: a translated stream
    /// repeats an id in every frame.
    fn check(self, response: &Response) -> anyhow::Result<()> {
        ensure!(response.status() == 200, "status {}", response.status());
        let off = response.body_bytes().abs_diff(self.body_bytes);
        ensure!(
            off <= 64 + self.body_bytes / 25,
            "{} bytes of body where {} were expected",
            response.body_bytes(),
            self.body_bytes
        );
        ensure!(
            !self.stream || response.ends_with(STREAM_END),
            "a stream without its end"
        );
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Every connection sends again as soon as it has its answer.
    Closed,
    /// This many requests a second at fixed times, whatever the answers do.
    Open(f64),
}

/// What a slice of load saw.
pub(crate) struct Slice {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    /// Nanoseconds to the last byte.
    pub(crate) latency: Histogram<u64>,
    /// Nanoseconds to the first byte of the body.
    pub(crate) first_byte: Histogram<u64>,
    pub(crate) errors: Vec<String>,
}

/// Opens connections before the clock starts.
pub(crate) async fn connect(address: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(connect_one(address).await?);
    }
    Ok(streams)
}

/// Puts load on `streams` for `time` and lets every request that was begun end.
pub(crate) async fn run(
    streams: Vec<TcpStream>,
    shot: &Rc<Shot>,
    pace: Pace,
    time: Duration,
) -> anyhow::Result<Slice> {
    let start = Instant::now();
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let source = match pace {
        Pace::Closed => Source::Until(start + time),
        Pace::Open(rate) => {
            ensure!(rate.is_finite() && rate > 0.0, "no rate to pace at");
            let schedule = Schedule::new(start, rate, time);
            Source::Queue(Rc::new(Queue::open(schedule, streams.len())?))
        }
    };
    let local = LocalSet::new();
    let mut lines = JoinSet::new();
    for stream in streams {
        let (shot, tally, source) = (Rc::clone(shot), Rc::clone(&tally), source.clone());
        lines.spawn_local_on(line(stream, shot, source, tally), &local);
    }
    let ended = tokio::time::timeout(time + GRACE, local.run_until(all(lines))).await;
    drop(local);
    let tally = Rc::into_inner(tally)
        .context("a connection is still counting")?
        .into_inner();
    let mut slice = tally.into_slice(start);
    match ended {
        Ok(errors) => slice.errors.extend(errors),
        Err(_) => slice
            .errors
            .push(format!("answers still missing {GRACE:?} after the load")),
    }
    Ok(slice)
}

/// Many slow streams.
pub(crate) struct Held {
    pub(crate) opened: u32,
    pub(crate) completed: u32,
    pub(crate) errors: Vec<String>,
}

/// Opens `count` streams, calls `watch` every `every` while all of them are open, and reads on until
/// they end.
pub(crate) async fn hold(
    shot: &Rc<Shot>,
    count: u32,
    limit: Duration,
    every: Duration,
    mut watch: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Held> {
    let crowd = Rc::new(Crowd::default());
    let start = Instant::now();
    let local = LocalSet::new();
    let mut lines = JoinSet::new();
    for number in 0..count {
        let opens = start + OPENING_GAP * number;
        lines.spawn_local_on(
            held_stream(Rc::clone(shot), opens, Rc::clone(&crowd)),
            &local,
        );
    }
    let watching = async {
        loop {
            tokio::time::sleep(every).await;
            if crowd.opened.get() == count && crowd.completed.get() == 0 {
                watch()?;
            }
        }
    };
    let both = local.run_until(async {
        tokio::select! {
            errors = all(lines) => anyhow::Ok(errors),
            failed = watching => failed,
        }
    });
    let errors = match tokio::time::timeout(limit, both).await {
        Ok(errors) => errors?,
        Err(_) => vec![format!("streams still open after {limit:?}")],
    };
    Ok(Held {
        opened: crowd.opened.get(),
        completed: crowd.completed.get(),
        errors,
    })
}

#[derive(Default)]
struct Crowd {
    opened: Cell<u32>,
    completed: Cell<u32>,
}

async fn held_stream(shot: Rc<Shot>, opens: Instant, crowd: Rc<Crowd>) -> anyhow::Result<()> {
    tokio::time::sleep_until(opens).await;
    let mut stream = connect_one(shot.address).await?;
    stream.write_all(&shot.request).await?;
    let mut response = Response::new();
    let mut buffer = vec![0; STREAM_BUFFER];
    let mut open = false;
    while !response.is_done() {
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            response.finish()?;
            break;
        }
        response.push(buffer.get(..size).unwrap_or_default(), |_| {})?;
        if !open && response.body_bytes() > 0 {
            open = true;
            crowd.opened.set(crowd.opened.get() + 1);
        }
    }
    shot.expect.check(&response)?;
    crowd.completed.set(crowd.completed.get() + 1);
    Ok(())
}

/// The times at which the open loop sends: fixed before it begins.
#[derive(Clone, Copy)]
struct Schedule {
    start: Instant,
    gap_ns: f64,
    slots: u64,
}

impl Schedule {
    fn new(start: Instant, rate: f64, time: Duration) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive count far below 2^53"
        )]
        let slots = (time.as_secs_f64() * rate).ceil().max(1.0) as u64;
        Self {
            start,
            gap_ns: 1e9 / rate,
            slots,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the nanoseconds of a benchmark fit in 53 bits"
    )]
    fn intended(&self, slot: u64) -> Instant {
        self.start + Duration::from_nanos((slot as f64 * self.gap_ns) as u64)
    }
}

/// Requests that are due, taken by whichever connection is free.
struct Queue {
    schedule: Schedule,
    next: Cell<u64>,
    due: Arc<Semaphore>,
}

impl Queue {
    /// Lets one request go at each intended time, from a thread of its own: timers of the runtime
    /// are good to a millisecond, the kernel's to some microseconds.
    fn open(schedule: Schedule, connections: usize) -> anyhow::Result<Self> {
        let due = Arc::new(Semaphore::new(0));
        let pace = Arc::clone(&due);
        let pacer = move || {
            fine_timers();
            for slot in 0..schedule.slots {
                let wait = schedule
                    .intended(slot)
                    .saturating_duration_since(Instant::now());
                if !wait.is_zero() {
                    std::thread::sleep(wait);
                }
                if Arc::strong_count(&pace) == 1 {
                    return; // nobody takes requests any more: the slice was given up
                }
                pace.add_permits(1);
            }
            pace.add_permits(connections);
        };
        std::thread::Builder::new()
            .name("pacer".into())
            .spawn(pacer)?;
        Ok(Self {
            schedule,
            next: Cell::new(0),
            due,
        })
    }

    /// Waits until a request is due and says since when; nothing once the schedule is through.
    async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        let slot = self.next.get();
        self.next.set(slot + 1);
        (slot < self.schedule.slots).then(|| self.schedule.intended(slot))
    }
}

#[derive(Clone)]
enum Source {
    Until(Instant),
    Queue(Rc<Queue>),
}

impl Source {
    /// When the next request is meant to start.
    async fn start(&self) -> Option<Instant> {
        match self {
            Self::Until(end) => Some(Instant::now()).filter(|now| now < end),
            Self::Queue(queue) => queue.next().await,
        }
    }
}

struct Tally {
    requests: u64,
    last: Option<Instant>,
    latency: Histogram<u64>,
    first_byte: Histogram<u64>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            requests: 0,
            last: None,
            latency: histogram()?,
            first_byte: histogram()?,
        })
    }

    fn add(&mut self, start: Instant, first: Instant, last: Instant) {
        self.requests += 1;
        self.last = Some(last);
        self.latency
            .saturating_record(nanos(last.saturating_duration_since(start)));
        self.first_byte
            .saturating_record(nanos(first.saturating_duration_since(start)));
    }

    fn into_slice(self, start: Instant) -> Slice {
        let elapsed = self
            .last
            .map_or(Duration::ZERO, |last| last.duration_since(start));
        let Self {
            requests,
            last: _,
            latency,
            first_byte,
        } = self;
        Slice {
            requests,
            elapsed,
            latency,
            first_byte,
            errors: Vec::new(),
        }
    }
}

/// An empty histogram of nanoseconds, three digits exact.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).map_err(|error| anyhow!("histogram: {error}"))
}

/// One connection; ends with the load, or with its first error.
async fn line(
    mut stream: TcpStream,
    shot: Rc<Shot>,
    source: Source,
    tally: Rc<RefCell<Tally>>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut response = Response::new();
    while let Some(start) = source.start().await {
        response.reset();
        let (first, last) = exchange(&mut stream, &shot, &mut response, &mut buffer).await?;
        tally.borrow_mut().add(start, first, last);
        if response.closes() {
            stream = connect_one(shot.address).await?;
        }
    }
    Ok(())
}

/// One request and its answer; the times of the first byte of the body and of the last.
async fn exchange(
    stream: &mut TcpStream,
    shot: &Shot,
    response: &mut Response,
    buffer: &mut [u8],
) -> anyhow::Result<(Instant, Instant)> {
    stream.write_all(&shot.request).await?;
    let mut first = None;
    while !response.is_done() {
        let size = stream.read(buffer).await?;
        if size == 0 {
            response.finish()?;
            break;
        }
        let read = buffer.get(..size).unwrap_or_default();
        let used = response.push(read, |_| {})?;
        ensure!(used == size, "{} bytes behind the answer", size - used);
        if first.is_none() && response.body_bytes() > 0 {
            first = Some(Instant::now());
        }
    }
    shot.expect.check(response)?;
    let last = Instant::now();
    Ok((first.unwrap_or(last), last))
}

async fn connect_one(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address))
        .await
        .with_context(|| format!("no connection to {address} within {CONNECT_LIMIT:?}"))?
        .with_context(|| format!("no connection to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn all(mut lines: JoinSet<anyhow::Result<()>>) -> Vec<String> {
    let mut errors = Vec::new();
    while let Some(ended) = lines.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => errors.push(format!("{error:#}")),
            Err(error) => errors.push(error.to_string()),
        }
    }
    errors
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Asks the kernel not to round this thread's sleeps (50 µs by default). Best effort.
fn fine_timers() {
    let Ok(own) = std::fs::read_link("/proc/thread-self") else {
        return;
    };
    if let Some(thread) = own.file_name() {
        let slack = std::path::Path::new("/proc")
            .join(thread)
            .join("timerslack_ns");
        std::fs::write(slack, "1").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    fn shot(address: SocketAddr, body_bytes: u64, stream: bool) -> Rc<Shot> {
        Rc::new(Shot {
            address,
            request: REQUEST.to_vec(),
            expect: Expect { body_bytes, stream },
        })
    }

    /// Answers every request with `answer`; the request with number `stall_at` after `stall`.
    async fn responder(answer: &'static [u8], stall_at: u64, stall: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::new(std::sync::atomic::AtomicU64::new(0));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    let mut request = [0; REQUEST.len()];
                    while stream.read_exact(&mut request).await.is_ok() {
                        let count = served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if count == stall_at {
                            tokio::time::sleep(stall).await;
                        }
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        address
    }

    #[test]
    fn intended_times_are_evenly_spaced_and_cover_the_slice() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 4_000.0, Duration::from_millis(500));
        assert_eq!(schedule.slots, 2_000);
        assert_eq!(schedule.intended(0), start);
        assert_eq!(schedule.intended(1), start + Duration::from_micros(250));
        assert_eq!(
            schedule.intended(1_999),
            start + Duration::from_micros(499_750)
        );
    }

    #[tokio::test]
    async fn the_closed_loop_counts_every_answer() {
        let address = responder(ANSWER, u64::MAX, Duration::ZERO).await;
        let streams = connect(address, 3).await.unwrap();
        let time = Duration::from_millis(50);
        let slice = run(streams, &shot(address, 2, false), Pace::Closed, time)
            .await
            .unwrap();
        assert!(slice.errors.is_empty(), "{:?}", slice.errors);
        assert!(slice.requests >= 3 && slice.elapsed >= time / 2);
        assert_eq!(slice.latency.len(), slice.requests);
        assert_eq!(slice.first_byte.len(), slice.requests);
    }

    #[tokio::test]
    async fn a_stall_is_charged_to_every_request_that_it_delayed() {
        // One connection, a request every 5 ms, the second answer 250 ms late: some 50 requests
        // could not start in time, though only one answer took long.
        let stall = Duration::from_millis(250);
        let address = responder(ANSWER, 1, stall).await;
        let streams = connect(address, 1).await.unwrap();
        let time = Duration::from_millis(500);
        let slice = run(streams, &shot(address, 2, false), Pace::Open(200.0), time)
            .await
            .unwrap();
        assert!(slice.errors.is_empty(), "{:?}", slice.errors);
        assert_eq!(slice.requests, 100, "the schedule is kept");
        let late = slice.latency.len() - slice.latency.count_between(0, 100_000_000);
        assert!(late >= 25, "{late} requests over 100 ms");
    }

    #[tokio::test]
    async fn wrong_answers_are_errors() {
        let time = Duration::from_millis(20);
        for (answer, stream) in [
            (
                &b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"[..],
                false,
            ),
            (ANSWER, true),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", false),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n\
              123456789012345678901234567890123456789012345678901234567890\
              123456789012345678901234567890",
                false,
            ),
        ] {
            let address = responder(answer, u64::MAX, Duration::ZERO).await;
            let streams = connect(address, 1).await.unwrap();
            let shot = shot(address, 2, stream);
            let slice = run(streams, &shot, Pace::Closed, time).await.unwrap();
            assert_eq!(slice.errors.len(), 1);
            assert_eq!(slice.requests, 0);
        }
    }

    #[tokio::test]
    async fn held_streams_are_watched_while_all_are_open() {
        const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; REQUEST.len()];
                    stream.read_exact(&mut request).await.unwrap();
                    stream.write_all(STREAM).await.unwrap();
                    stream.write_all(b"4\r\n: a\n\r\n").await.unwrap();
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    stream
                        .write_all(b"E\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
                        .await
                        .unwrap();
                });
            }
        });
        let mut looks = 0;
        let (limit, every) = (Duration::from_secs(10), Duration::from_millis(20));
        let look = || {
            looks += 1;
            Ok(())
        };
        let held = hold(&shot(address, 18, true), 70, limit, every, look)
            .await
            .unwrap();
        assert!(held.errors.is_empty(), "{:?}", held.errors);
        assert_eq!((held.opened, held.completed), (70, 70));
        assert!(looks > 0);
    }
}
