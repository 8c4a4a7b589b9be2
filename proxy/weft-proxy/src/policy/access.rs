//! All that is said of one port: what is enforced, what drafts in audit would add, how often it may be called.

use std::sync::Arc;
use std::time::Instant;

use weft_api::discovery as api;

use super::calls::Call;
use super::clients::Caller;
use super::limit::{Known, Limits, Spent};
use super::table::{Table, Verdict};

pub struct Access {
    enforced: Option<Table>,
    audited: Option<Table>,
    limits: Limits,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    Allowed,
    /// Were drafts in audit enforced, it would be denied.
    Told(Verdict<'a>),
    Denied(Verdict<'a>),
}

impl Access {
    /// None: anyone may call, as often as he likes.
    pub fn new(message: &api::Inbound, known: &mut Known) -> Option<Arc<Self>> {
        let this = Self {
            enforced: message.enforced.as_ref().map(Table::new),
            audited: message.audited.as_ref().map(Table::new),
            limits: Limits::new(&message.rate_limits, &message.unlimited, known),
        };
        let says = this.enforced.is_some() || this.audited.is_some() || !this.limits.is_empty();
        says.then(|| Arc::new(this))
    }

    pub fn decide<'a>(&'a self, caller: &Caller<'_>, call: Call<'_>) -> Decision<'a> {
        let verdict = |table: &'a Option<Table>| Some(table.as_ref()?.decide(caller, call));
        let denied = |verdict: &Verdict<'_>| !verdict.allowed;
        match verdict(&self.enforced).filter(denied) {
            Some(verdict) => Decision::Denied(verdict),
            None => verdict(&self.audited).filter(denied).map_or(Decision::Allowed, Decision::Told),
        }
    }

    /// Counts a request that is allowed.
    pub fn limit(&self, caller: &Caller<'_>, call: Call<'_>, now: Instant) -> Result<(), Spent> {
        if self.limits.is_empty() { Ok(()) } else { self.limits.take(caller, call, now) }
    }
}
