//! At most so many events a second to one observer; the rest is counted and told with the next.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

pub struct Pace {
    per_second: u32,
    window: Instant,
    sent: u32,
    skipped: u64,
}

impl Pace {
    pub fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, window: now, sent: 0, skipped: 0 }
    }

    /// Some(number skipped since the last) when an event may go now.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.window) >= SECOND {
            self.window = now;
            self.sent = 0;
        }
        if self.sent >= self.per_second {
            self.skipped += 1;
            return None;
        }
        self.sent += 1;
        Some(std::mem::take(&mut self.skipped))
    }

    /// Events that were lost before anybody could look at them.
    pub fn lost(&mut self, events: u64) {
        self.skipped += events;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_the_rate_is_counted_and_told_with_the_next_event() {
        let start = Instant::now();
        let mut pace = Pace::new(2, start);
        let admitted: Vec<_> = (0..5).map(|_| pace.admit(start)).collect();
        assert_eq!(vec![Some(0), Some(0), None, None, None], admitted);
        assert_eq!(Some(3), pace.admit(start + SECOND));
        assert_eq!(Some(0), pace.admit(start + SECOND));
    }
}
