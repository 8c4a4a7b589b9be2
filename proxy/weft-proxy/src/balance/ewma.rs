//! How loaded an endpoint is: the peak of its latency, forgotten slowly, times what is under way to it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A peak has lost two thirds of its weight after this long.
const DECAY: Duration = Duration::from_secs(10);
/// Estimate of an endpoint before its first answer when nothing else is known.
pub const UNKNOWN: Duration = Duration::from_millis(1);

/// Belongs to one worker.
pub struct Load {
    /// Seconds.
    latency: Cell<f64>,
    updated: Cell<Instant>,
    in_flight: Cell<u32>,
}

impl Load {
    /// `guess` is the latency of its neighbours: a newcomer is neither flooded nor avoided.
    pub fn new(guess: Duration, now: Instant) -> Self {
        Self { latency: Cell::new(guess.as_secs_f64()), updated: Cell::new(now), in_flight: Cell::new(0) }
    }

    /// Cost of one more request, to compare endpoints by.
    pub fn cost(&self, now: Instant) -> f64 {
        self.latency(now).as_secs_f64() * f64::from(self.in_flight.get() + 1)
    }

    /// The estimate, decayed to `now`.
    pub fn latency(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(self.latency.get() * self.weight(now))
    }

    /// A worse latency counts at once, a better one by and by.
    pub fn observe(&self, latency: Duration, now: Instant) {
        let (old, new, weight) = (self.latency.get(), latency.as_secs_f64(), self.weight(now));
        self.latency.set(if new > old { new } else { old * weight + new * (1.0 - weight) });
        self.updated.set(now);
    }

    pub fn begin(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub fn end(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    fn weight(&self, now: Instant) -> f64 {
        let idle = now.saturating_duration_since(self.updated.get());
        (-idle.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// One slow answer makes an endpoint slow at once; fast ones make it fast again only with time.
    #[test]
    fn peaks_count_at_once_and_fade() {
        let start = Instant::now();
        let load = Load::new(MS, start);
        load.observe(500 * MS, start);
        load.observe(MS, start + 10 * MS);
        assert!(load.latency(start + 10 * MS) > 450 * MS);
        assert!(load.latency(start + 30 * 1000 * MS) < 30 * MS);
    }

    /// What is under way costs as much as latency does.
    #[test]
    fn in_flight_multiplies() {
        let now = Instant::now();
        let (idle, busy) = (Load::new(2 * MS, now), Load::new(MS, now));
        (0..3).for_each(|_| busy.begin());
        assert!(busy.cost(now) > idle.cost(now));
        (0..3).for_each(|_| busy.end());
        assert!(busy.cost(now) < idle.cost(now));
    }
}
