//! The slicer: cuts chunks into pieces, with a pause after each.

use std::time::Duration;

use steadfast_machine::{Generator, Instant, convert};

use super::held::Held;
use super::{Item, Stage};
use crate::toxic::ToxicKind;

#[derive(Debug)]
pub(super) struct Slicer {
    average_size: u64,
    size_variation: u64,
    delay: Duration,
    generator: Generator,
    /// Items with the time of their arrival.
    held: Held,
    /// The end of the pause after the last piece.
    pause_until: Instant,
}

impl Slicer {
    pub(super) const fn new(
        average_size: u64,
        size_variation: u64,
        delay: Duration,
        generator: Generator,
    ) -> Self {
        Self {
            average_size,
            size_variation,
            delay,
            generator,
            held: Held::new(),
            pause_until: Instant::START,
        }
    }

    /// Returns the size of the next piece: at least 1.
    fn draw_size(&mut self) -> usize {
        let span = self.size_variation.saturating_mul(2).saturating_add(1);
        let size = self.average_size.saturating_add(self.generator.below(span));
        convert::saturating(size.saturating_sub(self.size_variation).max(1))
    }
}

impl Stage for Slicer {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn push(&mut self, now: Instant, item: Item) {
        self.held.push(now, item);
    }

    fn pop(&mut self, now: Instant) -> Option<Item> {
        let at = self.next_at()?;
        if at > now {
            return None;
        }
        let size = self.draw_size();
        // Never earlier than planned, and a late driver does not shorten the next pause.
        self.pause_until = now + self.delay;
        self.held.take(size)
    }

    fn next_at(&self) -> Option<Instant> {
        self.held.next_at().map(|at| at.max(self.pause_until))
    }

    fn update(&mut self, now: Instant, kind: &ToxicKind) {
        if let ToxicKind::Slicer {
            average_size,
            size_variation,
            delay,
        } = *kind
        {
            self.average_size = average_size;
            self.size_variation = size_variation;
            self.delay = delay;
            self.pause_until = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, bytes_of, chunk, millis};
    use crate::toxic::Toxic;

    #[test]
    fn pieces_have_the_size_and_the_distance_and_no_byte_is_lost() {
        let mut bench = Bench::new(&Toxic::slicer(10, 0, millis(5)));
        let sent: Vec<u8> = (0..35).collect();
        bench.push(at(0), chunk(&sent));

        let passed = bench.run_until(at(1000));

        let pieces: Vec<_> = passed
            .iter()
            .map(|it| (it.0, bytes_of(std::slice::from_ref(it)).len()))
            .collect();
        assert_eq!(
            pieces,
            [(at(0), 10), (at(5), 10), (at(10), 10), (at(15), 5)]
        );
        assert_eq!(bytes_of(&passed), sent);
    }

    #[test]
    fn sizes_vary_within_their_range() {
        let mut bench = Bench::new(&Toxic::slicer(10, 4, millis(0)));
        bench.push(at(0), chunk(&[0; 10_000]));

        let passed = bench.run_until(at(0));

        let sizes: Vec<_> = passed
            .iter()
            .map(|it| bytes_of(std::slice::from_ref(it)).len())
            .collect();
        let whole = &sizes[..sizes.len() - 1];
        assert!(whole.iter().all(|size| (6..=14).contains(size)));
        assert!(whole.contains(&6) && whole.contains(&14));
        assert_eq!(bytes_of(&passed).len(), 10_000);
    }

    #[test]
    fn a_piece_has_at_least_one_byte() {
        let mut bench = Bench::new(&Toxic::slicer(1, 1000, millis(0)));
        bench.push(at(0), chunk(&[0; 5000]));

        assert_eq!(bytes_of(&bench.run_until(at(0))).len(), 5000);
    }
}
