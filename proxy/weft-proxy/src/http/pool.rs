//! Connections to one endpoint that a worker keeps: few of HTTP/2, shared; of HTTP/1 as many as are busy at once.

use std::cell::RefCell;
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
    /// How many attempts to connect failed, and how the last one did: told to the crowd that waited for it.
    failed: RefCell<(u64, Option<Error>)>,
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
