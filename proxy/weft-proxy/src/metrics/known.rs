//! Which series there are: at most so many, and none for long after its last handle is gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Series without a handle are kept so long: what has ended can still be scraped and compared.
pub const KEEP: Duration = Duration::from_secs(3600);

/// The keys of a family's series, each with what the handles share (`T`).
pub struct Known<K, T> {
    max: usize,
    keys: Mutex<HashMap<K, Held<T>>>,
}

struct Held<T> {
    shared: Arc<T>,
    idle_since: Option<Instant>,
}

impl<K: Clone + Eq + Hash, T: Default> Known<K, T> {
    pub fn new(max: usize) -> Self {
        Self { max, keys: Mutex::default() }
    }

    /// What the handles of `key` share; the key stays known while one is held. None when there are too many.
    pub fn admit(&self, key: &K) -> Option<Arc<T>> {
        let mut keys = self.keys();
        if let Some(held) = keys.get_mut(key) {
            held.idle_since = None;
            return Some(held.shared.clone());
        }
        if keys.len() >= self.max {
            return None;
        }
        let shared = Arc::new(T::default());
        keys.insert(key.clone(), Held { shared: shared.clone(), idle_since: None });
        Some(shared)
    }

    /// Forgets the keys without a handle for `KEEP` and returns them; call it regularly.
    pub fn expire(&self, now: Instant) -> Vec<(K, Arc<T>)> {
        let mut keys = self.keys();
        let mut gone = Vec::new();
        keys.retain(|key, held| {
            if Arc::strong_count(&held.shared) > 1 {
                held.idle_since = None;
                return true;
            }
            let stays = now.saturating_duration_since(*held.idle_since.get_or_insert(now)) < KEEP;
            if !stays {
                gone.push((key.clone(), held.shared.clone()));
            }
            stays
        });
        gone
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<K, Held<T>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key is forgotten an hour after its last handle, and then there is room for another one.
    #[test]
    fn idle_keys_make_room() {
        let known = Known::<u8, ()>::new(1);
        let (start, handle) = (Instant::now(), known.admit(&1));
        assert!(handle.is_some() && known.admit(&2).is_none());
        assert!(known.expire(start + KEEP).is_empty());
        drop(handle);
        assert!(known.expire(start + KEEP).is_empty());
        assert_eq!(vec![(1, Arc::new(()))], known.expire(start + 2 * KEEP));
        assert!(known.admit(&2).is_some());
    }
}
