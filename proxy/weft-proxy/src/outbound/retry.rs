//! What becomes of a request after one try: its end, or another try.

use std::time::{Duration, Instant};

use http::Response;
use tokio::time::sleep;

use self::decision::{Decision, Outcome, Tries};
use super::pause;
use crate::balance::node::Node;
use crate::error::{Code, Error};
use crate::http::classify::{fails, grpc_status};
use crate::http::client::Sent;
use crate::http::record::Record;
use crate::http::{forward, headers};
use crate::metrics::Retry as Counted;
use crate::route::{Chosen, Retry};

mod decision;

pub enum Verdict {
    Done(Result<Sent, Error>),
    Again(Error),
}

/// The tries of one request.
pub struct Retries<'plan> {
    /// None: its route does not retry.
    plan: Option<&'plan Retry>,
    tries: Tries<'plan>,
    /// What is to be waited for before the next try.
    wait: Duration,
}

impl<'plan> Retries<'plan> {
    pub fn new(chosen: &Chosen<'plan>, now: Instant) -> Self {
        let plan = chosen.retry();
        if let Some(retry) = plan {
            retry.budget.request(now);
        }
        let until = chosen.rule.filter(|_| plan.is_some()).and_then(|rule| Some(now + rule.timeout?));
        let tries = Tries { rules: plan.map(|retry| &retry.rules), until, retried: 0, raced: false };
        Self { plan, tries, wait: Duration::ZERO }
    }

    pub fn max(&self) -> u32 {
        self.plan.map_or(0, |retry| retry.rules.max_retries)
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
        let now = Instant::now();
        let mut sent = sent.map_err(|error| forward::blame(record, error));
        let told = sent.as_mut().ok().and_then(|(response, _)| told(response, node));
        let outcome = outcome(&sent, told.as_ref(), record, last);
        let decision = self.apply(self.tries.decide(&outcome, now, rand::random), &outcome, now);
        match (decision, sent, told) {
            (Decision::Done(_), sent, _) => Verdict::Done(sent),
            (_, Err(error), _) => {
                if outcome.may_retry {
                    node.judge(false, now);
                }
                Verdict::Again(error)
            }
            (Decision::Resend, Ok(_), Some(error)) => {
                node.missed(now);
                Verdict::Again(error)
            }
            (_, Ok(_), _) => {
                node.judge(!outcome.failed, now);
                Verdict::Again(answered(&outcome, node))
            }
        }
    }

    /// Notes a decision, counts it, and pays for it: a retry that there is no budget for is none.
    fn apply(&mut self, decision: Decision, outcome: &Outcome, now: Instant) -> Decision {
        self.wait = Duration::ZERO;
        match decision {
            Decision::Done(counted) => self.count(counted),
            Decision::Resend => self.tries.raced |= outcome.raced,
            Decision::Retry { .. } if !self.plan.is_some_and(|retry| retry.budget.retry(now)) => {
                self.count(Some(Counted::NoBudget));
                return Decision::Done(Some(Counted::NoBudget));
            }
            Decision::Retry { wait } => {
                self.tries.retried += 1;
                self.wait = wait;
            }
        }
        decision
    }

    fn count(&self, counted: Option<Counted>) {
        if let (Some(retry), Some(counted)) = (self.plan, counted) {
            retry.counters.count(counted);
        }
    }
}

fn outcome(sent: &Result<Sent, Error>, told: Option<&Error>, record: &Record, last: bool) -> Outcome {
    let error = told.or(sent.as_ref().err());
    let is_grpc = record.is_grpc();
    let (status, grpc, failed, may_retry) = match sent {
        Ok((response, _)) => {
            let grpc = is_grpc.then(|| grpc_status(response.headers())).flatten();
            (response.status(), grpc, fails(response, is_grpc, record.classes()), true)
        }
        Err(error) => {
            let grpc = is_grpc.then(|| error.code.grpc_status());
            (error.code.status(), grpc, true, matches!(error.code, Code::Lost | Code::Timeout))
        }
    };
    Outcome {
        status: status.as_u16(),
        grpc,
        failed,
        may_retry,
        answered: sent.is_ok(),
        undelivered: error.is_some_and(|error| error.code.is_undelivered()),
        raced: error.is_some_and(|error| forward::may_have_raced(error, &record.head().method)),
        whole: record.source().is_none_or(|source| source.is_whole()),
        last,
    }
}

fn answered(outcome: &Outcome, node: &Node) -> Error {
    let said = match outcome.grpc {
        Some(code) => format!("gRPC status {code}"),
        None => outcome.status.to_string(),
    };
    Error::new(Code::Lost, format!("{} answered {said}", node.endpoint.addr))
}

/// What the peer's proxy says went wrong at its application: that one is believed only in mesh TLS.
fn told<B>(response: &mut Response<B>, node: &Node) -> Option<Error> {
    let said = response.headers().get(headers::ERROR)?;
    let code = node.identity().and(Code::parse(said.as_bytes()))?;
    let error = Error::new(code, String::from_utf8_lossy(said.as_bytes()));
    Some(Error { reused: response.headers_mut().remove(headers::RACED).is_some(), ..error })
}
