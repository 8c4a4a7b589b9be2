//! When an endpoint is left out: it does not connect, or it fails too often. After a penalty one request tries it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::discovery::Breaker as Settings;

/// An endpoint that could not be reached is left out first for this long, then twice as long each time.
const UNREACHABLE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// A penalty is longer by up to this share, so that not all clients come back at once.
const JITTER: f64 = 0.5;

/// Why an endpoint is left out; the `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No connection came about, or its own proxy could not reach it.
    Unreachable,
    /// So many responses in a row were failures.
    Failures,
    /// Too few of the last responses were successes.
    SuccessRate,
}

impl Reason {
    pub const ALL: [Reason; 3] = [Reason::Unreachable, Reason::Failures, Reason::SuccessRate];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unreachable => "unreachable",
            Reason::Failures => "failures",
            Reason::SuccessRate => "success_rate",
        }
    }
}

#[derive(Clone, Copy)]
enum State {
    Closed,
    /// Left out until then; after it the next request is the probe.
    Open(Reason, Instant),
    /// The probe is under way; if nothing is heard of it until then, another one may go.
    Probing(Reason, Instant),
}

/// The breaker of one endpoint; belongs to one worker.
pub struct Breaker {
    state: Cell<State>,
    /// Failures without a success between them.
    failures: Cell<u32>,
    /// Trips without a success between them.
    trips: Cell<u32>,
    penalty: Cell<Duration>,
    rate: Rate,
}

impl Breaker {
    pub fn new(now: Instant) -> Self {
        Self {
            state: Cell::new(State::Closed),
            failures: Cell::new(0),
            trips: Cell::new(0),
            penalty: Cell::new(Duration::ZERO),
            rate: Rate::new(now),
        }
    }

    /// Whether requests go elsewhere while there is an elsewhere.
    pub fn is_open(&self, now: Instant) -> bool {
        match self.state.get() {
            State::Closed => false,
            State::Open(_, until) | State::Probing(_, until) => now < until,
        }
    }

    /// A request or connection goes there: after the penalty it is the probe, and others keep off meanwhile.
    pub fn begin(&self, now: Instant) {
        if let State::Open(reason, until) | State::Probing(reason, until) = self.state.get()
            && now >= until
        {
            self.state.set(State::Probing(reason, now + self.penalty.get()));
        }
    }

    /// A connection came about: enough when that was what failed.
    pub fn connected(&self) {
        if let State::Open(Reason::Unreachable, _) | State::Probing(Reason::Unreachable, _) = self.state.get()
        {
            self.close();
        }
    }

    /// No connection came about. True: this opened it.
    pub fn unreachable(&self, jitter: f64, now: Instant) -> bool {
        self.trip(Reason::Unreachable, UNREACHABLE, jitter, now)
    }

    /// A response was a success. Of a probe it is believed; while open it belongs to a request from before.
    pub fn succeeded(&self, settings: &Settings, now: Instant) {
        self.failures.set(0);
        if settings.min_success_permille > 0 {
            self.rate.count(true, settings.window, now);
        }
        if let State::Probing(..) = self.state.get() {
            self.close();
        }
    }

    /// A response was a failure. Some: this opened it.
    pub fn failed(&self, settings: &Settings, jitter: f64, now: Instant) -> Option<Reason> {
        self.failures.set(self.failures.get().saturating_add(1));
        if settings.min_success_permille > 0 {
            self.rate.count(false, settings.window, now);
        }
        let reason = match self.state.get() {
            State::Probing(reason, _) => reason,
            _ if settings.max_failures > 0 && self.failures.get() >= settings.max_failures => {
                Reason::Failures
            }
            _ if self.rate.is_below(settings) => Reason::SuccessRate,
            _ => return None,
        };
        self.trip(reason, (settings.min_penalty, settings.max_penalty), jitter, now).then_some(reason)
    }

    /// While open, failures belong to requests from before, and change nothing.
    fn trip(&self, reason: Reason, (min, max): (Duration, Duration), jitter: f64, now: Instant) -> bool {
        if let State::Open(_, until) = self.state.get()
            && now < until
        {
            return false;
        }
        let base = max.min(min.saturating_mul(2u32.saturating_pow(self.trips.get())));
        self.penalty.set(base.mul_f64(1.0 + JITTER * jitter));
        self.trips.set(self.trips.get().saturating_add(1));
        self.failures.set(0);
        self.rate.reset(now);
        self.state.set(State::Open(reason, now + self.penalty.get()));
        true
    }

    fn close(&self) {
        self.state.set(State::Closed);
        self.trips.set(0);
        self.failures.set(0);
    }
}

/// Successes and all responses of this window and the one before it.
struct Rate {
    since: Cell<Instant>,
    now: Cell<(u32, u32)>,
    before: Cell<(u32, u32)>,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { since: Cell::new(now), now: Cell::default(), before: Cell::default() }
    }

    fn reset(&self, now: Instant) {
        self.since.set(now);
        self.now.set((0, 0));
        self.before.set((0, 0));
    }

    fn count(&self, success: bool, window: Duration, now: Instant) {
        let age = now.saturating_duration_since(self.since.get());
        if age >= window * 2 {
            self.reset(now);
        } else if age >= window {
            self.before.set(self.now.replace((0, 0)));
            self.since.set(now);
        }
        let (good, all) = self.now.get();
        self.now.set((good.saturating_add(success.into()), all.saturating_add(1)));
    }

    fn is_below(&self, settings: &Settings) -> bool {
        let (now, before) = (self.now.get(), self.before.get());
        let good = u64::from(now.0) + u64::from(before.0);
        let all = u64::from(now.1) + u64::from(before.1);
        settings.min_success_permille > 0
            && all >= u64::from(settings.min_requests)
            && good * 1000 < all * u64::from(settings.min_success_permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Lots;

    const S: Duration = Duration::from_secs(1);
    const SETTINGS: Settings = Settings {
        max_failures: 3,
        min_penalty: S,
        max_penalty: Duration::from_secs(4),
        min_success_permille: 0,
        window: Duration::from_secs(10),
        min_requests: 10,
    };

    fn fail(breaker: &Breaker, times: u32, now: Instant) -> Vec<Option<Reason>> {
        (0..times).map(|_| breaker.failed(&SETTINGS, 0.0, now)).collect()
    }

    /// So many failures in a row open it; a success between them begins the count anew.
    #[test]
    fn failures_in_a_row_open_it() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        assert_eq!(vec![None, None], fail(&breaker, 2, now));
        breaker.succeeded(&SETTINGS, now);
        assert_eq!(vec![None, None, Some(Reason::Failures)], fail(&breaker, 3, now));
        assert!(breaker.is_open(now) && !breaker.is_open(now + S));
    }

    /// After the penalty one request tries it, and all others wait for what comes of it.
    #[test]
    fn one_probe_at_a_time() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        fail(&breaker, 3, now);
        breaker.begin(now + S);
        assert!(breaker.is_open(now + S));
        breaker.succeeded(&SETTINGS, now + S);
        assert!(!breaker.is_open(now + S));
    }

    /// A probe of which nothing is heard is not waited for without end.
    #[test]
    fn lost_probes_are_replaced() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        fail(&breaker, 3, now);
        breaker.begin(now + S);
        assert!(!breaker.is_open(now + 2 * S));
    }

    /// Each failed probe doubles the penalty, up to the longest; a success forgets them.
    #[test]
    fn penalties_double() {
        let mut now = Instant::now();
        let breaker = Breaker::new(now);
        fail(&breaker, 3, now);
        for seconds in [1, 2, 4, 4] {
            assert!(breaker.is_open(now + seconds * S - S / 1000) && !breaker.is_open(now + seconds * S));
            now += seconds * S;
            breaker.begin(now);
            assert_eq!(vec![Some(Reason::Failures)], fail(&breaker, 1, now));
        }
        breaker.begin(now + 5 * S);
        breaker.succeeded(&SETTINGS, now + 5 * S);
        fail(&breaker, 3, now + 5 * S);
        assert!(!breaker.is_open(now + 6 * S));
    }

    /// What requests from before the trip still bring makes nothing longer or shorter.
    #[test]
    fn stragglers_change_nothing() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        fail(&breaker, 3, now);
        assert_eq!(vec![None; 10], fail(&breaker, 10, now));
        breaker.succeeded(&SETTINGS, now);
        assert!(breaker.is_open(now) && !breaker.is_open(now + S));
    }

    /// An endpoint that does not connect is out at once, and back with the first connection.
    #[test]
    fn unreachable_opens_at_once() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        assert!(breaker.unreachable(0.0, now) && breaker.is_open(now));
        breaker.connected();
        assert!(!breaker.is_open(now));
    }

    /// A connection says nothing about an endpoint that answers with failures.
    #[test]
    fn connecting_does_not_pardon_failures() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        fail(&breaker, 3, now);
        breaker.connected();
        assert!(breaker.is_open(now));
    }

    /// Below the share of successes it opens, once there are enough responses to judge by.
    #[test]
    fn low_success_rate_opens_it() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        let settings = Settings { max_failures: 0, min_success_permille: 800, ..SETTINGS };
        let outcome = |n: u32| match n % 2 {
            0 => breaker.failed(&settings, 0.0, now),
            _ => {
                breaker.succeeded(&settings, now);
                None
            }
        };
        let opened: Vec<_> = (0..11).map(outcome).collect();
        assert_eq!([&[None; 10][..], &[Some(Reason::SuccessRate)]].concat(), opened);
    }

    /// Zero failures allowed means: never for failures.
    #[test]
    fn zero_switches_it_off() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        let settings = Settings { max_failures: 0, ..SETTINGS };
        assert!((0..1000).all(|_| breaker.failed(&settings, 0.0, now).is_none()));
    }

    /// Whatever happens in whatever order, it is never open for longer than the longest penalty with its jitter.
    #[test]
    fn never_open_for_ever() {
        let (lots, mut now) = (Lots::new(11), Instant::now());
        let breaker = Breaker::new(now);
        let longest = UNREACHABLE.1.max(SETTINGS.max_penalty).mul_f64(1.0 + JITTER);
        for _ in 0..10_000 {
            let jitter = lots.below(1001) as f64 / 1000.0;
            match lots.below(5) {
                0 => breaker.succeeded(&SETTINGS, now),
                1 => drop(breaker.failed(&SETTINGS, jitter, now)),
                2 => drop(breaker.unreachable(jitter, now)),
                3 => breaker.connected(),
                _ => breaker.begin(now),
            }
            assert!(!breaker.is_open(now + longest));
            now += Duration::from_millis(lots.below(3000) as u64);
        }
    }
}
