//! Connections on which nothing comes for too long: the worker's sweep looks at all of them, so that none needs a timer.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use tokio::sync::Notify;

use crate::error::{Code, Error};
use crate::http::body::BoxError;
use crate::http::client::chain;

/// How long a connection may be in either state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte of a request's head to its end.
    pub head: Duration,
    /// Without a byte either way and without a request under way; none: for ever.
    pub idle: Option<Duration>,
}

/// What the I/O of a connection tells. Upgraded connections must be able to go to other threads, though none does.
#[derive(Default)]
pub struct Moves {
    /// Bytes went either way since the last look.
    moved: AtomicBool,
    /// Bytes came since the last request began: they belong to the head of the next one.
    head: AtomicBool,
    /// A head of HTTP/2, or what else its client has to end, has begun.
    within: AtomicBool,
    /// Ending the connection would say that all has come.
    broken: AtomicBool,
}

impl Moves {
    pub fn read(&self) {
        self.moved.store(true, Ordering::Relaxed);
        self.head.store(true, Ordering::Relaxed);
    }

    pub fn within(&self, is: bool) {
        self.within.store(is, Ordering::Relaxed);
    }

    pub fn written(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is to be reset when it ends.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
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
    /// Bytes outside a request are the head of one.
    heads: Cell<bool>,
    /// What becomes of the connection when its HTTP has ended.
    next: RefCell<Option<LocalBoxFuture<'static, ()>>>,
}

impl Vigil {
    /// From now on requests come.
    pub fn enter_http(&self, http2: bool) {
        self.heads.set(!http2);
    }

    /// `next` goes on with the connection when its HTTP has ended: it keeps its place and its limits.
    pub fn leave_http(&self, next: impl Future<Output = ()> + 'static) {
        self.heads.set(false);
        self.next.replace(Some(Box::pin(next)));
    }

    /// Waits until the connection has been idle, or in a request's head, for too long.
    pub async fn overdue(&self) {
        while !self.overdue.get() {
            self.woken.notified().await;
        }
    }

    /// Serves HTTP, and what comes of it, until the connection ends or is overdue; that is an error in the middle of a
    /// request's head.
    pub async fn over(&self, served: impl Future<Output = Result<(), BoxError>>) -> Result<(), Error> {
        let done = tokio::select! {
            biased;
            done = served => done,
            () = self.overdue() => return self.too_late(),
        };
        // Taken in any case: it holds this vigil.
        let next = self.next.take();
        match (done, next) {
            (Ok(()), Some(next)) => next.await,
            (Ok(()), None) => {}
            (Err(error), _) => tracing::debug!(error = chain(&*error), "client connection"),
        }
        Ok(())
    }

    fn too_late(&self) -> Result<(), Error> {
        self.next.take();
        match self.head_since.get() {
            Some(_) => Err(Error::new(Code::Timeout, "the head of a request does not end")),
            None => Ok(()),
        }
    }

    fn look(&self, limits: Limits, now: Instant) {
        let (still, busy) = (!self.moves.moved_since_asked(), self.requests.get() > 0);
        let begun = |head: &AtomicBool| head.load(Ordering::Relaxed) && !busy;
        let in_head = self.heads.get() && begun(&self.moves.head) || begun(&self.moves.within);
        let too_long = |since: &Cell<Option<Instant>>, is: bool, limit: Duration| {
            since.set(is.then(|| since.get().unwrap_or(now)));
            since.get().is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        let idle = limits.idle.is_some_and(|idle| too_long(&self.idle_since, still && !busy, idle));
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

    /// The connection will be reset.
    pub fn break_off(&self) {
        self.0.moves.broken.store(true, Ordering::Relaxed);
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
pub struct Vigils(RefCell<Vec<Weak<Vigil>>>);

impl Vigils {
    /// A connection begins.
    pub fn begin(&self) -> Rc<Vigil> {
        let vigil = Rc::new(Vigil::default());
        self.0.borrow_mut().push(Rc::downgrade(&vigil));
        vigil
    }

    /// Looks at all of them; call it regularly.
    pub fn look(&self, limits: Limits, now: Instant) {
        self.0.borrow_mut().retain(|vigil| match vigil.upgrade() {
            Some(vigil) => {
                vigil.look(limits, now);
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
    const LIMITS: Limits = Limits { head: Duration::from_secs(10), idle: Some(Duration::from_secs(60)) };

    /// The second in which a connection is overdue, with what happens to it in each.
    fn overdue(heads: bool, happens: impl FnMut(&Rc<Vigil>, u32)) -> Option<u32> {
        overdue_by(LIMITS, heads, happens)
    }

    fn overdue_by(limits: Limits, heads: bool, mut happens: impl FnMut(&Rc<Vigil>, u32)) -> Option<u32> {
        let (vigils, start) = (Vigils::default(), Instant::now());
        let vigil = vigils.begin();
        vigil.heads.set(heads);
        (0..1000).find(|second| {
            happens(&vigil, *second);
            vigils.look(limits, start + *second * S);
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

    /// Without a limit a connection may be idle for ever.
    #[test]
    fn no_limit_is_for_ever() {
        assert_eq!(None, overdue_by(Limits { idle: None, ..LIMITS }, false, |_, _| ()));
    }

    /// A head of HTTP/2 that has begun has to end, unless other requests are under way; what else comes is none.
    #[test]
    fn frames_are_ended() {
        assert_eq!(Some(10), overdue(false, |vigil, _| vigil.moves.within(true)));
        let mut busy = None;
        let late = overdue(false, |vigil, second| {
            vigil.moves.read();
            vigil.moves.within(second != 9);
            busy = (5..8).contains(&second).then(|| Busy::new(vigil));
        });
        assert_eq!(Some(20), late);
    }

    /// What has left HTTP has no heads any more.
    #[test]
    fn upgraded_connections_have_no_heads() {
        let late = overdue(true, |vigil, second| {
            if second == 5 {
                vigil.leave_http(std::future::ready(()));
            }
            vigil.moves.read();
        });
        assert_eq!(None, late);
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
