//! What clients and applications record about what they observe.

use steadfast_protocol::message::Position;

use crate::reference_model::ReferenceModel;
use crate::totals::Totals;

/// Records what clients and applications observe.
pub(crate) struct Recorder<'a> {
    pub(crate) reference_model: &'a mut ReferenceModel,
    pub(crate) totals: &'a mut Totals,
    /// Whether the policy guarantees that no acknowledged publication is lost.
    pub(crate) is_durable: bool,
    /// The number of publications of a channel that stay visible; `None` when the size of the log limits it.
    pub(crate) visible_max: Option<u64>,
}

impl Recorder<'_> {
    /// Whether a position must be recoverable: acknowledged publications are never lost, or the channel still has the
    /// history of the position; and retention has not removed what follows it. No node has the history of another.
    pub(crate) fn must_recover(&self, from: &Position, high_watermark: &Position) -> bool {
        let is_kept = self.is_durable && self.are_of_one_node(from, high_watermark);
        (is_kept || from.epoch == high_watermark.epoch)
            && !self.is_beyond_retention(from, high_watermark)
    }

    /// Whether two positions are of the same node.
    pub(crate) fn are_of_one_node(&self, one: &Position, other: &Position) -> bool {
        let node_of = |position: &Position| self.reference_model.node_of(&position.epoch);
        node_of(one) == node_of(other)
    }

    /// Whether a position is beyond retention in the same channel epoch, given the channel's current high watermark.
    pub(crate) fn is_beyond_retention(&self, from: &Position, high_watermark: &Position) -> bool {
        high_watermark.epoch == from.epoch
            && self
                .visible_max
                .is_none_or(|max| from.offset.saturating_add(max) < high_watermark.offset)
    }
}

/// The end of a payload whose idempotency key belongs to other data.
pub(crate) const OTHER_DATA: &str = " other";

/// Returns the idempotency key in a payload.
pub(crate) fn key_in_payload(data: &[u8]) -> &str {
    let text = str::from_utf8(data).unwrap_or_default().trim_matches('"');
    text.split(' ').next().unwrap_or_default()
}
