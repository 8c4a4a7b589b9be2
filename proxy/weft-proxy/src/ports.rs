//! A set of ports, shared by all workers without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// One bit for each port: 8 KiB, however many are in it.
pub struct PortSet(Box<[AtomicU64; 1024]>);

impl Default for PortSet {
    fn default() -> Self {
        Self(Box::new([const { AtomicU64::new(0) }; 1024]))
    }
}

impl PortSet {
    pub fn contains(&self, port: u16) -> bool {
        self.word(port).load(Ordering::Relaxed) & bit(port) != 0
    }

    pub fn insert(&self, port: u16) {
        // Almost always it is in already: reading does not take the line from other workers.
        if !self.contains(port) {
            self.word(port).fetch_or(bit(port), Ordering::Relaxed);
        }
    }

    #[allow(clippy::indexing_slicing, reason = "1024 words of 64 bits are all ports")]
    fn word(&self, port: u16) -> &AtomicU64 {
        &self.0[usize::from(port / 64)]
    }
}

fn bit(port: u16) -> u64 {
    1 << (port % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each port is for itself, from the first to the last.
    #[test]
    fn ports_are_told_apart() {
        let ports = PortSet::default();
        [0, 63, 64, 8080, 65535].iter().for_each(|port| ports.insert(*port));
        let found: Vec<_> = (0..=u16::MAX).filter(|port| ports.contains(*port)).collect();
        assert_eq!(vec![0, 63, 64, 8080, 65535], found);
    }
}
