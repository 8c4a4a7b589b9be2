//! Sets of rules, and what two of them have in common.
//!
//! The worst sets are long, woven into each other, and have nothing in common. So they are kept and compared in blocks
//! of 64 rules, and blocks that only one of them has are leapt over.

use std::cmp::Ordering;

/// Some of the rules whose numbers, divided by 64, are `at`.
#[derive(Clone, Copy, Default)]
struct Block {
    at: u32,
    /// The lowest is the first rule.
    bits: u64,
}

/// Rules by their numbers: no block is empty, and they are sorted.
#[derive(Default)]
pub struct Rules(Vec<Block>);

impl Rules {
    /// Adds a rule with the highest number so far, or the last one once more.
    pub fn add(&mut self, rule: u32) {
        let (at, bits) = (rule / u64::BITS, 1 << (rule % u64::BITS));
        match self.0.last_mut() {
            Some(last) if last.at == at => return last.bits |= bits,
            Some(_) => {}
            // Most sets are of one rule.
            None => self.0.reserve_exact(1),
        }
        self.0.push(Block { at, bits });
    }

    /// The rules that are in both, in order.
    pub fn common<'a>(&'a self, other: &'a Self) -> Common<'a> {
        Common { one: &self.0, other: &other.0, found: Block::default() }
    }
}

pub struct Common<'a> {
    one: &'a [Block],
    other: &'a [Block],
    /// Rules of both that are still to be told.
    found: Block,
}

impl Common<'_> {
    /// The next block of both, with the rules that they have in common, if any.
    fn block(&mut self) -> Option<Block> {
        loop {
            let ((one, ones), (other, others)) = (self.one.split_first()?, self.other.split_first()?);
            match one.at.cmp(&other.at) {
                Ordering::Less => self.one = from(self.one, other.at),
                Ordering::Greater => self.other = from(self.other, one.at),
                Ordering::Equal => {
                    (self.one, self.other) = (ones, others);
                    return Some(Block { at: one.at, bits: one.bits & other.bits });
                }
            }
        }
    }
}

impl Iterator for Common<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.found.bits == 0 {
            self.found = self.block()?;
        }
        let Block { at, bits } = self.found;
        self.found.bits &= bits - 1;
        Some(at * u64::BITS + bits.trailing_zeros())
    }
}

/// The rest of some blocks from a place on, found in steps that double.
fn from(blocks: &[Block], at: u32) -> &[Block] {
    let before = |block: &Block| block.at < at;
    let mut end = 1;
    while blocks.get(end - 1).is_some_and(before) {
        end *= 2;
    }
    let (start, end) = (end / 2, (end - 1).min(blocks.len()));
    let passed = blocks.get(start..end).unwrap_or_default().partition_point(before);
    blocks.get(start + passed..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Runs and gaps, which may be longer than blocks.
    fn drawn(lots: &mut StdRng) -> BTreeSet<u32> {
        let [gap, run] = [(); 2].map(|()| *[1, 2, 64, 300].choose(lots).unwrap());
        let (mut set, mut at) = (BTreeSet::new(), 0);
        for _ in 0..lots.random_range(0..30) {
            let start = at + lots.random_range(0..=gap);
            at = start + lots.random_range(1..=run);
            set.extend(start..at);
        }
        set
    }

    fn rules(set: &BTreeSet<u32>) -> Rules {
        let mut rules = Rules::default();
        set.iter().flat_map(|rule| [rule; 2]).for_each(|rule| rules.add(*rule));
        rules
    }

    /// Whatever the sets, each rule that is in both is told once, in order.
    #[test]
    fn sets_have_their_intersection_in_common() {
        let mut lots = StdRng::seed_from_u64(49);
        for _ in 0..1000 {
            let (one, other) = (drawn(&mut lots), drawn(&mut lots));
            let expected: Vec<_> = one.intersection(&other).copied().collect();
            assert_eq!(expected, rules(&one).common(&rules(&other)).collect::<Vec<_>>());
        }
    }
}
