//! The short form of `make fuzz`: what must hold for any bytes of a stranger holds for the seeds, for what earlier runs of
//! it have found worth keeping, and for much that is almost like them.

use std::path::Path;
use std::time::{Duration, Instant};

use weft_proxy::balance::Lots;

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

/// Seven parsers on two cores: ten seconds.
const TIME: Duration = Duration::from_millis(2500);
const LONGEST: usize = 8192;

/// Tries a parser's seeds and, for a while, what becomes of them by chance.
fn try_all(name: &str, check: fn(&[u8])) {
    let (began, lots) = (Instant::now(), Lots::new(rand::random()));
    let seeds = [files("seeds", name), files("target/corpus", name)].concat();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| check(&Tried(seed.clone()).0));
    while began.elapsed() < TIME {
        let mut tried = Tried(seeds[lots.below(seeds.len())].clone());
        for _ in 0..=lots.below(4) {
            change(&mut tried.0, &seeds, &lots);
        }
        check(&tried.0);
    }
}

/// What lies in a folder of a parser's; nothing where there is none.
fn files(folder: &str, name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder).join(name);
    let files = std::fs::read_dir(folder).into_iter().flatten();
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

/// Shown when the check panics.
struct Tried(Vec<u8>);

impl Drop for Tried {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("bytes: b\"{}\"", self.0.escape_ascii());
        }
    }
}

/// One change: of a byte, of a part that goes or comes twice, or to the end of another seed.
fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], lots: &Lots) {
    let at = lots.below(bytes.len() + 1);
    let end = at + lots.below(bytes.len() - at + 1);
    match lots.below(6) {
        0 => drop(bytes.drain(at..end)),
        1 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
        2 => bytes.insert(at, lots.below(256) as u8),
        3 => {
            let other = &seeds[lots.below(seeds.len())];
            bytes.splice(at.., other[lots.below(other.len() + 1)..].iter().copied());
        }
        kind => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = if kind == 4 { lots.below(256) as u8 } else { *byte ^ (1 << lots.below(8)) };
            }
        }
    }
    bytes.truncate(LONGEST);
}

/// Nothing that the mesh did not sign is believed.
#[test]
fn certificates() {
    try_all("certificate", fuzz::certificate::check);
}

/// An authority of CONNECT that is accepted names exactly one workload.
#[test]
fn authorities() {
    try_all("connect", fuzz::connect::check);
}

/// What a connection speaks does not change with more bytes of it.
#[test]
fn first_bytes() {
    try_all("detect", fuzz::detect::check);
}

/// Whatever a control plane sends is taken or refused.
#[test]
fn updates() {
    try_all("discovery", fuzz::discovery::check);
}

/// A ClientHello says the same in one piece or in many.
#[test]
fn client_hellos() {
    try_all("hello", fuzz::hello::check);
}

/// One request to the proxies is one message to the application, framed in one way.
#[test]
fn requests() {
    try_all("http1", fuzz::http1::check);
}

/// Any match of an observer is decided as the contract says.
#[test]
fn matches() {
    try_all("tap", fuzz::tap::check);
}
