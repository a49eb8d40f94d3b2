//! A bell that ends a background thread between two pieces of work, without waiting for its interval.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Tells threads to stop. Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: Mutex<bool>,
    bell: Condvar,
}

impl Stop {
    /// A bell that has not rung.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Rings: every [`wait`](Self::wait) returns `true` from now on.
    pub fn stop(&self) {
        *self.stopped.lock() = true;
        self.bell.notify_all();
    }

    /// Whether it rang.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }

    /// Waits for at most `time`; whether it rang.
    pub fn wait(&self, time: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            let _ = self.bell.wait_for(&mut stopped, time);
        }
        *stopped
    }
}
