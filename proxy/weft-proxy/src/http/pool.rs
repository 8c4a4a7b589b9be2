//! Connections to one endpoint that a worker keeps: few of HTTP/2, shared; of HTTP/1 as many as are busy at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::http1::Exclusive;
use super::http2::Shared;
use crate::error::Error;

/// Idle HTTP/1 connections end before servers commonly end them, lest a request meets a closing one.
const IDLE_HTTP1: Duration = Duration::from_millis(1500);
const IDLE_HTTP2: Duration = Duration::from_secs(60);
const MAX_IDLE: usize = 1024;

#[derive(Default)]
pub struct Pool {
    http1: RefCell<Vec<(Box<Exclusive>, Instant)>>,
    http2: RefCell<Vec<Rc<Shared>>>,
    /// Held while a connection of HTTP/2 is made, so that a crowd makes one.
    pub connecting: tokio::sync::Mutex<()>,
    /// Told to the crowd that waits for its turn to connect.
    pub dialled: Outcomes,
}

/// How attempts to connect ended. A failure counts unless somebody has connected since that attempt began: it then says
/// nothing of the endpoint.
#[derive(Default)]
pub struct Outcomes {
    /// Attempts that have ended.
    ended: Cell<u64>,
    /// The number of the last one that connected.
    connected: Cell<u64>,
    /// The last one that failed, as long as it counts, with its number.
    failed: RefCell<Option<(u64, Error)>>,
}

impl Outcomes {
    /// The number of the last attempt that has ended: what began now is told of later ones.
    pub fn last(&self) -> u64 {
        self.ended.get()
    }

    pub fn connected(&self) {
        self.connected.set(self.next());
        self.failed.take();
    }

    /// `began`: what had been the `last` when the attempt began.
    pub fn failed(&self, began: u64, error: &Error) {
        let number = self.next();
        if self.connected.get() <= began {
            self.failed.replace(Some((number, error.clone())));
        }
    }

    /// How connecting failed, if it did after `began` and counts.
    pub fn failure_since(&self, began: u64) -> Option<Error> {
        let failed = self.failed.borrow();
        failed.as_ref().filter(|(number, _)| *number > began).map(|(_, error)| error.clone())
    }

    fn next(&self) -> u64 {
        self.ended.set(self.ended.get() + 1);
        self.ended.get()
    }
}

impl Pool {
    /// A connection of HTTP/2 with room for one more request.
    pub fn http2(&self) -> Option<Rc<Shared>> {
        let mut all = self.http2.borrow_mut();
        all.retain(|shared| !shared.is_closed());
        all.iter().find(|shared| shared.has_room()).cloned()
    }

    pub fn add_http2(&self, shared: Rc<Shared>) {
        self.http2.borrow_mut().push(shared);
    }

    /// An idle connection of HTTP/1, the latest used first.
    pub fn http1(&self, now: Instant) -> Option<Box<Exclusive>> {
        let mut idle = self.http1.borrow_mut();
        while let Some((mut connection, since)) = idle.pop() {
            if now.saturating_duration_since(since) < IDLE_HTTP1 && connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    pub fn give_back(&self, mut connection: Box<Exclusive>) {
        if !connection.is_usable() {
            return;
        }
        let mut idle = self.http1.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    /// Closes what has been idle for long, or does not answer any more.
    pub fn sweep(&self, now: Instant) {
        let fresh = |since: &Instant| now.saturating_duration_since(*since) < IDLE_HTTP1;
        self.http1.borrow_mut().retain_mut(|(connection, since)| fresh(since) && connection.is_usable());
        self.http2.borrow_mut().retain(|shared| {
            shared.look(now);
            !shared.has_ended() && !shared.is_idle(IDLE_HTTP2, now)
        });
    }

    pub fn is_empty(&self) -> bool {
        self.http1.borrow().is_empty() && self.http2.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn error(cause: &str) -> Error {
        Error::new(Code::Connect, cause)
    }

    /// Who began to wait before a failure hears of it, the latest one; who came after it does not.
    #[test]
    fn failures_are_told_to_those_who_wait() {
        let dialled = Outcomes::default();
        let (first, began) = (dialled.last(), dialled.last());
        dialled.failed(began, &error("one"));
        let second = dialled.last();
        dialled.failed(began, &error("two"));
        let heard = [first, second, dialled.last()].map(|waits| dialled.failure_since(waits));
        assert_eq!([Some(error("two")), Some(error("two")), None], heard);
    }

    /// A failure counts from the beginning of its attempt: whoever has connected since then refutes it, before its end or
    /// after.
    #[test]
    fn connections_refute_failures() {
        for (connects, told) in [("before", true), ("during", false), ("after", false)] {
            let dialled = Outcomes::default();
            let at = |time| {
                if connects == time {
                    dialled.connected()
                }
            };
            let waits = dialled.last();
            at("before");
            let began = dialled.last();
            at("during");
            dialled.failed(began, &error("gone"));
            at("after");
            assert_eq!(told, dialled.failure_since(waits).is_some(), "{connects}");
        }
    }
}
