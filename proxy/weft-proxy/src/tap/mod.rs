//! The last exchanges of this proxy, for `weft viz tap`: a ring buffer, filled after each response.

mod event;
pub mod exchange;
pub mod matching;
mod pace;
mod redact;
pub mod server;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::broadcast;

pub use exchange::{CONNECTION, Direction, Exchange, Outcome, compact};

/// Exchanges kept for `replay`, and what they may take of memory.
const RING_ENTRIES: usize = 256;
const RING_BYTES: usize = 256 * 1024;
/// Exchanges a live observer may be behind before it loses some.
const LIVE_BACKLOG: usize = 1024;

/// An exchange with its number.
#[derive(Debug)]
pub struct Captured {
    pub id: u64,
    pub exchange: Exchange,
}

/// The ring buffer, shared by all threads; recording costs the data path one push.
pub struct Ring {
    last: Mutex<Last>,
    live: broadcast::Sender<Arc<Captured>>,
    observers: AtomicUsize,
    next_id: AtomicU64,
    log: OnceLock<SyncSender<Arc<Captured>>>,
}

#[derive(Default)]
struct Last {
    /// Each with its size.
    exchanges: VecDeque<(usize, Arc<Captured>)>,
    bytes: usize,
}

impl Ring {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            last: Mutex::default(),
            live: broadcast::Sender::new(LIVE_BACKLOG),
            observers: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            log: OnceLock::new(),
        })
    }

    /// Keeps an exchange that has ended, and shows it to live observers; its number is returned.
    pub fn record(&self, mut exchange: Exchange) -> u64 {
        redact::headers(&mut exchange.request_headers);
        redact::headers(&mut exchange.response_headers);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let captured = Arc::new(Captured { id, exchange });
        if let Some(log) = self.log.get() {
            // A full backlog: the log says itself how many it lost.
            let _ = log.try_send(captured.clone());
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if self.wanted() {
            // Fails only when the last observer has just left.
            let _ = self.live.send(captured.clone());
        }
        last.push(captured);
        id
    }

    /// Sends every exchange to the access log from now on.
    pub fn log_to(&self, log: SyncSender<Arc<Captured>>) {
        let _ = self.log.set(log);
    }

    /// What is kept now, oldest first.
    pub fn recent(&self) -> Vec<Arc<Captured>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// Whether headers are worth capturing: somebody observes.
    pub fn wanted(&self) -> bool {
        self.observers.load(Ordering::Relaxed) > 0
    }

    /// The last exchanges, oldest first, and all that follow: under one lock, so none twice and none missing.
    fn observe(self: &Arc<Self>) -> (Vec<Arc<Captured>>, Observer) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.observers.fetch_add(1, Ordering::Relaxed);
        let live = Observer { live: self.live.subscribe(), ring: self.clone() };
        (last.all(), live)
    }
}

impl Last {
    fn push(&mut self, captured: Arc<Captured>) {
        let size = captured.exchange.size();
        self.bytes += size;
        self.exchanges.push_back((size, captured));
        while self.exchanges.len() > RING_ENTRIES || self.bytes > RING_BYTES {
            let Some((size, _)) = self.exchanges.pop_front() else { break };
            self.bytes -= size;
        }
    }

    fn all(&self) -> Vec<Arc<Captured>> {
        self.exchanges.iter().map(|(_, captured)| captured.clone()).collect()
    }
}

/// A live observer; headers are captured as long as there is one.
struct Observer {
    live: broadcast::Receiver<Arc<Captured>>,
    ring: Arc<Ring>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.ring.observers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
