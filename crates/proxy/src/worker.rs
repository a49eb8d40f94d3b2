//! What the data plane shares, and what each data thread owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use lw_cloud::Outside;
use lw_core::{Clock, Entropy};
use lw_crypto::Pepper;
use lw_engine::price::PriceCatalogue;
use lw_engine::route::Equivalents;
use lw_governor::limits::Limits;
use lw_spool::{Spool, SpoolWriter};
use lw_upstream::{AddressGuard, Pool};
use parking_lot::Mutex;
use rustls::ClientConfig;

use crate::custody::Custody;
use crate::keys::{KeyCache, Lookups};
use crate::metrics::Metrics;
use crate::models::Discovery;
use crate::record::Records;
use crate::settings::Settings;

/// What every request needs and no request changes: swapped as a whole behind one pointer.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Prices of models.
    pub prices: PriceCatalogue,
}

/// The data plane's shared parts. One for the process.
pub struct Gateway {
    /// What the configuration says.
    pub settings: Settings,
    /// Compiled keys.
    pub keys: Arc<KeyCache>,
    /// What keys are read and compiled with.
    pub lookups: Arc<Lookups>,
    /// Levels of rate limits.
    pub limits: Limits,
    /// Who owns what is kept at providers.
    pub custody: Arc<Custody>,
    /// What keys are hashed with to find them, the current one first.
    pub peppers: Vec<Pepper>,
    /// Prices.
    pub snapshot: ArcSwap<Snapshot>,
    /// Models that stand for one another across vendors.
    pub equivalents: Equivalents,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub entropy: Arc<dyn Entropy>,
    /// Which addresses may be dialled.
    pub guard: Arc<AddressGuard>,
    /// TLS towards providers.
    pub tls: Arc<ClientConfig>,
    /// Where spend is written before anything is dialled.
    pub spool: Arc<Spool>,
    /// Where finished requests go.
    pub records: Arc<Records>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Bytes of bodies held by all requests.
    pub bytes: Arc<ByteBudget>,
    /// Models that providers listed.
    pub discovery: Discovery,
    /// `X-LangWatch-Gateway-Version`.
    pub version_header: http::HeaderValue,
    /// `User-Agent` towards providers.
    pub user_agent: http::HeaderValue,
    /// Set by the signal to stop.
    pub draining: AtomicBool,
    /// When the process started, for the probes' `uptime_s`.
    pub started_at: lw_core::UnixMicros,
}

/// One data thread's own parts.
pub struct Worker {
    /// The shared parts.
    pub gateway: Arc<Gateway>,
    /// Which data thread this is.
    pub index: usize,
    /// Its connections.
    pub pool: Pool,
    /// The world as the credentials of the clouds see it from here.
    pub outside: Outside,
    /// Its end of the spool. The lock is never contended: only this thread takes it.
    pub spool: Mutex<SpoolWriter>,
}

/// A cap on bytes that the whole process holds for one purpose.
#[derive(Debug)]
pub struct ByteBudget {
    used: AtomicUsize,
    most: usize,
}

impl ByteBudget {
    /// A budget of `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            most,
        })
    }

    /// Bytes taken.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or nothing when there is no room.
    #[must_use]
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<BytePermit> {
        let mut permit = BytePermit {
            budget: self.clone(),
            bytes: 0,
        };
        permit.grow(bytes).then_some(permit)
    }
}

/// Bytes that were taken from a budget; dropping it gives them back.
#[derive(Debug)]
pub struct BytePermit {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl BytePermit {
    /// Takes `more` bytes as well; `false` and unchanged when there is no room.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let most = self.budget.most;
        let room = |used: usize| used.checked_add(more).filter(|used| *used <= most);
        let taken = self
            .budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let over = self.bytes.saturating_sub(bytes);
        self.budget.used.fetch_sub(over, Ordering::Relaxed);
        self.bytes -= over;
    }
}

impl Drop for BytePermit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_exceeded_and_comes_back() {
        let budget = ByteBudget::new(100);
        let mut permit = budget.take(60).expect("room");
        assert!(budget.take(50).is_none());
        assert!(permit.grow(40));
        assert!(!permit.grow(1));
        drop(permit);
        assert_eq!(budget.used(), 0);
    }
}
