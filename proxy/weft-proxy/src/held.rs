//! Memory that this thread keeps for those who are slow to take what is theirs. It is limited: when it gets scarce, who
//! has waited the longest is broken off, so that readers who stop reading cost the others nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// For threads that nobody told another one.
const DEFAULT: usize = 256 << 20;
/// A connection of many streams does not end for a socket that is full for a moment.
const STALLED: Duration = Duration::from_secs(1);

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(DEFAULT) };
    static HELD: Cell<usize> = const { Cell::new(0) };
    /// What of it belongs to those who were told to end.
    static LEAVING: Cell<usize> = const { Cell::new(0) };
    static REFUSED: Cell<u64> = const { Cell::new(0) };
    /// By the turn in which they began to wait.
    static WAITING: RefCell<BTreeMap<u64, Waiting>> = const { RefCell::new(BTreeMap::new()) };
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

struct Waiting {
    /// 0: nobody knows, it is a connection of many streams.
    bytes: usize,
    since: Instant,
    waker: Waker,
}

impl Waiting {
    fn may_end(&self) -> bool {
        self.bytes > 0 || self.since.elapsed() >= STALLED
    }
}

/// Limits what this thread holds, in bytes.
pub fn limit(bytes: usize) {
    LIMIT.set(bytes);
}

/// How often something was broken off since this was asked last.
pub fn refused() -> u64 {
    REFUSED.take()
}

/// Those who wait may have so much. The rest is for what moves, until they have made room.
fn for_waiting() -> usize {
    LIMIT.get() / 4 * 3
}

/// Tells those who have waited the longest to end, as many as must.
fn make_room() {
    while HELD.get().saturating_sub(LEAVING.get()) > for_waiting() {
        let longest = WAITING.with_borrow_mut(|all| {
            let turn = *all.iter().find(|(_, waiting)| waiting.may_end())?.0;
            all.remove(&turn)
        });
        let Some(longest) = longest else { return };
        LEAVING.set(LEAVING.get() + longest.bytes);
        longest.waker.wake();
        if longest.bytes == 0 {
            return;
        }
    }
}

fn refuse() -> Result<(), TooMuch> {
    REFUSED.set(REFUSED.get() + 1);
    Err(TooMuch)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than WEFT_MAX_BUFFERED is held for slow readers")]
pub struct TooMuch;

impl From<TooMuch> for io::Error {
    fn from(error: TooMuch) -> Self {
        io::Error::other(error)
    }
}

/// So many bytes are held until this is dropped.
#[derive(Debug, Default)]
pub struct Held {
    bytes: usize,
    /// Since when its owner waits for a reader.
    turn: Option<u64>,
}

impl Held {
    pub fn new(bytes: usize) -> Result<Self, TooMuch> {
        let mut held = Self::default();
        held.set(bytes)?;
        Ok(held)
    }

    /// So many from now on, and nobody is waited for. The error is for what has to be broken off, and counted.
    pub fn set(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.moved();
        let fits = self.put(bytes, LIMIT.get());
        if !fits || bytes > 0 {
            make_room();
        }
        if fits { Ok(()) } else { refuse() }
    }

    /// So many while its owner waits for a reader: to be asked by every poll that has to wait. 0 for a connection of many
    /// streams. The error is for who has to end, because it has waited the longest, or there is no room.
    pub fn wait(&mut self, bytes: usize, cx: &Context<'_>) -> Result<(), TooMuch> {
        let Some(turn) = self.turn else {
            self.set(bytes)?;
            let turn = TURNS.replace(TURNS.get() + 1);
            let waiting = Waiting { bytes, since: Instant::now(), waker: cx.waker().clone() };
            WAITING.with_borrow_mut(|all| all.insert(turn, waiting));
            self.turn = Some(turn);
            return Ok(());
        };
        let waits = WAITING.with_borrow_mut(|all| {
            all.get_mut(&turn).map(|waiting| waiting.waker.clone_from(cx.waker())).is_some()
        });
        if waits { Ok(()) } else { refuse() }
    }

    /// The reader took something: who waits on waits anew.
    pub fn moved(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        if WAITING.with_borrow_mut(|all| all.remove(&turn)).is_none() {
            LEAVING.set(LEAVING.get().saturating_sub(self.bytes));
        }
    }

    /// So many from now on, if there is room for what can be done without; else as many as before.
    pub fn fits(&mut self, bytes: usize) -> bool {
        self.put(bytes, for_waiting())
    }

    fn put(&mut self, bytes: usize, limit: usize) -> bool {
        if bytes == self.bytes {
            return true;
        }
        let all = HELD.get().saturating_sub(self.bytes) + bytes;
        if bytes > self.bytes && all > limit {
            return false;
        }
        HELD.set(all);
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.moved();
        HELD.set(HELD.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to the limit there is room, beyond it an error is counted; what is dropped or shrinks makes room again.
    #[test]
    fn what_is_held_is_limited() {
        limit(100);
        let (mut one, other) = (Held::new(60).unwrap(), Held::new(40).unwrap());
        assert_eq!((Err(TooMuch), false), (one.set(61), one.fits(70)));
        assert_eq!((1, 0), (refused(), refused()));
        drop(other);
        assert_eq!(Ok(()), one.set(100));
        assert_eq!(Ok(()), one.set(10));
        assert!(Held::new(90).is_ok());
        assert_eq!(10, HELD.get());
        limit(DEFAULT);
    }

    /// When room gets scarce, who has waited the longest ends, and only as many as must; who moves on is new in line.
    #[test]
    fn who_waits_longest_ends() {
        limit(100);
        let cx = Context::from_waker(Waker::noop());
        let mut waiting = [(); 3].map(|()| Held::default());
        waiting.iter_mut().for_each(|held| held.wait(25, &cx).unwrap());
        waiting[0].moved();
        waiting[0].wait(25, &cx).unwrap();
        let moving = Held::new(20).unwrap();
        assert_eq!([Ok(()), Err(TooMuch), Ok(())], waiting.each_mut().map(|held| held.wait(25, &cx)));
        waiting[1] = Held::default();
        assert_eq!((70, 0, 1), (HELD.get(), LEAVING.get(), refused()));
        drop((waiting, moving));
        assert_eq!((0, 0), (HELD.get(), WAITING.with_borrow(BTreeMap::len)));
        limit(DEFAULT);
    }

    /// What can be done without is not held when room gets scarce.
    #[test]
    fn the_rest_is_for_what_moves() {
        limit(100);
        let mut spare = Held::default();
        assert_eq!((false, true), (spare.fits(76), spare.fits(75)));
        assert!(Held::new(25).is_ok());
        limit(DEFAULT);
    }
}
