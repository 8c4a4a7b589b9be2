//! Whether a request is tried again: decided by what came of the last try. Nothing is counted, spent or waited for here.

use std::time::{Duration, Instant};

use crate::discovery;
use crate::metrics::Retry as Counted;

/// A pause is longer by up to this share, so that not all clients come back at once.
const JITTER: f64 = 0.5;
/// Pauses are doubled so often at most.
const MAX_DOUBLED: u32 = 6;

/// What came of one try.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Of the response, or of the error that stands for it.
    pub status: u16,
    pub grpc: Option<u16>,
    /// By the one classifier.
    pub failed: bool,
    /// A server's response, not an error on the way.
    pub answered: bool,
    /// A response, or none because it was lost or late: what rules of retries are about.
    pub may_retry: bool,
    /// Nobody has seen the request.
    pub undelivered: bool,
    /// An idle connection may have been closing, and a second time does no harm.
    pub raced: bool,
    /// The request's body can be sent from its beginning.
    pub whole: bool,
    /// There have been as many tries as there may be.
    pub last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The client gets what came; with what the route's retries came to.
    Done(Option<Counted>),
    /// Once more, whatever the route says.
    Resend,
    /// The route retries it after `wait`, within its budget.
    Retry { wait: Duration },
}

/// The tries of one request until now.
#[derive(Clone, Copy, Debug)]
pub struct Tries<'plan> {
    /// None: its route does not retry.
    pub rules: Option<&'plan discovery::Retry>,
    /// When its time is over.
    pub until: Option<Instant>,
    /// How often it was sent again because it failed.
    pub retried: u32,
    /// It was sent again because an idle connection may have been closing: that once.
    pub raced: bool,
}

impl Tries<'_> {
    /// `lot`: a number below 1, drawn if need be.
    pub fn decide(&self, outcome: &Outcome, now: Instant, lot: impl FnOnce() -> f64) -> Decision {
        if self.resends(outcome) {
            return Decision::Resend;
        }
        let Some(rules) = self.rules.filter(|rules| outcome.may_retry && names(rules, outcome)) else {
            return Decision::Done((outcome.answered && self.retried > 0).then_some(Counted::Success));
        };
        if outcome.last || self.retried >= rules.max_retries {
            return Decision::Done(Some(Counted::Failure));
        }
        let wait = self.next_wait(rules.backoff, lot);
        // What came is better than no answer in time.
        if self.until.is_some_and(|until| now + wait >= until) {
            return Decision::Done(Some(Counted::Failure));
        }
        if !outcome.whole {
            return Decision::Done(Some(Counted::TooLarge));
        }
        Decision::Retry { wait }
    }

    /// Nobody has seen it, or an idle connection was closing.
    fn resends(&self, outcome: &Outcome) -> bool {
        let raced = outcome.raced && !self.raced;
        (outcome.undelivered || raced) && outcome.whole && !outcome.last
    }

    fn next_wait(&self, backoff: Duration, lot: impl FnOnce() -> f64) -> Duration {
        if backoff.is_zero() {
            return backoff;
        }
        let doubled = backoff.saturating_mul(1 << self.retried.min(MAX_DOUBLED));
        doubled.mul_f64(1.0 + JITTER * lot())
    }
}

/// Whether the route retries this: what its lists name, or failures if it has none.
fn names(rules: &discovery::Retry, outcome: &Outcome) -> bool {
    if rules.statuses.is_empty() && rules.grpc_codes.is_empty() {
        return outcome.failed;
    }
    match outcome.grpc {
        Some(code) => rules.grpc_codes.contains(&code),
        None => rules.statuses.contains(&outcome.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    static RULES: discovery::Retry =
        discovery::Retry { statuses: vec![], grpc_codes: vec![], max_retries: 2, backoff: S };
    /// A response that is a failure, of a request that can be sent again.
    const FAILED: Outcome = Outcome {
        status: 503,
        grpc: None,
        failed: true,
        answered: true,
        may_retry: true,
        undelivered: false,
        raced: false,
        whole: true,
        last: false,
    };
    const GOOD: Outcome = Outcome { status: 200, failed: false, ..FAILED };
    const LOST: Outcome = Outcome { status: 502, answered: false, ..FAILED };
    const UNREACHED: Outcome = Outcome { may_retry: false, undelivered: true, ..LOST };
    const RETRY: Decision = Decision::Retry { wait: S };

    fn first(rules: &discovery::Retry) -> Tries<'_> {
        Tries { rules: Some(rules), until: None, retried: 0, raced: false }
    }

    fn decide(tries: Tries<'_>, outcome: Outcome) -> Decision {
        tries.decide(&outcome, Instant::now(), || 0.0)
    }

    /// What failed is retried; if not, it is counted why. What went well after a retry is a success.
    #[test]
    fn failures_are_retried() {
        use Counted::{Failure, Success, TooLarge};
        let one = first(&RULES);
        let late = Tries { until: Some(Instant::now() + S), ..one };
        let (again, spent) = (Tries { retried: 1, ..one }, Tries { retried: 2, ..one });
        for (tries, outcome, expected) in [
            (one, FAILED, RETRY),
            (one, LOST, RETRY),
            (again, FAILED, Decision::Retry { wait: 2 * S }),
            (spent, FAILED, Decision::Done(Some(Failure))),
            (one, Outcome { last: true, ..FAILED }, Decision::Done(Some(Failure))),
            (late, FAILED, Decision::Done(Some(Failure))),
            (one, Outcome { whole: false, ..FAILED }, Decision::Done(Some(TooLarge))),
            (one, GOOD, Decision::Done(None)),
            (again, GOOD, Decision::Done(Some(Success))),
            (again, Outcome { may_retry: false, ..LOST }, Decision::Done(None)),
            (Tries { rules: None, ..one }, FAILED, Decision::Done(None)),
        ] {
            assert_eq!(expected, decide(tries, outcome), "{tries:?} {outcome:?}");
        }
    }

    /// What nobody has seen goes out again whatever the route says; what met a closing connection does, once.
    #[test]
    fn some_are_sent_again_without_rules() {
        let none = Tries { rules: None, ..first(&RULES) };
        let (raced, once) = (Outcome { raced: true, ..LOST }, Tries { raced: true, ..none });
        let found = [(none, UNREACHED), (once, UNREACHED), (none, raced), (once, raced), (none, LOST)]
            .map(|(tries, outcome)| decide(tries, outcome) == Decision::Resend);
        assert_eq!([true, true, true, false, false], found);
    }

    /// Lists name what is retried, failure or not: HTTP and gRPC have one each.
    #[test]
    fn lists_replace_failures() {
        let listed = discovery::Retry { statuses: vec![429], grpc_codes: vec![8], ..RULES.clone() };
        let of = |status, grpc| decide(first(&listed), Outcome { status, grpc, ..FAILED }) == RETRY;
        let found = [of(429, None), of(503, None), of(200, Some(8)), of(429, Some(14))];
        assert_eq!([true, false, true, false], found);
    }

    /// Whatever came: nothing is sent again whose body is gone or after the last try, and no retry is more than the route
    /// allows or later than its timeout.
    #[test]
    fn no_try_is_one_too_many() {
        let now = Instant::now();
        for (bits, retried) in (0..1 << 9).flat_map(|bits| (0..4).map(move |retried| (bits, retried))) {
            let bit = |n: u32| (bits >> n) & 1 == 1;
            let outcome = Outcome {
                failed: bit(0),
                answered: bit(1),
                may_retry: bit(2),
                undelivered: bit(3),
                raced: bit(4),
                whole: bit(5),
                last: bit(6),
                ..FAILED
            };
            let until = bit(8).then_some(now + 3 * S);
            let tries = Tries { until, retried, raced: bit(7), ..first(&RULES) };
            match tries.decide(&outcome, now, || 0.5) {
                Decision::Done(_) => continue,
                Decision::Resend => assert!(outcome.undelivered || outcome.raced && !tries.raced),
                Decision::Retry { wait } => {
                    assert!(retried < RULES.max_retries && until.is_none_or(|until| now + wait < until));
                    assert!(outcome.may_retry && outcome.failed);
                }
            }
            assert!(outcome.whole && !outcome.last, "{outcome:?}");
        }
    }

    /// Pauses double, are longer by up to half, and stop growing.
    #[test]
    fn pauses_double() {
        for (retried, shortest) in [(0, 1), (1, 2), (2, 4), (6, 64), (9, 64)] {
            let tries = Tries { retried, ..first(&RULES) };
            let found = [0.0, 1.0].map(|lot| tries.next_wait(S, || lot));
            assert_eq!([shortest * S, shortest * S * 3 / 2], found, "{retried}");
        }
    }

    /// No pause is none, however often, and draws no lot.
    #[test]
    fn no_pause_stays_none() {
        let tries = Tries { retried: 5, ..first(&RULES) };
        assert_eq!(Duration::ZERO, tries.next_wait(Duration::ZERO, || unreachable!()));
    }
}
