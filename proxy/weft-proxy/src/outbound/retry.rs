//! What becomes of a request after one try: its end, or another try.

use std::time::{Duration, Instant};

use http::Response;
use tokio::time::sleep;

use super::pause;
use crate::balance::node::Node;
use crate::error::{Code, Error};
use crate::http::classify::{fails, grpc_status};
use crate::http::client::Sent;
use crate::http::record::Record;
use crate::http::{forward, headers};
use crate::metrics::Retry as Counted;
use crate::route::{Chosen, Retry};

/// A pause is longer by up to this share, so that not all clients come back at once.
const JITTER: f64 = 0.5;
/// Pauses are doubled so often at most.
const MAX_DOUBLED: u32 = 6;

pub enum Verdict {
    Done(Result<Sent, Error>),
    Again(Error),
}

/// The tries of one request.
pub struct Retries<'plan> {
    /// None: its route does not retry.
    rules: Option<&'plan Retry>,
    /// When its time is over.
    until: Option<Instant>,
    /// How often it was sent again because it failed.
    count: u32,
    /// It was sent again because an idle connection may have been closing: that once.
    raced: bool,
    /// What is to be waited for before the next try.
    wait: Duration,
}

impl<'plan> Retries<'plan> {
    pub fn new(chosen: &Chosen<'plan>, now: Instant) -> Self {
        let rules = chosen.retry();
        if let Some(retry) = rules {
            retry.budget.request(now);
        }
        let until = chosen.rule.filter(|_| rules.is_some()).and_then(|rule| Some(now + rule.timeout?));
        Self { rules, until, count: 0, raced: false, wait: Duration::ZERO }
    }

    pub fn max(&self) -> u32 {
        self.rules.map_or(0, |retry| retry.rules.max_retries)
    }

    /// Before an attempt at endpoints that were all tried: what backs off has waited already.
    pub fn pause(&self, attempt: u32) -> Duration {
        if self.wait.is_zero() { pause(attempt) } else { Duration::ZERO }
    }

    pub async fn back_off(&self) {
        if !self.wait.is_zero() {
            sleep(self.wait).await;
        }
    }

    pub fn judge(&mut self, sent: Result<Sent, Error>, record: &Record, node: &Node, last: bool) -> Verdict {
        self.wait = Duration::ZERO;
        match sent {
            Ok(sent) => self.judge_response(sent, record, node, last),
            Err(error) => self.judge_error(forward::blame(record, error), record, node, last),
        }
    }

    fn judge_response(&mut self, mut sent: Sent, record: &Record, node: &Node, last: bool) -> Verdict {
        let now = Instant::now();
        if let Some(error) = told(&mut sent.0, node).filter(|error| !last && self.resends(error, record)) {
            node.missed(now);
            return Verdict::Again(error);
        }
        let failed = fails(&sent.0, record.is_grpc(), record.classes());
        let status = sent.0.status();
        let grpc = record.is_grpc().then(|| grpc_status(sent.0.headers())).flatten();
        if !self.wants(status.as_u16(), grpc, failed) {
            self.succeeded();
            return Verdict::Done(Ok(sent));
        }
        if last || !self.allow(record, now) {
            return Verdict::Done(Ok(sent));
        }
        node.judge(!failed, now);
        let said = grpc.map_or(status.to_string(), |grpc| format!("gRPC status {grpc}"));
        Verdict::Again(Error::new(Code::Lost, format!("{} answered {said}", node.endpoint.addr)))
    }

    fn judge_error(&mut self, error: Error, record: &Record, node: &Node, last: bool) -> Verdict {
        let now = Instant::now();
        let late_or_lost = matches!(error.code, Code::Lost | Code::Timeout);
        let grpc = record.is_grpc().then(|| error.code.grpc_status());
        let again = self.resends(&error, record)
            || late_or_lost
                && self.wants(error.code.status().as_u16(), grpc, true)
                && self.allow(record, now);
        if last || !again {
            return Verdict::Done(Err(error));
        }
        if late_or_lost {
            node.judge(false, now);
        }
        Verdict::Again(error)
    }

    /// Whether it goes out once more whatever its route says: nobody has seen it, or an idle connection was closing.
    fn resends(&mut self, error: &Error, record: &Record) -> bool {
        let raced = !self.raced && forward::may_have_raced(error, &record.head.method);
        let resends = (raced || error.code.is_undelivered()) && has_body(record);
        self.raced |= raced;
        resends
    }

    /// Whether the route retries what came.
    fn wants(&self, status: u16, grpc: Option<u16>, failed: bool) -> bool {
        let Some(Retry { rules, .. }) = self.rules else { return false };
        match grpc {
            _ if rules.statuses.is_empty() && rules.grpc_codes.is_empty() => failed,
            Some(code) => rules.grpc_codes.contains(&code),
            None => rules.statuses.contains(&status),
        }
    }

    /// Whether there may be one more try; it is spent then.
    fn allow(&mut self, record: &Record, now: Instant) -> bool {
        let Some(retry) = self.rules else { return false };
        let wait = self.next_wait(retry.rules.backoff);
        let refused = match () {
            _ if self.count >= retry.rules.max_retries => Counted::Failure,
            // What came is better than no answer in time.
            _ if self.until.is_some_and(|until| now + wait >= until) => Counted::Failure,
            _ if !has_body(record) => Counted::TooLarge,
            _ if !retry.budget.retry(now) => Counted::NoBudget,
            _ => {
                self.count += 1;
                self.wait = wait;
                return true;
            }
        };
        retry.counters.count(refused);
        false
    }

    fn next_wait(&self, backoff: Duration) -> Duration {
        if backoff.is_zero() {
            return backoff;
        }
        let doubled = backoff.saturating_mul(1 << self.count.min(MAX_DOUBLED));
        doubled.mul_f64(1.0 + JITTER * rand::random::<f64>())
    }

    fn succeeded(&self) {
        if let Some(retry) = self.rules.filter(|_| self.count > 0) {
            retry.counters.count(Counted::Success);
        }
    }
}

/// The body can be sent from its beginning.
fn has_body(record: &Record) -> bool {
    record.source.as_ref().is_none_or(|s| s.is_whole())
}

/// What the peer's proxy says went wrong at its application: that one is believed only in mesh TLS.
fn told<B>(response: &mut Response<B>, node: &Node) -> Option<Error> {
    let said = response.headers().get(headers::ERROR)?;
    let code = node.identity().and(Code::parse(said.as_bytes()))?;
    let error = Error::new(code, String::from_utf8_lossy(said.as_bytes()));
    Some(Error { reused: response.headers_mut().remove(headers::RACED).is_some(), ..error })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::discovery::{self, DstLabels, RetryBudget};
    use crate::metrics::Metrics;
    use crate::route::Budget;

    fn retry(backoff: Duration) -> Retry {
        let budget =
            RetryBudget { ratio_permille: 0, min_retries_per_second: 1, ttl: Duration::from_secs(1) };
        let rules = discovery::Retry { statuses: vec![], grpc_codes: vec![], max_retries: 9, backoff };
        let counters = Metrics::default().retries(&DstLabels::default(), "");
        Retry { rules, budget: Arc::new(Budget::new(budget, Instant::now())), counters }
    }

    fn with(rules: Option<&Retry>) -> Retries<'_> {
        Retries { rules, until: None, count: 0, raced: false, wait: Duration::ZERO }
    }

    /// Pauses double, are longer by up to half, and stop growing.
    #[test]
    fn pauses_double() {
        let retry = retry(Duration::from_millis(10));
        for (count, shortest) in [(0, 10), (1, 20), (2, 40), (6, 640), (9, 640)] {
            let retries = Retries { count, ..with(Some(&retry)) };
            let (shortest, waits) = (Duration::from_millis(shortest), retries.next_wait(retry.rules.backoff));
            assert!((shortest..=shortest.mul_f64(1.5)).contains(&waits), "{count}: {waits:?}");
        }
    }

    /// No pause is none, however often.
    #[test]
    fn no_pause_stays_none() {
        let retries = Retries { count: 5, ..with(None) };
        assert_eq!(Duration::ZERO, retries.next_wait(Duration::ZERO));
    }
}
