//! Connections on which nothing comes for too long: the worker's sweep looks at all of them, so that none needs a timer.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::error::{Code, Error};
use crate::http::body::BoxError;
use crate::http::client::chain;

/// How long a connection may be in either state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a request's head to its end.
    pub head: Duration,
    /// Without a byte either way and without a request under way.
    pub idle: Duration,
}

/// What the I/O of a connection tells. Upgraded connections must be able to go to other threads, though none does.
#[derive(Default)]
pub struct Moves {
    /// Bytes went either way since the last look.
    moved: AtomicBool,
    /// Bytes came since the last request began: they belong to the head of the next one.
    head: AtomicBool,
}

impl Moves {
    pub fn read(&self) {
        self.moved.store(true, Ordering::Relaxed);
        self.head.store(true, Ordering::Relaxed);
    }

    pub fn written(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Whether bytes went either way since this was asked last.
    pub fn moved_since_asked(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }
}

/// What is known of one connection; its I/O and its requests tell it.
#[derive(Default)]
pub struct Vigil {
    pub moves: Arc<Moves>,
    requests: Cell<u32>,
    idle_since: Cell<Option<Instant>>,
    head_since: Cell<Option<Instant>>,
    overdue: Cell<bool>,
    woken: Notify,
}

impl Vigil {
    /// Waits until the connection has been idle, or in a request's head, for too long.
    pub async fn overdue(&self) {
        while !self.overdue.get() {
            self.woken.notified().await;
        }
    }

    /// Serves HTTP until the connection ends or is overdue; that is an error in the middle of a request's head.
    pub async fn over(&self, served: impl Future<Output = Result<(), BoxError>>) -> Result<(), Error> {
        tokio::select! {
            biased;
            done = served => {
                if let Err(error) = done {
                    tracing::debug!(error = chain(&*error), "client connection");
                }
                Ok(())
            }
            () = self.overdue() => match self.head_since.get() {
                Some(_) => Err(Error::new(Code::Timeout, "the head of a request does not end")),
                None => Ok(()),
            }
        }
    }

    /// `heads`: bytes outside a request are the head of one.
    fn look(&self, heads: bool, limits: Limits, now: Instant) {
        let (still, busy) = (!self.moves.moved_since_asked(), self.requests.get() > 0);
        let in_head = heads && self.moves.head.load(Ordering::Relaxed) && !busy;
        let too_long = |since: &Cell<Option<Instant>>, is: bool, limit: Duration| {
            since.set(is.then(|| since.get().unwrap_or(now)));
            since.get().is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        let idle = too_long(&self.idle_since, still && !busy, limits.idle);
        let head = too_long(&self.head_since, in_head, limits.head);
        if head || idle {
            self.overdue.set(true);
            self.woken.notify_one();
        }
    }
}

/// A request under way on a connection.
pub struct Busy(Rc<Vigil>);

impl Busy {
    pub fn new(vigil: &Rc<Vigil>) -> Self {
        vigil.requests.set(vigil.requests.get() + 1);
        vigil.moves.head.store(false, Ordering::Relaxed);
        Self(vigil.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
        self.0.moves.written();
        // What came meanwhile was the request's body. If it was more, who sends no more of it is as good as idle.
        self.0.moves.head.store(false, Ordering::Relaxed);
    }
}

/// All connections of a worker.
#[derive(Default)]
pub struct Vigils(RefCell<Vec<(Weak<Vigil>, bool)>>);

impl Vigils {
    /// `heads`: requests of HTTP/1 come on it.
    pub fn begin(&self, heads: bool) -> Rc<Vigil> {
        let vigil = Rc::new(Vigil::default());
        self.0.borrow_mut().push((Rc::downgrade(&vigil), heads));
        vigil
    }

    /// Looks at all of them; call it regularly.
    pub fn look(&self, limits: Limits, now: Instant) {
        self.0.borrow_mut().retain(|(vigil, heads)| match vigil.upgrade() {
            Some(vigil) => {
                vigil.look(*heads, limits, now);
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const LIMITS: Limits = Limits { head: Duration::from_secs(10), idle: Duration::from_secs(60) };

    /// The second in which a connection is overdue, with what happens to it in each.
    fn overdue(heads: bool, mut happens: impl FnMut(&Rc<Vigil>, u32)) -> Option<u32> {
        let (vigils, start) = (Vigils::default(), Instant::now());
        let vigil = vigils.begin(heads);
        (0..1000).find(|second| {
            happens(&vigil, *second);
            vigils.look(LIMITS, start + *second * S);
            vigil.overdue.get()
        })
    }

    /// A head that comes byte by byte ends the connection, however regularly they come.
    #[test]
    fn slow_heads_are_overdue() {
        assert_eq!(Some(10), overdue(true, |vigil, _| vigil.moves.read()));
    }

    /// Bytes that are no heads of requests keep a connection alive.
    #[test]
    fn bytes_are_no_idleness() {
        assert_eq!(None, overdue(false, |vigil, _| vigil.moves.read()));
        assert_eq!(Some(60), overdue(false, |_, _| ()));
    }

    /// A request may take as long as it takes; the time counts from its end.
    #[test]
    fn requests_are_waited_for() {
        let mut busy = None;
        let late = overdue(true, |vigil, second| match second {
            0 => vigil.moves.read(),
            5 => busy = Some(Busy::new(vigil)),
            500 => busy = None,
            _ => {}
        });
        assert_eq!(Some(561), late);
    }

    /// What came of a request's body is not the head of the next one: its client may keep the connection.
    #[test]
    fn bodies_are_no_heads() {
        let mut busy = None;
        let late = overdue(true, |vigil, second| match second {
            0 => busy = Some(Busy::new(vigil)),
            1 => vigil.moves.read(),
            2 => busy = None,
            _ => {}
        });
        assert_eq!(Some(63), late);
    }
}
