//! Pauses between attempts: they double, and jitter keeps proxies that failed together from coming back together.

use std::time::Duration;

use rand::Rng;

pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause: between half and the whole of `first`, twice that, four times that, … up to `longest`.
    pub fn next_delay(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(20));
        self.failures += 1;
        jittered(doubled.min(self.longest), 0.5..1.0)
    }
}

/// `base`, scaled by a random factor within `range`.
pub fn jittered(base: Duration, range: std::ops::Range<f64>) -> Duration {
    base.mul_f64(rand::rng().random_range(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again_after_a_success() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);
        for whole in [1, 2, 4, 5, 5] {
            let delay = backoff.next_delay();
            assert!(delay >= second * whole / 2 && delay <= second * whole, "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= second);
    }
}
