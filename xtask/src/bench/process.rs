//! Processes under measurement: starting, ending for certain, and what the kernel says they used.
//!
//! Numbers come from `/proc`: nanoseconds per thread from `schedstat`, clock ticks per process from
//! `stat`, memory from `status`. Must never leave a child behind: see [`Child`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// How often [`wait_for`] looks: what it waits for may itself be measured.
const LOOK: Duration = Duration::from_millis(1);
/// Linux has counted process times in hundredths of a second for user space since 2.4.
const TICK_NS: u64 = 10_000_000;
/// Asks the process to end when its standard input closes, however it came to close, and insists
/// after five seconds. A line on standard input means that the process is gone already.
const WATCHDOG: &str = r#"trap "" INT HUP; read -r _ && exit
kill -TERM "$0" 2>/dev/null; n=0
while [ $n -lt 50 ] && kill -0 "$0" 2>/dev/null; do n=$((n+1)); sleep 0.1; done
kill -KILL "$0" 2>/dev/null"#;

/// A child process that does not outlive this one.
///
/// Dropping it ends it. If this process itself is killed, even by `SIGKILL`, the pipe to a small
/// watchdog shell closes and the watchdog ends the child.
pub(crate) struct Child {
    name: &'static str,
    process: process::Child,
    watchdog: process::Child,
    leash: Option<ChildStdin>,
    log: PathBuf,
}

impl Child {
    /// Starts `command` with both outputs in files in `folder`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(folder.join(format!("{name}.out")))?;
        let err = File::create(&log)?;
        let mut process = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| {
                format!("cannot start {name} ({})", command.get_program().display())
            })?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, &process.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut watchdog = match watchdog {
            Ok(watchdog) => watchdog,
            Err(error) => {
                process.kill().ok();
                process.wait().ok();
                return Err(error).context("cannot start the watchdog shell");
            }
        };
        let leash = watchdog.stdin.take();
        Ok(Self {
            name,
            process,
            watchdog,
            leash,
            log,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it printed on standard output so far.
    pub(crate) fn output(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.log.with_extension("out"))?)
    }

    /// An error with the end of its log when it is no longer running.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.process.try_wait()? else {
            return Ok(());
        };
        bail!("{} ended early ({status}): {}", self.name, self.log_tail())
    }

    /// The end of its log, for messages.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = log
            .get(log.len().saturating_sub(2_000)..)
            .unwrap_or_default();
        let tail = String::from_utf8_lossy(tail);
        if tail.trim().is_empty() {
            "(its log is empty)".into()
        } else {
            tail.into_owned()
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            // Reaped, so its number may belong to somebody else: call the watchdog off.
            if let Some(mut leash) = self.leash.take() {
                std::io::Write::write_all(&mut leash, b"gone\n").ok();
            }
        } else {
            drop(self.leash.take());
            self.process.wait().ok();
        }
        self.watchdog.wait().ok();
    }
}

/// CPU time of some processes at one moment.
pub(crate) struct Cpu {
    threads: BTreeMap<u32, Thread>,
    process_ns: u64,
}

struct Thread {
    name: String,
    ns: u64,
}

/// CPU time between two moments.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) data_ns: u64,
    pub(crate) whole_ns: u64,
}

impl Cpu {
    pub(crate) fn read(processes: &[u32]) -> anyhow::Result<Self> {
        let mut cpu = Self {
            threads: BTreeMap::new(),
            process_ns: 0,
        };
        for process in processes {
            let folder = PathBuf::from(format!("/proc/{process}"));
            cpu.process_ns += stat_ns(&fs::read_to_string(folder.join("stat"))?)?;
            for task in fs::read_dir(folder.join("task"))? {
                let task = task?;
                let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                if let Some(thread) = Thread::read(&task.path()) {
                    cpu.threads.insert(id, thread);
                }
            }
        }
        Ok(cpu)
    }

    /// How many threads have names that start with `prefix`.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.threads
            .values()
            .filter(|thread| thread.name.starts_with(prefix))
            .count()
    }

    /// What was used since `earlier`: by threads whose names start with `data`, and by everything.
    ///
    /// Threads that ended in between are missing from the per-thread times but not from the process
    /// time, which in turn is only exact to a tick: the larger of the two is the truth.
    pub(crate) fn since(&self, earlier: &Self, data: &str) -> Used {
        let mut used = Used::default();
        for (id, thread) in &self.threads {
            let before = earlier.threads.get(id).map_or(0, |thread| thread.ns);
            let ns = thread.ns.saturating_sub(before);
            used.whole_ns += ns;
            if thread.name.starts_with(data) {
                used.data_ns += ns;
            }
        }
        let ticks = self
            .process_ns
            .saturating_sub(earlier.process_ns)
            .saturating_sub(TICK_NS);
        used.whole_ns = used.whole_ns.max(ticks);
        used
    }
}

impl Thread {
    /// Nothing when the thread is gone.
    fn read(folder: &Path) -> Option<Self> {
        let name = fs::read_to_string(folder.join("comm"))
            .ok()?
            .trim_end()
            .to_owned();
        let exact = fs::read_to_string(folder.join("schedstat")).ok();
        let ns = match exact.as_deref().and_then(schedstat_ns) {
            Some(ns) => ns,
            None => stat_ns(&fs::read_to_string(folder.join("stat")).ok()?).ok()?,
        };
        Some(Self { name, ns })
    }
}

/// CPU time of the whole machine, and what of it this process and its ended children took.
pub(crate) struct Machine {
    all_ns: u64,
    busy_ns: u64,
    own_ns: u64,
}

impl Machine {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let (all_ns, busy_ns) = machine_ns(&fs::read_to_string("/proc/stat")?)?;
        let own = fs::read_to_string("/proc/self/stat")?;
        let children = stat_field::<u64>(&own, 13)? + stat_field::<u64>(&own, 14)?;
        Ok(Self {
            all_ns,
            busy_ns,
            own_ns: stat_ns(&own)? + children * TICK_NS,
        })
    }

    /// How much of the machine others have used since `earlier`, in percent of all cores.
    pub(crate) fn others_percent(&self, earlier: &Self) -> f64 {
        let all = self.all_ns.saturating_sub(earlier.all_ns).max(1);
        let busy = self.busy_ns.saturating_sub(earlier.busy_ns);
        let own = self.own_ns.saturating_sub(earlier.own_ns);
        100.0 * busy.saturating_sub(own) as f64 / all as f64
    }
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

impl Memory {
    /// The sum over `processes`; pages that they share count once for each.
    pub(crate) fn read(processes: &[u32]) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        for process in processes {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let one = memory(&status).with_context(|| format!("no memory in {process}/status"))?;
            sum.now += one.now;
            sum.peak += one.peak;
        }
        Ok(sum)
    }
}

/// The direct children of a process, by a walk over `/proc`.
pub(crate) fn children(of: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // A process may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if stat_field::<u32>(&stat, 1)? == of {
            found.push(id);
        }
    }
    Ok(found)
}

/// How many files this process, and so its children, may open.
pub(crate) fn open_file_limit() -> anyhow::Result<u64> {
    file_limit(&fs::read_to_string("/proc/self/limits")?)
}

/// Whether this process is root: nginx then keeps its workers root, so that they may read our files.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut uids = status.lines().filter_map(|line| line.strip_prefix("Uid:"));
    uids.next().and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

/// Waits until `ready` has a value, looking often; `what` names it when `limit` is over.
pub(crate) async fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let end = tokio::time::Instant::now() + limit;
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        ensure!(
            tokio::time::Instant::now() < end,
            "{what}: not within {limit:?}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

fn schedstat_ns(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// User and system time of a `stat` line.
fn stat_ns(stat: &str) -> anyhow::Result<u64> {
    let ticks = stat_field::<u64>(stat, 11)? + stat_field::<u64>(stat, 12)?;
    Ok(ticks * TICK_NS)
}

/// The times of all cores together: all there is, and what was not idle.
fn machine_ns(stat: &str) -> anyhow::Result<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks = line
        .context("no cpu line in /proc/stat")?
        .split_whitespace();
    // User, nice, system, idle, waiting for I/O, interrupts, soft interrupts, stolen; what follows
    // is part of user and nice.
    let ticks: Vec<u64> = ticks.take(8).map(str::parse).collect::<Result<_, _>>()?;
    let all: u64 = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok((all * TICK_NS, (all - idle) * TICK_NS))
}

/// A field of a `stat` line, counted from behind the name, which may hold blanks and parentheses.
fn stat_field<T: std::str::FromStr>(stat: &str, index: usize) -> anyhow::Result<T> {
    stat.rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(index))
        .and_then(|field| field.parse().ok())
        .with_context(|| format!("no field {index} in stat line {stat:?}"))
}

fn memory(status: &str) -> Option<Memory> {
    let value = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        now: value("VmRSS:")?,
        peak: value("VmHWM:")?,
    })
}

fn file_limit(limits: &str) -> anyhow::Result<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft.context("no \"Max open files\" in /proc/self/limits")? {
        "unlimited" => Ok(u64::MAX),
        number => Ok(number.parse()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (data) 0 (x) S 17 4242 4242 0 -1 4194304 100 0 0 0 \
        250 50 7 8 20 0 3 0 1000 1000000 200 18446744073709551615";

    #[test]
    fn stat_is_read_from_behind_the_name() {
        assert_eq!(stat_field::<u32>(STAT, 1).unwrap(), 17);
        assert_eq!(stat_ns(STAT).unwrap(), 3_000_000_000);
        assert!(stat_ns("4242 nothing").is_err());
    }

    #[test]
    fn schedstat_begins_with_the_time_on_cpu() {
        assert_eq!(schedstat_ns("17520156 5535925 56\n"), Some(17_520_156));
        assert_eq!(schedstat_ns(""), None);
    }

    #[test]
    fn what_others_took_is_busy_and_not_ours() {
        let stat = "cpu  10 1 20 60 5 1 2 1 9 9\ncpu0 5 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(machine_ns(stat).unwrap(), (100 * TICK_NS, 35 * TICK_NS));
        let earlier = Machine {
            all_ns: 0,
            busy_ns: 0,
            own_ns: 50,
        };
        let later = Machine {
            all_ns: 1_000,
            busy_ns: 500,
            own_ns: 450,
        };
        assert!((later.others_percent(&earlier) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn memory_and_limits_are_read() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        assert_eq!(
            memory(status),
            Some(Memory {
                now: 1 << 20,
                peak: 2 << 20
            })
        );
        assert_eq!(memory("Name:\tx\n"), None);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   4096   files\n";
        assert_eq!(file_limit(limits).unwrap(), 1024);
        assert!(file_limit("").is_err());
    }

    fn cpu(process_ns: u64, threads: &[(u32, &str, u64)]) -> Cpu {
        let thread = |&(id, name, ns): &(u32, &str, u64)| {
            (
                id,
                Thread {
                    name: name.into(),
                    ns,
                },
            )
        };
        Cpu {
            threads: threads.iter().map(thread).collect(),
            process_ns,
        }
    }

    #[test]
    fn data_threads_are_counted_apart_and_ended_threads_are_not_lost() {
        let before = cpu(
            50_000_000,
            &[(1, "main", 10), (2, "data-0", 100), (3, "pool", 5)],
        );
        let after = cpu(
            50_000_000,
            &[(1, "main", 15), (2, "data-0", 400), (4, "data-1", 30)],
        );
        assert_eq!(after.count("data-"), 2);
        assert_eq!(
            after.since(&before, "data-"),
            Used {
                data_ns: 330,
                whole_ns: 335
            }
        );
        let after = cpu(150_000_000, &[(2, "data-0", 400)]);
        assert_eq!(
            after.since(&before, "data-"),
            Used {
                data_ns: 300,
                whole_ns: 90_000_000
            }
        );
    }

    #[test]
    fn the_kernel_agrees_with_the_parsers() {
        let own = process::id();
        let cpu = Cpu::read(&[own]).unwrap();
        assert!(cpu.count("") > 0);
        assert!(Memory::read(&[own]).unwrap().peak > 0);
        assert!(open_file_limit().unwrap() > 0);
        assert!(Machine::read().unwrap().all_ns > 0);
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        let child = Child::start("sleep", command.arg("60"), folder.path()).unwrap();
        let id = child.id();
        assert!(children(process::id()).unwrap().contains(&id));
        drop(child);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
