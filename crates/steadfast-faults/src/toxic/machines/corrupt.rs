//! Corruption: one random bit of chosen bytes is inverted.

use bytes::Bytes;
use steadfast_machine::{Generator, Instant, convert};

use super::held::Held;
use super::{Item, Stage};
use crate::toxic::ToxicKind;

#[derive(Debug)]
pub(super) struct Corrupt {
    every: u64,
    /// The offset of the next byte to corrupt; `None` after the only one.
    next: Option<u64>,
    /// The number of bytes so far.
    offset: u64,
    generator: Generator,
    held: Held,
}

impl Corrupt {
    pub(super) const fn new(at_byte: u64, every: u64, generator: Generator) -> Self {
        Self {
            every,
            next: Some(at_byte),
            offset: 0,
            generator,
            held: Held::new(),
        }
    }

    fn corrupt(&mut self, bytes: Bytes) -> Bytes {
        let start = self.offset;
        let end = start.saturating_add(convert::to_u64(bytes.len()));
        self.offset = end;
        if self.next.is_none_or(|next| next >= end) {
            return bytes;
        }
        let mut copy = bytes.to_vec();
        while let Some(next) = self.next.filter(|next| *next < end) {
            let bit = self.generator.below(8);
            let index: usize = convert::saturating(next.saturating_sub(start));
            if let Some(byte) = copy.get_mut(index).filter(|_| next >= start) {
                *byte ^= 1_u8 << bit;
            }
            self.next = (self.every > 0).then(|| next.saturating_add(self.every));
        }
        copy.into()
    }
}

impl Stage for Corrupt {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        let item = match item {
            Item::Bytes(bytes) => Item::Bytes(self.corrupt(bytes)),
            Item::Fin | Item::Close(_) => item,
        };
        self.held.push(now, item);
    }

    /// Offsets still count from the creation of the toxic; one that has passed already means the next byte.
    fn update(&mut self, _now: Instant, kind: &ToxicKind) {
        if let ToxicKind::Corrupt { at_byte, every } = *kind {
            self.every = every;
            self.next = Some(at_byte.max(self.offset));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, bytes_of, chunk};
    use super::*;
    use crate::toxic::Toxic;

    /// The offsets at which bytes differ from zero, all of which have one bit.
    fn corrupted(at_byte: u64, every: u64, chunks: &[usize]) -> Vec<usize> {
        let mut bench = Bench::new(&Toxic::new(ToxicKind::Corrupt { at_byte, every }));
        for len in chunks {
            bench.push(at(0), chunk(&vec![0; *len]));
        }
        let bytes = bytes_of(&bench.run_until(at(0)));
        assert!(bytes.iter().all(|byte| byte.count_ones() <= 1));
        let changed = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
        changed.map(|(offset, _)| offset).collect()
    }

    #[test]
    fn exactly_the_chosen_bytes_have_one_inverted_bit_wherever_chunks_end() {
        assert_eq!(corrupted(5, 0, &[3, 3, 10]), [5]);
        assert_eq!(corrupted(0, 0, &[1]), [0]);
        assert_eq!(corrupted(2, 4, &[3, 4, 4]), [2, 6, 10]);
        assert_eq!(corrupted(100, 0, &[50, 50]), Vec::<usize>::new());
    }
}
