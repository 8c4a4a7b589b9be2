//! What a connection speaks, from its first bytes: the answer never changes with more of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_proxy::detect::classify;

fuzz_target!(|bytes: &[u8]| {
    let mut answers = (0..=bytes.len()).filter_map(|n| classify(&bytes[..n]));
    if let Some(first) = answers.next() {
        assert!(answers.all(|answer| answer == first));
    }
});
