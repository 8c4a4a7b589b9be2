//! How many retries there may be: a share of the requests, so that a failing Service is not buried under them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::discovery::RetryBudget;

/// The window of time slides in so many steps.
const SLOTS: u32 = 10;

/// Requests and retries of the last `ttl`, of all workers.
#[derive(Debug)]
pub struct Budget {
    pub rules: RetryBudget,
    slots: Mutex<Slots>,
    began: Instant,
}

type Slots = [Slot; SLOTS as usize];

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which step since the beginning this is of.
    step: u64,
    requests: u32,
    retries: u32,
}

impl Budget {
    pub fn new(rules: RetryBudget, now: Instant) -> Self {
        Self { rules, slots: Default::default(), began: now }
    }

    /// An original request goes out.
    pub fn request(&self, now: Instant) {
        let (step, mut slots) = (self.step(now), self.slots());
        let slot = slot(&mut slots, step);
        slot.requests = slot.requests.saturating_add(1);
    }

    /// True when one more retry is within the budget; it is spent then.
    pub fn retry(&self, now: Instant) -> bool {
        let (step, mut slots) = (self.step(now), self.slots());
        let (requests, retries) = sums(&slots, step);
        let minimum = u64::from(self.rules.min_retries_per_second) * self.ttl().as_millis() as u64;
        let allowed = (requests * u64::from(self.rules.ratio_permille) + minimum) / 1000;
        if retries >= allowed {
            return false;
        }
        let slot = slot(&mut slots, step);
        slot.retries = slot.retries.saturating_add(1);
        true
    }

    fn ttl(&self) -> Duration {
        self.rules.ttl.max(Duration::from_secs(1))
    }

    fn step(&self, now: Instant) -> u64 {
        let slot = self.ttl() / SLOTS;
        (now.saturating_duration_since(self.began).as_nanos() / slot.as_nanos()) as u64
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of this step: what its place held before is too old. Another worker may be a step ahead.
#[allow(clippy::indexing_slicing, reason = "the rest of a division by their number is the place of one")]
fn slot(slots: &mut Slots, step: u64) -> &mut Slot {
    let slot = &mut slots[(step % u64::from(SLOTS)) as usize];
    if slot.step < step {
        *slot = Slot { step, ..Slot::default() };
    }
    slot
}

/// Requests and retries.
fn sums(slots: &Slots, step: u64) -> (u64, u64) {
    let recent = slots.iter().filter(|s| step - s.step.min(step) < u64::from(SLOTS));
    recent.fold((0, 0), |sum, s| (sum.0 + u64::from(s.requests), sum.1 + u64::from(s.retries)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Lots;

    const S: Duration = Duration::from_secs(1);

    fn budget(ratio_permille: u32, min_retries_per_second: u32, now: Instant) -> Budget {
        Budget::new(RetryBudget { ratio_permille, min_retries_per_second, ttl: 10 * S }, now)
    }

    fn spend(budget: &Budget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.retry(now)).count()
    }

    /// A share of the requests may be retried, and no more.
    #[test]
    fn retries_are_a_share_of_requests() {
        let now = Instant::now();
        let budget = budget(200, 0, now);
        (0..100).for_each(|_| budget.request(now));
        assert_eq!(20, spend(&budget, now));
    }

    /// With few requests the minimum is left: so many a second, over the whole window.
    #[test]
    fn there_is_a_minimum() {
        let now = Instant::now();
        assert_eq!(20, spend(&budget(0, 2, now), now));
    }

    /// What is older than the window counts no more, neither for nor against.
    #[test]
    fn old_requests_and_retries_are_forgotten() {
        let now = Instant::now();
        let budget = budget(500, 1, now);
        (0..100).for_each(|_| budget.request(now));
        assert_eq!(60, spend(&budget, now));
        assert_eq!(10, spend(&budget, now + 11 * S));
    }

    /// In any window, however requests and retries come, retries stay within share and minimum.
    #[test]
    fn never_more_than_the_share() {
        let (lots, start) = (Lots::new(3), Instant::now());
        let budget = budget(200, 1, start);
        let (mut now, mut requests, mut retries) = (start, Vec::new(), Vec::new());
        for _ in 0..20_000 {
            now += Duration::from_millis(lots.below(20) as u64);
            if lots.below(2) == 0 {
                budget.request(now);
                requests.push(now);
            } else if budget.retry(now) {
                retries.push(now);
            }
            // A slot is only forgotten whole, so the window is shorter by up to one of them.
            let within = |all: &[Instant], length: Duration| {
                all.iter().rev().take_while(|t| now.duration_since(**t) < length).count()
            };
            assert!(within(&retries, 9 * S) <= within(&requests, 10 * S) / 5 + 10);
        }
    }
}
