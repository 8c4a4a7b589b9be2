//! The ClientHello of a stranger: whether it comes in one piece or in many, it asks for the same.

use weft_proxy::hello::{Peek, Peeked, is_mesh, is_raw};

/// What is asked for: mesh TLS, raw bytes; none when it is no ClientHello, or not whole.
fn look(bytes: &[u8], step: usize) -> Option<(bool, bool)> {
    let mut peek = Peek::default();
    for end in (0..bytes.len()).step_by(step).skip(1).chain([bytes.len()]) {
        match peek.feed(&bytes[..end]) {
            Ok(Peeked::More) => {}
            Ok(Peeked::Hello(found)) => {
                return Some((is_mesh(&found.client_hello()), is_raw(&found.client_hello())));
            }
            Ok(Peeked::Foreign) | Err(_) => return None,
        }
    }
    None
}

pub fn check(bytes: &[u8]) {
    // What more comes with a ClientHello may make it foreign, but never another one.
    if let (Some(whole), Some(pieces)) = (look(bytes, bytes.len().max(1)), look(bytes, 7)) {
        assert_eq!(whole, pieces);
    }
}
