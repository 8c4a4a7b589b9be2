//! Memory that this thread keeps for those who are slow to take what is theirs. It is limited: what goes beyond is
//! broken off, so that readers who stop reading cost the others nothing.

use std::cell::Cell;
use std::io;

/// For threads that nobody told another one.
const DEFAULT: usize = 256 << 20;

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(DEFAULT) };
    static HELD: Cell<usize> = const { Cell::new(0) };
    static REFUSED: Cell<u64> = const { Cell::new(0) };
}

/// Limits what this thread holds, in bytes.
pub fn limit(bytes: usize) {
    LIMIT.set(bytes);
}

/// How often something was refused since this was asked last.
pub fn refused() -> u64 {
    REFUSED.take()
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
pub struct Held(usize);

impl Held {
    pub fn new(bytes: usize) -> Result<Self, TooMuch> {
        let mut held = Self::default();
        held.set(bytes)?;
        Ok(held)
    }

    /// So many from now on. The error is for what has to be broken off, and counted.
    pub fn set(&mut self, bytes: usize) -> Result<(), TooMuch> {
        if self.fits(bytes) {
            return Ok(());
        }
        REFUSED.set(REFUSED.get() + 1);
        Err(TooMuch)
    }

    /// So many from now on, if there is room for them; else as many as before.
    pub fn fits(&mut self, bytes: usize) -> bool {
        if bytes == self.0 {
            return true;
        }
        let all = HELD.get().saturating_sub(self.0) + bytes;
        if bytes > self.0 && all > LIMIT.get() {
            return false;
        }
        HELD.set(all);
        self.0 = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(self.0));
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
}
