//! A piece of a body that waits to be sent over HTTP/2: held until it is.

use bytes::{Buf, Bytes};

use crate::held::{Held, TooMuch};

pub struct Piece {
    bytes: Bytes,
    _held: Held,
}

impl Piece {
    pub fn new(bytes: Bytes) -> Result<Self, TooMuch> {
        let held = Held::new(bytes.len())?;
        Ok(Self { bytes, _held: held })
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, n: usize) {
        self.bytes.advance(n);
    }
}
