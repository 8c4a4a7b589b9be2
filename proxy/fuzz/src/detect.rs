//! What a connection speaks, from its first bytes: the answer never changes with more of them.

use weft_proxy::detect::classify;

pub fn check(bytes: &[u8]) {
    let mut answers = (0..=bytes.len()).filter_map(|n| classify(&bytes[..n]));
    if let Some(first) = answers.next() {
        assert!(answers.all(|answer| answer == first));
    }
}
