//! What policies say of one client's connection: asked for each request, and again whenever it changes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::denial::{Denial, Mode};
use crate::discovery::Inbound;
use crate::error::{Code, Error};
use crate::http::body::Ending;
use crate::policy::{Access, Call, Caller, Decision};
use crate::tap::Direction;
use crate::worker::Worker;

type Updates = watch::Receiver<Arc<Inbound>>;

pub struct Guard {
    worker: Rc<Worker>,
    updates: RefCell<Updates>,
    access: RefCell<Option<Arc<Access>>>,
    source: SocketAddr,
    destination: SocketAddr,
    pub identity: Option<Arc<str>>,
}

impl Guard {
    pub fn new(
        worker: Rc<Worker>,
        mut updates: Updates,
        source: SocketAddr,
        destination: SocketAddr,
        identity: Option<Arc<str>>,
    ) -> Rc<Self> {
        let access = RefCell::new(updates.borrow_and_update().access.clone());
        Rc::new(Self { worker, updates: RefCell::new(updates), access, source, destination, identity })
    }

    /// None: anyone may call.
    fn access(&self) -> Option<Arc<Access>> {
        if self.updates.borrow().has_changed().unwrap_or(false) {
            let access = self.updates.borrow_mut().borrow_and_update().access.clone();
            *self.access.borrow_mut() = access;
        }
        self.access.borrow().clone()
    }

    /// Whether the request may go on; and if it would not, were drafts in audit enforced, by which of them.
    pub fn request(&self, head: &Parts) -> Result<Option<Arc<str>>, Error> {
        let Some(access) = self.access() else { return Ok(None) };
        let call = Call::Request { method: head.method.as_str(), path: head.uri.path() };
        let audited = self.judge(&access, call)?;
        if let Err(spent) = access.limit(&self.caller(), call, Instant::now()) {
            self.worker.shared.metrics.limited(&spent.name, self.identity.as_deref());
            let cause = format!("more requests than {} allows", spent.name);
            return Err(Error { retry_after: Some(spent.wait), ..Error::new(Code::Limited, cause) });
        }
        Ok(audited)
    }

    /// Whether a connection may go on.
    pub fn admit(&self, call: Call<'_>) -> Result<(), Error> {
        let Some(access) = self.access() else { return Ok(()) };
        self.judge(&access, call).map(|_| ())
    }

    /// The same, and nobody is told.
    pub fn allows(&self, call: Call<'_>) -> bool {
        let denies = |access: Arc<Access>| matches!(access.decide(&self.caller(), call), Decision::Denied(_));
        !self.access().is_some_and(denies)
    }

    /// Waits until a change denies what is allowed now.
    pub async fn revoked(&self, call: Call<'_>) -> Error {
        let mut updates = self.updates.borrow().clone();
        self.denied(&mut updates, call, Duration::ZERO).await
    }

    /// Ends a request that was let in just now: some time after a change denies it, in which most are answered.
    pub fn ending(self: &Rc<Self>, head: &Parts) -> Ending {
        let (guard, mut updates) = (self.clone(), self.updates.borrow().clone());
        let (method, uri) = (head.method.clone(), head.uri.clone());
        Box::pin(async move {
            let call = Call::Request { method: method.as_str(), path: uri.path() };
            guard.denied(&mut updates, call, guard.worker.shared.config.revoked_grace).await
        })
    }

    /// Waits until a change denies the call, and it still is denied after so long.
    async fn denied(&self, updates: &mut Updates, call: Call<'_>, grace: Duration) -> Error {
        loop {
            if updates.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if self.allows(call) {
                continue;
            }
            if !grace.is_zero() {
                // Boxed, so that all who wait for a change have no room for it.
                Box::pin(sleep(grace)).await;
            }
            if !self.allows(call)
                && let Err(error) = self.admit(call)
            {
                return error;
            }
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller::new(self.identity.as_deref(), &self.worker.shared.config.trust_domain, self.source.ip())
    }

    fn judge(&self, access: &Access, call: Call<'_>) -> Result<Option<Arc<str>>, Error> {
        let (verdict, mode) = match access.decide(&self.caller(), call) {
            Decision::Allowed => return Ok(None),
            Decision::Told(verdict) => (verdict, Mode::Audit),
            Decision::Denied(verdict) => (verdict, Mode::Enforce),
        };
        let of = if verdict.default { "the default of " } else { "" };
        let denial = Denial {
            mode,
            by: verdict.by,
            error: Error::new(Code::Denied, format!("denied by {of}{}", verdict.by)),
            request: match call {
                Call::Request { method, path } => Some((method, path)),
                Call::Bytes { .. } => None,
            },
            direction: Direction::Inbound,
            identity: self.identity.as_ref(),
            source: self.source,
            destination: self.destination,
        };
        denial.tell(&self.worker.shared);
        match mode {
            Mode::Audit => Ok(Some(verdict.by.clone())),
            Mode::Enforce => Err(denial.error),
        }
    }
}
