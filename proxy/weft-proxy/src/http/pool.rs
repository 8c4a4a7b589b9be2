//! Connections to one endpoint that a worker keeps: few of HTTP/2, shared; of HTTP/1 as many as are busy at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};

use super::body::RequestBody;
use super::client::MAX_STREAMS;
use crate::error::Error;

pub type Sender1 = http1::SendRequest<RequestBody>;
pub type Sender2 = http2::SendRequest<RequestBody>;

/// Idle HTTP/1 connections end before servers commonly end them, lest a request meets a closing one.
const IDLE_HTTP1: Duration = Duration::from_millis(1500);
const IDLE_HTTP2: Duration = Duration::from_secs(60);
const MAX_IDLE: usize = 1024;

#[derive(Default)]
pub struct Pool {
    http1: RefCell<Vec<(Sender1, Instant)>>,
    http2: RefCell<Vec<Shared>>,
    /// Held while a connection of HTTP/2 is made, so that a crowd makes one.
    pub connecting: tokio::sync::Mutex<()>,
    /// How many attempts to connect failed, and how the last one did: told to the crowd that waited for it.
    failed: RefCell<(u64, Option<Error>)>,
}

struct Shared {
    sender: Sender2,
    /// How many streams its server allows; follows the server's settings.
    limit: Rc<Cell<usize>>,
    active: Rc<Cell<usize>>,
    used: Cell<Instant>,
}

/// One request on a shared connection.
pub struct Active(Rc<Cell<usize>>);

impl Active {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Pool {
    /// A connection of HTTP/2 with room for one more request.
    pub fn http2(&self) -> Option<(Sender2, Active)> {
        let mut all = self.http2.borrow_mut();
        all.retain(|c| !c.sender.is_closed());
        let room = |c: &&Shared| c.active.get() < c.limit.get().min(MAX_STREAMS as usize);
        let found = all.iter().find(room)?;
        found.used.set(Instant::now());
        Some((found.sender.clone(), Active::new(&found.active)))
    }

    pub fn add_http2(&self, (sender, limit): (Sender2, Rc<Cell<usize>>)) -> (Sender2, Active) {
        let active = Rc::new(Cell::new(0));
        let lease = Active::new(&active);
        let used = Cell::new(Instant::now());
        self.http2.borrow_mut().push(Shared { sender: sender.clone(), limit, active, used });
        (sender, lease)
    }

    /// An idle connection of HTTP/1, the latest used first; one that still ends its last response is left.
    pub fn http1(&self) -> Option<Sender1> {
        let mut idle = self.http1.borrow_mut();
        let (mut at, now) = (idle.len(), Instant::now());
        while at > 0 {
            at -= 1;
            if idle[at].0.is_closed() || now - idle[at].1 >= IDLE_HTTP1 {
                idle.remove(at);
            } else if idle[at].0.is_ready() {
                return Some(idle.remove(at).0);
            }
        }
        None
    }

    pub fn give_back(&self, sender: Sender1) {
        let mut idle = self.http1.borrow_mut();
        if !sender.is_closed() && idle.len() < MAX_IDLE {
            idle.push((sender, Instant::now()));
        }
    }

    pub fn failures(&self) -> u64 {
        self.failed.borrow().0
    }

    pub fn fail(&self, error: &Error) {
        let mut failed = self.failed.borrow_mut();
        *failed = (failed.0 + 1, Some(error.clone()));
    }

    /// How connecting failed, if it did since `failures` was read.
    pub fn failed_since(&self, failures: u64) -> Option<Error> {
        let failed = self.failed.borrow();
        failed.1.clone().filter(|_| failed.0 > failures)
    }

    /// Closes what has been idle for long.
    pub fn sweep(&self, now: Instant) {
        self.http1.borrow_mut().retain(|(sender, since)| !sender.is_closed() && now - *since < IDLE_HTTP1);
        let idle = |c: &Shared| c.active.get() == 0 && now - c.used.get() >= IDLE_HTTP2;
        self.http2.borrow_mut().retain(|c| !c.sender.is_closed() && !idle(c));
    }

    pub fn is_empty(&self) -> bool {
        self.http1.borrow().is_empty() && self.http2.borrow().is_empty()
    }
}
