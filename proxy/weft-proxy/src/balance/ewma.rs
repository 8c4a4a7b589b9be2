//! How loaded an endpoint is: the peak of its latency, forgotten slowly, times what is under way to it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A peak has lost two thirds of its weight after this long.
const DECAY: Duration = Duration::from_secs(10);
/// One that has not answered for so long is asked again: what it was asked may be lost.
const SILENCE: Duration = Duration::from_secs(60);
/// Estimate of an endpoint before its first answer when nothing else is known.
pub const UNKNOWN: Duration = Duration::from_millis(1);

/// Belongs to one worker.
pub struct Load {
    /// Seconds.
    latency: Cell<f64>,
    updated: Cell<Instant>,
    in_flight: Cell<u32>,
    /// Since when it was asked and has not answered anything.
    silent: Cell<Option<Instant>>,
}

impl Load {
    /// `guess` is the latency of its neighbours: a newcomer is neither flooded nor avoided.
    pub fn new(guess: Duration, now: Instant) -> Self {
        Self {
            latency: Cell::new(guess.as_secs_f64()),
            updated: Cell::new(now),
            in_flight: Cell::new(0),
            silent: Cell::new(None),
        }
    }

    /// Cost of one more request, to compare endpoints by.
    pub fn cost(&self, now: Instant) -> f64 {
        self.latency(now).as_secs_f64() * f64::from(self.in_flight.get() + 1)
    }

    /// The estimate, decayed to `now`; not while an answer is awaited: silence makes nobody faster.
    pub fn latency(&self, now: Instant) -> Duration {
        let weight = if self.is_silent(now) { 1.0 } else { self.weight(now) };
        Duration::from_secs_f64(self.latency.get() * weight)
    }

    /// A request goes there: from now on an answer is awaited.
    pub fn ask(&self, now: Instant) {
        if !self.is_silent(now) {
            self.silent.set(Some(now));
        }
    }

    /// A worse latency counts at once, a better one by and by.
    pub fn answered(&self, latency: Duration, now: Instant) {
        self.silent.set(None);
        let (old, new, weight) = (self.latency.get(), latency.as_secs_f64(), self.weight(now));
        self.set(if new > old { new } else { old * weight + new * (1.0 - weight) }, now);
    }

    /// Nobody waits for the answer any more: it would have taken longer than `waited`, which counts if it is worse.
    pub fn given_up(&self, waited: Duration, now: Instant) {
        self.silent.set(None);
        if waited > self.latency(now) {
            self.set(waited.as_secs_f64(), now);
        }
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.silent.get().is_some_and(|since| now.saturating_duration_since(since) < SILENCE)
    }

    fn set(&self, latency: f64, now: Instant) {
        self.latency.set(latency);
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
        load.answered(500 * MS, start);
        load.answered(MS, start + 10 * MS);
        assert!(load.latency(start + 10 * MS) > 450 * MS);
        assert!(load.latency(start + 30 * 1000 * MS) < 30 * MS);
    }

    /// Who gave up early says nothing of an endpoint; who waited for long does, and so does silence, but not for ever.
    #[test]
    fn silence_counts_as_latency() {
        let start = Instant::now();
        let load = Load::new(10 * MS, start);
        load.ask(start);
        assert_eq!(10 * MS, load.latency(start + SILENCE - MS));
        assert!(load.latency(start + SILENCE) < MS);
        load.given_up(500 * MS, start + SILENCE);
        load.ask(start + SILENCE);
        load.given_up(MS, start + SILENCE);
        assert_eq!(500 * MS, load.latency(start + SILENCE));
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
