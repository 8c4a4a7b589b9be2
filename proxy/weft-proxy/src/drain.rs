//! Leaving gracefully: one signal that all connections hear, and a count of those still there.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Starts the drain and waits for its end.
#[derive(Clone)]
pub struct Drain {
    signal: watch::Sender<bool>,
    tracker: TaskTracker,
}

/// Held by a connection; it counts as live until this is dropped.
pub struct Live {
    signal: watch::Receiver<bool>,
    _token: TaskTrackerToken,
}

impl Default for Drain {
    fn default() -> Self {
        let tracker = TaskTracker::new();
        tracker.close();
        Self { signal: watch::Sender::new(false), tracker }
    }
}

impl Drain {
    /// A connection begins.
    pub fn live(&self) -> Live {
        Live { signal: self.signal.subscribe(), _token: self.tracker.token() }
    }

    pub fn is_draining(&self) -> bool {
        *self.signal.borrow()
    }

    /// Tells every connection to come to its end.
    pub fn start(&self) {
        self.signal.send_replace(true);
    }

    /// Waits for the signal.
    pub async fn started(&self) {
        let mut signal = self.signal.subscribe();
        // The sender lives as long as self does.
        let _ = signal.wait_for(|on| *on).await;
    }

    /// True when all connections ended within `grace`.
    pub async fn finished(&self, grace: Duration) -> bool {
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}

impl Live {
    /// Waits until the connection should come to its end.
    pub async fn ending(&mut self) {
        if self.signal.wait_for(|on| *on).await.is_err() {
            // Nobody can drain any more.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the signal is given; whoever begins after it waits for ever.
    pub async fn told(&mut self) {
        if self.signal.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections hear the signal, also those that begin after it, and the drain ends with the last one.
    #[tokio::test]
    async fn drains_with_the_last_connection() {
        let drain = Drain::default();
        let mut early = drain.live();
        drain.start();
        let mut late = drain.live();
        tokio::join!(early.ending(), late.ending());
        drop(early);
        assert!(!drain.finished(Duration::from_millis(1)).await);
        drop(late);
        assert!(drain.finished(Duration::from_secs(5)).await);
    }
}
