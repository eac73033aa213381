//! A bench for one machine in virtual time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::{Instant, Seed};

use super::{Ending, Item, Removal, Stage, Start, stage};
use crate::link::Direction;
use crate::toxic::{Identity, Toxic};

/// One machine whose toxic and connection began at zero.
pub(super) struct Bench {
    stage: Box<dyn Stage>,
    now: Instant,
}

impl Bench {
    pub(super) fn new(toxic: &Toxic) -> Self {
        let identity = Identity {
            seed: Seed::new(7),
            proxy: Arc::from("proxy"),
            connection: 1,
            source: None,
        };
        let start = Start {
            established: at(0),
            affected: at(0),
            is_new_connection: true,
        };
        let generator = identity.generator(&toxic.name, Direction::ToClient);
        Self {
            stage: stage(toxic, start, generator).expect("it does something"),
            now: at(0),
        }
    }

    pub(super) fn push(&mut self, now: Instant, item: Item) {
        assert!(self.stage.has_space() || item.len() == 0);
        self.now = now;
        self.stage.push(now, item);
    }

    pub(super) fn has_space(&self) -> bool {
        self.stage.has_space()
    }

    pub(super) fn read_max(&self, now: Instant) -> usize {
        self.stage.read_max(now)
    }

    pub(super) fn read_at(&self) -> Option<Instant> {
        self.stage.read_at()
    }

    pub(super) fn update(&mut self, now: Instant, toxic: &Toxic) {
        self.now = now;
        self.stage.update(now, &toxic.kind);
    }

    pub(super) fn end(&mut self, now: Instant) -> Option<Ending> {
        self.stage.end(now)
    }

    pub(super) fn end_at(&self) -> Option<Instant> {
        self.stage.end_at()
    }

    /// What passes until then, with the time of each, as its own deadlines say.
    pub(super) fn run_until(&mut self, until: Instant) -> Vec<(Instant, Item)> {
        let mut passed = Vec::new();
        loop {
            while let Some(item) = self.stage.pop(self.now) {
                passed.push((self.now, item));
            }
            match self.stage.next_at() {
                Some(next) if next <= until => {
                    assert!(next > self.now, "a deadline that has passed is of no use");
                    self.now = next;
                }
                _ => break,
            }
        }
        self.now = self.now.max(until);
        passed
    }

    pub(super) fn remove(mut self) -> Removal {
        self.stage.remove()
    }
}

pub(super) fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn chunk(bytes: &[u8]) -> Item {
    Item::Bytes(Bytes::copy_from_slice(bytes))
}

/// The bytes of items, in order.
pub(super) fn bytes_of(items: &[(Instant, Item)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (_, item) in items {
        if let Item::Bytes(bytes) = item {
            all.extend_from_slice(bytes);
        }
    }
    all
}
