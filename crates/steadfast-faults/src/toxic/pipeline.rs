//! The machines of one direction in a row: bytes enter, and what to do with the receiver comes out.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use steadfast_machine::Instant;

use super::machines::{Ending, HELD_BYTES_MAX, Item, Removal, Stage};
use super::{ActiveToxic, ToxicKind};

/// The largest chunk that is read at once: that of Toxiproxy.
const CHUNK_BYTES_MAX: usize = 32 << 10;

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes these bytes to the receiver, in one write if its socket accepts that.
    Write(Bytes),
    /// Passes the FIN on to the receiver.
    Fin,
    /// Ends the connection.
    End {
        /// The name of the toxic that ends it.
        toxic: Arc<str>,
        /// Whether both sides end, or only the sender's.
        ending: Ending,
    },
}

/// One machine of a direction.
#[derive(Debug)]
struct Slot {
    toxic: Arc<str>,
    stage: Box<dyn Stage>,
    /// When the toxic was added, which distinguishes it from others of its name.
    added_at: Instant,
    /// When the toxic removes itself.
    expires_at: Option<Instant>,
}

/// The machines of one direction, in the order in which their toxics were created.
#[derive(Debug, Default)]
pub struct Pipeline {
    slots: Vec<Slot>,
    /// What has passed all machines.
    passed: VecDeque<Item>,
    passed_bytes: usize,
    /// The toxic that ends the connection after everything before.
    closing: Option<Arc<str>>,
    /// An end without regard to what is held.
    end: Option<(Arc<str>, Ending)>,
    has_fin: bool,
}

impl Pipeline {
    /// A direction without machines.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            passed: VecDeque::new(),
            passed_bytes: 0,
            closing: None,
            end: None,
            has_fin: false,
        }
    }

    /// Whether it has no machine and holds nothing, so that its driver may move bytes without it.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.passed.is_empty() && self.end.is_none()
    }

    /// The number of bytes to read from the sender now, at most. Zero means that reading stops, so that the sender
    /// notices backpressure.
    pub fn read_max(&self, now: Instant) -> usize {
        let has_space = self
            .slots
            .first()
            .map_or_else(|| self.has_space_at_end(), |slot| slot.stage.has_space());
        if !has_space || self.end.is_some() {
            return 0;
        }
        let limits = self.slots.iter().map(|slot| slot.stage.read_max(now));
        limits.min().unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX)
    }

    /// Accepts a chunk that the driver read after [`Self::read_max`] permitted it.
    pub fn receive(&mut self, now: Instant, bytes: Bytes) {
        if !bytes.is_empty() {
            self.enter(0, now, Item::Bytes(bytes));
        }
    }

    /// The sender has finished.
    pub fn finish(&mut self, now: Instant) {
        self.enter(0, now, Item::Fin);
    }

    /// Returns an end that is due, without regard to what is held. The driver calls it even while a write waits.
    pub fn end(&mut self, now: Instant) -> Option<Step> {
        self.expire(now);
        if self.end.is_none() {
            self.end = self.slots.iter_mut().find_map(|slot| {
                let ending = slot.stage.end(now)?;
                Some((Arc::clone(&slot.toxic), ending))
            });
        }
        let (toxic, ending) = self.end.take()?;
        Some(Step::End { toxic, ending })
    }

    /// Returns what the driver does at `now`; it calls again until there is nothing, unless a write has to wait.
    pub fn next(&mut self, now: Instant) -> Option<Step> {
        if let Some(end) = self.end(now) {
            return Some(end);
        }
        if self.passed.is_empty() {
            self.advance(now);
        }
        while let Some(item) = self.passed.pop_front() {
            match item {
                // Nothing follows a FIN.
                Item::Bytes(_) | Item::Fin if self.has_fin => {
                    self.passed_bytes = self.passed_bytes.saturating_sub(item.len());
                }
                Item::Bytes(bytes) => {
                    self.passed_bytes -= bytes.len();
                    return Some(Step::Write(bytes));
                }
                Item::Fin => {
                    self.has_fin = true;
                    return Some(Step::Fin);
                }
                Item::Close(mode) => {
                    let ending = Ending::Close(mode);
                    let toxic = self.closing.take().unwrap_or_default();
                    return Some(Step::End { toxic, ending });
                }
            }
        }
        None
    }

    /// The time after `now` at which the driver calls [`Self::next`] and [`Self::read_max`] again without an input. While
    /// a write waits for the receiver, only endings count.
    pub fn next_at(&self, now: Instant, is_write_pending: bool) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut consider = |at: Option<Instant>| {
            if let Some(at) = at.filter(|at| *at > now) {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        };
        let mut following = self.slots.iter().skip(1);
        for slot in &self.slots {
            consider(slot.stage.end_at());
            consider(slot.expires_at);
            let has_space = following.next().is_none_or(|slot| slot.stage.has_space());
            if !is_write_pending && has_space {
                consider(slot.stage.next_at());
            }
            consider(slot.stage.read_at());
        }
        next
    }

    /// Whether something has passed all machines, which [`Self::next`] returns at once.
    pub fn has_passed(&self) -> bool {
        !self.passed.is_empty() || self.end.is_some()
    }

    /// The bytes that are held, in the order in which they were received. Those that a toxic keeps for
    /// [`Select::first_bytes`](super::Select::first_bytes) are left out.
    pub fn held_bytes(&self) -> impl Iterator<Item = &Bytes> {
        let passed = self.passed.iter().filter_map(|item| match item {
            Item::Bytes(bytes) => Some(bytes),
            Item::Fin | Item::Close(_) => None,
        });
        let held = self.slots.iter().rev();
        passed.chain(held.flat_map(|slot| slot.stage.held().iter_bytes()))
    }

    /// Removes all machines; what they held passes.
    pub fn clear(&mut self, now: Instant) {
        // The first machine passes what it holds on to the next one.
        while !self.slots.is_empty() {
            self.remove_at(0, now);
        }
    }

    /// Adds the machine of a toxic after the others.
    pub(super) fn add(&mut self, active: &ActiveToxic, stage: Box<dyn Stage>) {
        self.slots.push(Slot {
            toxic: Arc::from(&*active.toxic.name),
            stage,
            added_at: active.added_at,
            expires_at: active.expires_at,
        });
    }

    /// Changes the attributes of the machine of a toxic.
    pub(super) fn update(
        &mut self,
        now: Instant,
        toxic: &str,
        kind: &ToxicKind,
        expires_at: Option<Instant>,
    ) {
        for slot in self.slots.iter_mut().filter(|slot| &*slot.toxic == toxic) {
            slot.stage.update(now, kind);
            slot.expires_at = expires_at;
        }
    }

    /// Removes the machine of a toxic; what it held passes.
    pub(super) fn remove(&mut self, now: Instant, toxic: &str) {
        while let Some(index) = self.slots.iter().position(|slot| &*slot.toxic == toxic) {
            self.remove_at(index, now);
        }
    }

    /// Whether it has a machine of this toxic.
    pub(super) fn contains(&self, toxic: &str) -> bool {
        self.slots.iter().any(|slot| &*slot.toxic == toxic)
    }

    /// Removes the machines of all toxics that are not among these. One of the same name that was added later is another
    /// toxic.
    pub(super) fn retain(&mut self, now: Instant, toxics: &[Arc<ActiveToxic>]) {
        let is_gone = |slot: &Slot| {
            toxics
                .iter()
                .all(|active| *active.toxic.name != *slot.toxic || active.added_at != slot.added_at)
        };
        while let Some(index) = self.slots.iter().position(is_gone) {
            self.remove_at(index, now);
        }
    }

    /// Whether a machine does not pass the failure of the sender's socket on to the receiver.
    pub fn swallows_failures(&self) -> bool {
        self.slots.iter().any(|slot| slot.stage.swallows_failures())
    }

    fn expire(&mut self, now: Instant) {
        while let Some(index) = self
            .slots
            .iter()
            .position(|slot| slot.expires_at.is_some_and(|at| at <= now))
        {
            self.remove_at(index, now);
        }
    }

    fn remove_at(&mut self, index: usize, now: Instant) {
        let mut slot = self.slots.remove(index);
        // An ending that was due before the removal happens, however late the driver is.
        if self.end.is_none() {
            let ending = slot.stage.end(now);
            self.end = ending.map(|ending| (Arc::clone(&slot.toxic), ending));
        }
        let Removal { items, close } = slot.stage.remove();
        for item in items {
            self.note_close(&item, &slot.toxic);
            self.enter(index, now, item);
        }
        if let Some(mode) = close.filter(|_| self.end.is_none()) {
            self.end = Some((slot.toxic, Ending::Close(mode)));
        }
    }

    /// Moves items towards the end until nothing moves.
    fn advance(&mut self, now: Instant) {
        let mut has_moved = true;
        while has_moved {
            has_moved = false;
            for index in (0..self.slots.len()).rev() {
                while self.has_space_after(index) {
                    let Some(slot) = self.slots.get_mut(index) else {
                        break;
                    };
                    let Some(item) = slot.stage.pop(now) else {
                        break;
                    };
                    let toxic = Arc::clone(&slot.toxic);
                    self.note_close(&item, &toxic);
                    self.enter(index + 1, now, item);
                    has_moved = true;
                }
            }
        }
    }

    fn has_space_after(&self, index: usize) -> bool {
        self.slots
            .get(index + 1)
            .map_or_else(|| self.has_space_at_end(), |slot| slot.stage.has_space())
    }

    const fn has_space_at_end(&self) -> bool {
        self.passed_bytes < HELD_BYTES_MAX
    }

    /// Remembers which toxic requested the close that passes the machines after it.
    fn note_close(&mut self, item: &Item, toxic: &Arc<str>) {
        if matches!(item, Item::Close(_)) {
            self.closing.get_or_insert_with(|| Arc::clone(toxic));
        }
    }

    /// Passes an item to the machine at this index, or to the end.
    fn enter(&mut self, index: usize, now: Instant, item: Item) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.stage.push(now, item);
        } else {
            self.passed_bytes += item.len();
            self.passed.push_back(item);
        }
    }
}
