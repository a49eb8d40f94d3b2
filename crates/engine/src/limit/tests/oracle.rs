//! The limiter as its definition has it: from everything that ever happened, each time anew.

use std::collections::BTreeSet;

use lw_core::civil::DAY_US;

use crate::limit::{Ceilings, Dimension, Gauge, Standing};

const MINUTE: i128 = 60_000_000;

/// Changes of one bucket, in order of time: when, and by how many tokens.
struct History {
    ceiling: u64,
    changes: Vec<(i64, i128)>,
}

impl History {
    /// What is in the bucket at `now`, times a minute: what is left of a full one since any moment, at the
    /// moment that leaves the least.
    fn left(&self, now: i64) -> i128 {
        let ceiling = i128::from(self.ceiling);
        (0..self.changes.len())
            .map(|from| {
                let since = &self.changes[from..];
                let change: i128 = since.iter().map(|(_, tokens)| tokens).sum();
                (ceiling + change) * MINUTE + ceiling * i128::from(now - since[0].0)
            })
            .fold(ceiling * MINUTE, i128::min)
    }

    fn fits(&self, now: i64, tokens: u64) -> bool {
        let needed = i128::from(tokens.min(self.ceiling)) * MINUTE;
        self.ceiling == 0 || self.left(now) >= needed
    }

    fn change(&mut self, now: i64, tokens: i128) {
        self.changes.push((now, tokens));
    }

    fn gauge(&self, now: i64) -> Option<Gauge> {
        let left = self.left(now);
        let missing = i128::from(self.ceiling) * MINUTE - left;
        (self.ceiling > 0).then(|| Gauge {
            limit: self.ceiling,
            remaining: u64::try_from(left.max(0) / MINUTE).expect("small"),
            reset_us: u64::try_from(missing.unsigned_abs().div_ceil(self.ceiling.into()))
                .expect("small"),
        })
    }
}

/// Every request by its number.
pub(super) struct Oracle {
    ceilings: Ceilings,
    requests: History,
    tokens: History,
    /// When the day began, and the requests that are in it.
    day: Option<(i64, BTreeSet<usize>)>,
    /// The estimate of each request.
    estimates: Vec<u64>,
    open: BTreeSet<usize>,
}

impl Oracle {
    pub(super) fn new(ceilings: Ceilings) -> Self {
        let history = |ceiling: Option<u64>| History {
            ceiling: ceiling.unwrap_or(0),
            changes: Vec::new(),
        };
        Self {
            ceilings,
            requests: history(ceilings.rpm),
            tokens: history(ceilings.tpm),
            day: None,
            estimates: Vec::new(),
            open: BTreeSet::new(),
        }
    }

    fn today(&self, now: i64) -> Option<&(i64, BTreeSet<usize>)> {
        let live = |(start, members): &&(i64, BTreeSet<usize>)| {
            now < start + DAY_US && !members.is_empty()
        };
        self.day.as_ref().filter(live)
    }

    pub(super) fn take(&mut self, now: i64, tokens: u64) -> Result<usize, Dimension> {
        let today = self.today(now).map_or(0, |(_, members)| members.len());
        let full = |ceiling: Option<u64>, count: usize| {
            ceiling.is_some_and(|ceiling| count as u64 >= ceiling)
        };
        if !self.requests.fits(now, 1) {
            return Err(Dimension::Rpm);
        }
        if full(self.ceilings.rpd, today) {
            return Err(Dimension::Rpd);
        }
        if !self.tokens.fits(now, tokens) {
            return Err(Dimension::Tpm);
        }
        if full(self.ceilings.concurrent, self.open.len()) {
            return Err(Dimension::Concurrent);
        }
        let id = self.estimates.len();
        self.estimates.push(tokens);
        self.open.insert(id);
        self.requests.change(now, -1);
        self.tokens.change(now, -i128::from(tokens));
        let mut day = self.today(now).cloned().unwrap_or((now, BTreeSet::new()));
        day.1.insert(id);
        self.day = Some(day);
        Ok(id)
    }

    pub(super) fn give_back(&mut self, now: i64, id: usize) {
        self.requests.change(now, 1);
        self.settle(now, id, 0);
        if let Some((_, members)) = &mut self.day {
            members.remove(&id);
        }
    }

    pub(super) fn settle(&mut self, now: i64, id: usize, used: u64) {
        let estimate = self.estimates[id];
        self.tokens
            .change(now, i128::from(estimate) - i128::from(used));
        self.release(id);
    }

    pub(super) fn release(&mut self, id: usize) {
        assert!(self.open.remove(&id), "a request ends once");
    }

    pub(super) fn standing(&self, now: i64) -> Standing {
        let day = self.ceilings.rpd.map(|limit| {
            let today = self.today(now);
            Gauge {
                limit,
                remaining: limit - today.map_or(0, |(_, members)| members.len() as u64),
                reset_us: today.map_or(0, |(start, _)| (start + DAY_US - now).unsigned_abs()),
            }
        });
        let requests = [self.requests.gauge(now), day].into_iter().flatten();
        Standing {
            requests: requests.min_by_key(|gauge| gauge.remaining),
            tokens: self.tokens.gauge(now),
            open: self.open.len() as u64,
        }
    }
}
