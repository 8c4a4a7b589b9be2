//! How often something may be called: token buckets, shared by all workers and ports of this proxy.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use weft_api::discovery as api;

use super::calls::Call;
use super::clients::Caller;
use super::table::Matcher;

/// Clients of one limit that have buckets of their own. Beyond, those are forgotten that are full again, else the
/// older half.
const MAX_CLIENTS: usize = 10_000;

/// What a limit allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    pub name: Arc<str>,
    pub per_second: u32,
    /// As many at once.
    pub burst: u32,
    /// Each client has its own.
    pub per_client: bool,
}

/// Refilled evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When it was last asked, so many were left.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(spec: &Spec, now: Instant) -> Self {
        Self { tokens: spec.burst.into(), at: now }
    }

    fn tokens(&self, spec: &Spec, now: Instant) -> f64 {
        let new = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(spec.per_second);
        (self.tokens + new).min(spec.burst.into())
    }

    /// Takes a token, or says when there will be one.
    fn take(&mut self, spec: &Spec, now: Instant) -> Result<(), Duration> {
        self.tokens = self.tokens(spec, now);
        self.at = self.at.max(now);
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / f64::from(spec.per_second)));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

/// What is left of one limit.
pub struct Buckets {
    spec: Spec,
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    shared: Option<Bucket>,
    identities: HashMap<Box<str>, Bucket>,
    addresses: HashMap<IpAddr, Bucket>,
}

impl Buckets {
    fn new(spec: Spec) -> Self {
        Self { spec, left: Mutex::default() }
    }

    fn take(&self, caller: &Caller<'_>, now: Instant) -> Result<(), Duration> {
        let (spec, mut left) = (&self.spec, self.left.lock().unwrap_or_else(PoisonError::into_inner));
        match caller.identity {
            _ if !spec.per_client => {
                left.shared.get_or_insert_with(|| Bucket::full(spec, now)).take(spec, now)
            }
            Some(id) => take(&mut left.identities, id, |id| id.into(), spec, now),
            None => take(&mut left.addresses, &caller.ip, |ip| *ip, spec, now),
        }
    }
}

/// Of the client's own bucket; for a new client there is room.
fn take<K: Borrow<Q> + Eq + Hash, Q: Eq + Hash + ?Sized>(
    left: &mut HashMap<K, Bucket>,
    client: &Q,
    key: impl Fn(&Q) -> K,
    spec: &Spec,
    now: Instant,
) -> Result<(), Duration> {
    if let Some(bucket) = left.get_mut(client) {
        return bucket.take(spec, now);
    }
    if left.len() >= MAX_CLIENTS {
        make_room(left, spec, now);
    }
    left.entry(key(client)).or_insert_with(|| Bucket::full(spec, now)).take(spec, now)
}

fn make_room<K: Eq + Hash>(left: &mut HashMap<K, Bucket>, spec: &Spec, now: Instant) {
    left.retain(|_, bucket| bucket.tokens(spec, now) < spec.burst.into());
    if left.len() >= MAX_CLIENTS {
        let mut used: Vec<_> = left.values().map(|bucket| bucket.at).collect();
        let (_, middle, _) = used.select_nth_unstable(MAX_CLIENTS / 2);
        let middle = *middle;
        left.retain(|_, bucket| bucket.at > middle);
    }
}

/// The buckets that are in use: a limit that a change leaves as it was, or that holds for several ports, has one set.
#[derive(Default)]
pub struct Known(HashMap<Spec, Weak<Buckets>>);

impl Known {
    fn buckets(&mut self, spec: Spec) -> Arc<Buckets> {
        if let Some(known) = self.0.get(&spec).and_then(Weak::upgrade) {
            return known;
        }
        self.0.retain(|_, buckets| buckets.strong_count() > 0);
        let made = Arc::new(Buckets::new(spec.clone()));
        self.0.insert(spec, Arc::downgrade(&made));
        made
    }
}

/// Why a request must wait, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub struct Spent {
    pub name: Arc<str>,
    pub wait: Duration,
}

/// All limits of a port.
#[derive(Default)]
pub struct Limits {
    matcher: Matcher,
    /// Of what none of them counts, if there is any.
    unlimited: Option<Matcher>,
    buckets: Vec<Arc<Buckets>>,
}

impl Limits {
    pub fn new(limits: &[api::RateLimit], unlimited: &[api::CallMatch], known: &mut Known) -> Self {
        let mut this = Self::default();
        if !unlimited.is_empty() {
            this.unlimited.get_or_insert_default().add(0, &[], unlimited, false);
        }
        for limit in limits.iter().filter(|limit| limit.requests_per_second > 0) {
            let spec = Spec {
                name: limit.name.as_str().into(),
                per_second: limit.requests_per_second,
                burst: if limit.burst > 0 { limit.burst } else { limit.requests_per_second },
                per_client: limit.per_client,
            };
            this.matcher.add(this.buckets.len() as u32, &limit.clients, &limit.calls, true);
            this.buckets.push(known.buckets(spec));
        }
        this
    }

    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Counts a request where it falls under; the first limit that is spent is told.
    pub fn take(&self, caller: &Caller<'_>, call: Call<'_>, now: Instant) -> Result<(), Spent> {
        if self.unlimited.as_ref().is_some_and(|unlimited| unlimited.first(caller, call).is_some()) {
            return Ok(());
        }
        let matching = self.matcher.all(caller, call);
        for buckets in matching.into_iter().filter_map(|number| self.buckets.get(number as usize)) {
            let spent = |wait| Spent { name: buckets.spec.name.clone(), wait };
            buckets.take(caller, now).map_err(spent)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call::Request { method: "GET", path: "/" };

    fn limit(per_second: u32, burst: u32, per_client: bool) -> api::RateLimit {
        api::RateLimit {
            name: "shop/menu".into(),
            requests_per_second: per_second,
            burst,
            per_client,
            ..Default::default()
        }
    }

    fn limits(limit: api::RateLimit) -> Limits {
        Limits::new(&[limit], &[], &mut Known::default())
    }

    fn caller(n: u32) -> Caller<'static> {
        Caller { identity: None, namespace: None, ip: IpAddr::from(n.to_be_bytes()) }
    }

    /// As many at once as the burst, then as many a second as the limit says, and who must wait hears how long.
    #[test]
    fn limits_refill_evenly() {
        let (limits, start) = (limits(limit(10, 2, false)), Instant::now());
        let take = |ms| limits.take(&caller(1), CALL, start + Duration::from_millis(ms)).map_err(|s| s.wait);
        let wait = |ms| Err(Duration::from_millis(ms));
        assert_eq!(
            [Ok(()), Ok(()), wait(100), wait(50), Ok(()), wait(100)],
            [take(0), take(0), take(0), take(50), take(100), take(100)]
        );
        let passed = (0..100).filter(|_| take(10_000).is_ok()).count();
        assert_eq!(2, passed);
    }

    /// A client that has spent its own takes nothing from the others.
    #[test]
    fn clients_have_their_own() {
        let (limits, now) = (limits(limit(1, 1, true)), Instant::now());
        let id = |id| Caller { identity: Some(id), ..caller(1) };
        let take = |caller: &Caller<'_>| limits.take(caller, CALL, now).is_ok();
        assert_eq!(
            [true, false, true, false],
            [caller(1), caller(1), caller(2), caller(2)].map(|c| take(&c))
        );
        assert_eq!([true, false, true], [id("a"), id("a"), id("b")].map(|c| take(&c)));
    }

    /// However many clients come, buckets are bounded, and the newest are kept.
    #[test]
    fn clients_are_bounded() {
        let (limits, start) = (limits(limit(1, 2, true)), Instant::now());
        for n in 0..3 * MAX_CLIENTS as u32 {
            limits.take(&caller(n), CALL, start + Duration::from_nanos(n.into())).unwrap();
        }
        let left = limits.buckets[0].left.lock().unwrap().addresses.len();
        assert!((MAX_CLIENTS / 2..=MAX_CLIENTS).contains(&left), "{left}");
    }

    /// A change elsewhere fills no bucket again, and neither does another port.
    #[test]
    fn equal_limits_share_their_buckets() {
        let (mut known, now) = (Known::default(), Instant::now());
        let before = Limits::new(&[limit(1, 1, false)], &[], &mut known);
        assert!(before.take(&caller(1), CALL, now).is_ok());
        let after = Limits::new(&[limit(1, 1, false)], &[], &mut known);
        assert!(after.take(&caller(1), CALL, now).is_err());
        let other = Limits::new(&[limit(2, 1, false)], &[], &mut known);
        assert!(other.take(&caller(1), CALL, now).is_ok());
    }

    /// Another spelling of a path is limited as the path is.
    #[test]
    fn spellings_get_around_no_limit() {
        let login = api::call_match::Path::Exact("/login".into());
        let calls = vec![api::CallMatch { method: "POST".into(), path: Some(login) }];
        let (limits, now) = (limits(api::RateLimit { calls, ..limit(1, 1, false) }), Instant::now());
        let take = |method, path| limits.take(&caller(1), Call::Request { method, path }, now).is_ok();
        assert!(take("POST", "/login") && !take("POST", "//login") && !take("POST", "/login/"));
        assert!(take("GET", "/login") && take("POST", "/logout"));
    }
}
