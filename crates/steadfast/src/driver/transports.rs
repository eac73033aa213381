//! The transports of a session, by attempt: that of the present connection, of the one that is to replace it, and of one
//! that was replaced and is being closed.
//!
//! Outputs for an attempt whose transport has ended are ignored.

use std::task::Context;

use steadfast_core::dialect::Dialect;
use steadfast_core::io::{Attempt, Frame, Input};

use super::transport_slot::{Target, TransportSlot};
use crate::dial_limit::DialLimit;

/// At most three transports; the session decides how many.
#[derive(Debug, Default)]
pub(super) struct Transports {
    slots: Vec<TransportSlot>,
}

impl Transports {
    pub(super) fn dial(&mut self, attempt: Attempt, target: Target, limit: &DialLimit) {
        // Most sessions never have a second one.
        self.slots.reserve_exact(1);
        self.slots.push(TransportSlot::dial(attempt, target, limit));
    }

    /// The attempts whose transports have not ended.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.slots.iter().map(TransportSlot::attempt).collect()
    }

    pub(super) fn abort(&mut self, attempt: Attempt) {
        self.slots.retain(|it| it.attempt() != attempt);
    }

    pub(super) fn transmit(&mut self, attempt: Attempt, frame: &Frame) {
        self.with_slot(attempt, |slot| slot.transmit(frame));
    }

    pub(super) fn probe(&mut self, attempt: Attempt) {
        self.with_slot(attempt, TransportSlot::probe);
    }

    pub(super) fn close(&mut self, attempt: Attempt, code: u16, reason: &str) {
        self.with_slot(attempt, |slot| slot.close(code, reason));
    }

    fn with_slot(&mut self, attempt: Attempt, act: impl FnOnce(&mut TransportSlot)) {
        let mut slots = self.slots.iter_mut();
        if let Some(slot) = slots.find(|it| it.attempt() == attempt) {
            act(slot);
        }
    }

    /// Advances all transports and emits inputs for the session. Returns `true` when there was progress.
    pub(super) fn poll<D: Dialect>(
        &mut self,
        context: &mut Context<'_>,
        emit: &mut impl FnMut(Input<D>),
    ) -> bool {
        let mut is_busy = false;
        for slot in &mut self.slots {
            is_busy |= slot.poll(context, emit);
        }
        self.slots.retain(|it| !it.has_ended());
        is_busy
    }
}
