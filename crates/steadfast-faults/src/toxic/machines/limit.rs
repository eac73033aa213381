//! Toxiproxy's `limit_data`: passes exactly a number of bytes, then ends the connection.

use steadfast_machine::{Instant, convert};

use super::held::Held;
use super::{Item, Stage};
use crate::toxic::{CloseMode, ToxicKind};

#[derive(Debug)]
pub(super) struct Limit {
    bytes: u64,
    close: CloseMode,
    passed: u64,
    held: Held,
    /// The connection ends after what is held.
    is_reached: bool,
}

impl Limit {
    pub(super) const fn new(bytes: u64, close: CloseMode) -> Self {
        Self {
            bytes,
            close,
            passed: 0,
            held: Held::new(),
            is_reached: false,
        }
    }
}

impl Stage for Limit {
    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn has_space(&self) -> bool {
        !self.is_reached && self.held.has_space()
    }

    fn push(&mut self, now: Instant, item: Item) {
        let Item::Bytes(mut bytes) = item else {
            self.held.push(now, item);
            return;
        };
        let left = self.bytes.saturating_sub(self.passed);
        bytes.truncate(convert::saturating(left));
        self.passed += convert::to_u64(bytes.len());
        if !bytes.is_empty() {
            self.held.push(now, Item::Bytes(bytes));
        }
        if self.passed >= self.bytes {
            self.is_reached = true;
            self.held.push(now, Item::Close(self.close));
        }
    }

    /// The count stays. A limit that is reached by the update ends the connection at its next chunk.
    fn update(&mut self, _now: Instant, kind: &ToxicKind) {
        if let ToxicKind::LimitData { bytes, close } = *kind {
            self.bytes = bytes;
            self.close = close;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, at, chunk};
    use super::*;
    use crate::toxic::Toxic;

    const END: Item = Item::Close(CloseMode::Fin);

    #[test]
    fn exactly_the_limit_passes_before_the_end() {
        let mut bench = Bench::new(&Toxic::limit_data(5));
        bench.push(at(0), chunk(b"abc"));
        assert_eq!(bench.run_until(at(0)), [(at(0), chunk(b"abc"))]);

        bench.push(at(1), chunk(b"defg"));

        assert_eq!(
            bench.run_until(at(1)),
            [(at(1), chunk(b"de")), (at(1), END)]
        );
        assert!(!bench.has_space());
    }

    #[test]
    fn the_last_permitted_byte_ends_the_connection() {
        let mut bench = Bench::new(&Toxic::close_after(3, CloseMode::Rst));
        bench.push(at(0), chunk(b"abc"));

        let end = Item::Close(CloseMode::Rst);
        assert_eq!(
            bench.run_until(at(0)),
            [(at(0), chunk(b"abc")), (at(0), end)]
        );
    }

    #[test]
    fn a_limit_of_zero_ends_the_connection_at_its_first_chunk() {
        let mut bench = Bench::new(&Toxic::limit_data(0));
        assert_eq!(bench.run_until(at(100)), []);

        bench.push(at(100), chunk(b"a"));

        assert_eq!(bench.run_until(at(100)), [(at(100), END)]);
    }

    #[test]
    fn the_count_survives_an_update() {
        let mut bench = Bench::new(&Toxic::limit_data(100));
        bench.push(at(0), chunk(b"abc"));
        bench.run_until(at(0));
        bench.update(at(1), &Toxic::limit_data(4));

        bench.push(at(1), chunk(b"de"));

        assert_eq!(bench.run_until(at(1)), [(at(1), chunk(b"d")), (at(1), END)]);
    }
}
