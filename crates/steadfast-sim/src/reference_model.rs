//! The reference model: it records every acknowledgement and every delivery, independently of the state machines, and
//! detects contradictions.
//!
//! It neither assigns offsets nor stores records; it only remembers what clients have received.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use steadfast_protocol::message::Position;

/// A violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant that was violated.
    pub invariant: Invariant,
    /// The observation that contradicts it.
    pub details: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.details)
    }
}

/// What must hold in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// An acknowledged publication is stored at the offset that was acknowledged.
    NoAcknowledgedLoss,
    /// Publications with the same idempotency key are stored once.
    KeysStoredOnce,
    /// A publication with the key of another one and other data is not acknowledged as a repeat.
    KeysIdentifyData,
    /// No subscriber receives a publication twice.
    NoDuplicateDelivery,
    /// Publications of a channel are delivered in the order of their offsets, without a gap.
    OrderPreserved,
    /// `recovered = true` means that no publication is missing.
    RecoveryComplete,
    /// An offset of a channel epoch identifies one publication only.
    OffsetsUnique,
    /// After the last fault, every client reconnects and every publication has an outcome.
    SystemSettles,
    /// The log opens after every crash and kill.
    LogOpens,
    /// The number of visible publications is exactly what retention allows.
    RetentionExact,
    /// A start after a clean shutdown detects it, and no channel epoch changes.
    CleanShutdownDetected,
    /// A publication of a session has exactly one outcome, which is consistent with the run.
    OneOutcomePerPublication,
    /// A call of a session has exactly one result, not later than its deadline.
    OneResultPerCall,
    /// A session that its application closes ends within its timeout.
    CloseCompletes,
    /// A publication that a session reports as never sent is not stored.
    NoPhantomPublication,
    /// A gap is reported only when publications are lost or beyond retention.
    GapsJustified,
    /// A dead connection is detected within the time that its policy allows.
    DeadPeersDetected,
    /// No connection without an injected fault is closed for silence.
    HealthyPeersKept,
    /// The number of connection attempts per second is bounded.
    ReconnectRateBounded,
    /// No state machine requests an unlimited number of wake-ups at one instant.
    NoBusyLoop,
    /// The send buffer of a client stays within the size and time limits of the policy.
    SendBuffersBounded,
    /// After the last fault, a session reconnects automatically within a bounded time.
    SessionsReconnect,
    /// The queues of a session stay within the limits of its policy.
    QueuesBounded,
    /// No two nodes use the same channel epoch.
    EpochsDiffer,
    /// A client receives replies to its own commands only, and one for each.
    RepliesMatchCommands,
    /// Commands of one connection take effect in one channel in their order.
    CommandsInOrder,
    /// A presence reply contains every client that is certainly subscribed, and no client that cannot be.
    PresenceMatches,
    /// A subscriber that requested it receives every join and leave of its channel once.
    MembershipPushed,
    /// After a lost connection, a session sends one publication of a channel at a time until one is acknowledged.
    CarefulAfterLoss,
    /// A session ignores late inputs of an earlier connection.
    StaleInputsIgnored,
    /// An operation of the disk that takes seconds is reported while it lasts, and one that takes ten makes the log not
    /// ready.
    StalledDiskReported,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAcknowledgedLoss => "no acknowledged publication is lost",
            Self::KeysStoredOnce => "each idempotency key is stored once",
            Self::KeysIdentifyData => "each idempotency key belongs to its data",
            Self::NoDuplicateDelivery => "no publication is delivered twice",
            Self::OrderPreserved => "order is preserved",
            Self::RecoveryComplete => "recovery is complete",
            Self::OffsetsUnique => "offsets are unique",
            Self::SystemSettles => "the system settles after the last fault",
            Self::LogOpens => "the log opens",
            Self::RetentionExact => "retention is exact",
            Self::CleanShutdownDetected => "a clean shutdown is detected",
            Self::OneOutcomePerPublication => "each publication has one outcome",
            Self::OneResultPerCall => "each call has one result",
            Self::CloseCompletes => "a close completes in time",
            Self::NoPhantomPublication => "no phantom publications",
            Self::GapsJustified => "gaps are justified",
            Self::DeadPeersDetected => "dead connections are detected in time",
            Self::HealthyPeersKept => "healthy connections are kept",
            Self::ReconnectRateBounded => "the reconnect rate is bounded",
            Self::NoBusyLoop => "no busy loop",
            Self::SendBuffersBounded => "send buffers are bounded",
            Self::SessionsReconnect => "sessions reconnect",
            Self::QueuesBounded => "session queues are bounded",
            Self::EpochsDiffer => "epochs of nodes differ",
            Self::RepliesMatchCommands => "replies match commands",
            Self::CommandsInOrder => "commands take effect in order",
            Self::PresenceMatches => "presence matches the members",
            Self::MembershipPushed => "joins and leaves are pushed",
            Self::CarefulAfterLoss => "sessions are careful after a loss",
            Self::StaleInputsIgnored => "late inputs are ignored",
            Self::StalledDiskReported => "a stalled disk is reported",
        })
    }
}

/// The largest number of nodes.
const NODES_MAX: usize = 2;

/// A channel, its epoch and an offset.
type ChannelPosition = (String, String, u64);

/// What clients have received, and the violations that follow from it.
#[derive(Debug, Default)]
pub struct ReferenceModel {
    /// The node of each epoch.
    nodes: BTreeMap<String, usize>,
    /// By node, channel and idempotency key: the epoch and offset that were acknowledged.
    acknowledged: BTreeMap<(usize, String, String), (String, u64)>,
    /// By channel: idempotency keys of publications that were never sent, as their session reported.
    unsent: BTreeSet<(String, String)>,
    /// By channel: idempotency keys of publications whose outcome their session does not know.
    uncertain: BTreeSet<(String, String)>,
    /// The idempotency key of the publication at each offset.
    keys_by_position: BTreeMap<ChannelPosition, String>,
    violations: Vec<Violation>,
}

impl ReferenceModel {
    /// Records that a node uses this epoch. The histories of nodes are independent, so no two nodes have an epoch in
    /// common.
    pub fn record_epoch(&mut self, epoch: &str, node: usize) {
        match self.nodes.get(epoch) {
            Some(first) if *first != node => {
                let details = format!("epoch {epoch} is used by the nodes {first} and {node}");
                self.report_violation(Invariant::EpochsDiffer, details);
            }
            Some(_) => {}
            None => {
                self.nodes.insert(epoch.to_owned(), node);
            }
        }
    }

    /// The node that uses this epoch; 0 if none is known.
    pub fn node_of(&self, epoch: &str) -> usize {
        self.nodes.get(epoch).copied().unwrap_or_default()
    }

    /// Records an acknowledgement.
    pub fn acknowledge(&mut self, channel: &str, key: &str, epoch: &str, offset: u64) {
        let entry = (self.node_of(epoch), channel.to_owned(), key.to_owned());
        match self.acknowledged.get(&entry) {
            // In another channel epoch the first one may be lost, which the change of the epoch reports.
            Some((first_epoch, first)) if first_epoch == epoch && *first != offset => {
                let details = format!(
                    "{channel}: {key} was acknowledged at offsets {first} and {offset} of epoch {epoch}"
                );
                self.report_violation(Invariant::KeysStoredOnce, details);
            }
            Some(_) | None => {
                self.acknowledged.insert(entry, (epoch.to_owned(), offset));
            }
        }
        self.record_position(channel, epoch, offset, key);
    }

    /// Records that a session reported a publication as never sent.
    pub fn mark_unsent(&mut self, channel: &str, key: &str) {
        self.unsent.insert((channel.to_owned(), key.to_owned()));
    }

    /// Records that a session does not know the outcome of a publication, which may still be stored, after later ones.
    pub fn mark_uncertain(&mut self, channel: &str, key: &str) {
        self.uncertain.insert((channel.to_owned(), key.to_owned()));
    }

    /// Records a delivery to a client.
    pub fn deliver(&mut self, channel: &str, epoch: &str, offset: u64, key: &str) {
        self.record_position(channel, epoch, offset, key);
    }

    fn record_position(&mut self, channel: &str, epoch: &str, offset: u64, key: &str) {
        let position = (channel.to_owned(), epoch.to_owned(), offset);
        match self.keys_by_position.get(&position) {
            Some(first) if first != key => {
                let details = format!(
                    "{channel}: offset {offset} of epoch {epoch} has both {first} and {key}"
                );
                self.report_violation(Invariant::OffsetsUnique, details);
            }
            Some(_) => {}
            None => {
                self.keys_by_position.insert(position, key.to_owned());
            }
        }
    }

    /// Records a violation.
    pub fn report_violation(&mut self, invariant: Invariant, details: String) {
        self.violations.push(Violation { invariant, details });
    }

    /// Compares all acknowledgements of a channel of a node with what the node holds at the end: offsets and idempotency keys,
    /// oldest first, in the channel epoch of `high_watermark`. `is_durable` means that the policy guarantees that no
    /// acknowledged publication is lost. Publications before the oldest one were removed; whether retention allows
    /// that is not checked here.
    pub fn check_log(
        &mut self,
        node: usize,
        channel: &str,
        high_watermark: &Position,
        keys: &[(u64, String)],
        is_durable: bool,
    ) {
        let mut first_of: BTreeMap<&str, u64> = BTreeMap::new();
        for (offset, key) in keys {
            if let Some(first) = first_of.insert(key, *offset) {
                let details = format!(
                    "{channel}: {key} is stored at offsets {first} and {offset} of epoch {}",
                    high_watermark.epoch
                );
                self.report_violation(Invariant::KeysStoredOnce, details);
            }
            self.record_position(channel, &high_watermark.epoch, *offset, key);
            if self.unsent.contains(&(channel.to_owned(), key.clone())) {
                let details = format!("{channel}: {key} is stored at offset {offset}");
                self.report_violation(Invariant::NoPhantomPublication, details);
            }
        }
        let start = keys.first().map_or_else(
            || high_watermark.offset.saturating_add(1),
            |(offset, _)| *offset,
        );
        let mut missing = Vec::new();
        for ((at, channel_of_key, key), (epoch, offset)) in &self.acknowledged {
            let is_removed = *epoch == high_watermark.epoch && *offset < start;
            let must_be_there = (*at, channel_of_key.as_str()) == (node, channel)
                && (is_durable || *epoch == high_watermark.epoch)
                && !is_removed;
            if must_be_there && first_of.get(key.as_str()) != Some(offset) {
                missing.push(format!(
                    "{channel}: {key} was acknowledged at offset {offset} of epoch {epoch}"
                ));
            }
        }
        for details in missing {
            self.report_violation(Invariant::NoAcknowledgedLoss, details);
        }
    }

    /// Checks that a node has stored the publications of a session that it acknowledged in the order of publishing.
    /// `keys` are those of a channel, oldest first; each consists of the session's name and a number.
    pub fn check_order(
        &mut self,
        node: usize,
        channel: &str,
        keys: &[(u64, String)],
        session: &str,
    ) {
        let mut last = (0, 0);
        for (offset, key) in keys {
            let Some(number) = key
                .strip_prefix(session)
                .and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok())
            else {
                continue;
            };
            // One that another node acknowledged may have reached this one late, from a connection that was lost.
            let is_elsewhere = |at: usize| {
                let entry = (at, channel.to_owned(), key.clone());
                at != node && self.acknowledged.contains_key(&entry)
            };
            if self.uncertain.contains(&(channel.to_owned(), key.clone()))
                || (0..NODES_MAX).any(is_elsewhere)
            {
                continue;
            }
            if number < last.0 {
                let details = format!(
                    "{channel}: {key} is stored at offset {offset}, after number {} at offset {}",
                    last.0, last.1
                );
                self.report_violation(Invariant::OrderPreserved, details);
            }
            last = (number, *offset);
        }
    }

    /// Returns the number of different publications that were acknowledged.
    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged.len()
    }

    /// Returns the violations so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledged_publication_that_is_missing_at_the_end_is_a_loss() {
        let mut reference_model = ReferenceModel::default();
        reference_model.acknowledge("channel", "a", "e", 1);
        reference_model.acknowledge("channel", "b", "e", 2);

        reference_model.check_log(
            0,
            "channel",
            &high_watermark(1),
            &[(1, "a".to_owned())],
            true,
        );

        assert_eq!(
            invariants(&reference_model),
            [Invariant::NoAcknowledgedLoss]
        );
    }

    #[test]
    fn publications_before_the_oldest_retained_one_are_not_a_loss() {
        let mut reference_model = ReferenceModel::default();
        reference_model.acknowledge("channel", "a", "e", 1);
        reference_model.acknowledge("channel", "b", "e", 2);

        reference_model.check_log(
            0,
            "channel",
            &high_watermark(2),
            &[(2, "b".to_owned())],
            true,
        );

        assert!(reference_model.violations().is_empty());
    }

    #[test]
    fn a_key_at_two_offsets_was_stored_twice() {
        let mut reference_model = ReferenceModel::default();
        reference_model.acknowledge("channel", "a", "e", 1);

        reference_model.check_log(
            0,
            "channel",
            &high_watermark(2),
            &[(1, "a".to_owned()), (2, "a".to_owned())],
            true,
        );

        assert!(invariants(&reference_model).contains(&Invariant::KeysStoredOnce));
    }

    #[test]
    fn two_publications_at_one_offset_are_a_contradiction() {
        let mut reference_model = ReferenceModel::default();
        reference_model.deliver("channel", "e", 1, "a");
        reference_model.deliver("channel", "e", 1, "b");

        assert_eq!(invariants(&reference_model), [Invariant::OffsetsUnique]);
    }

    #[test]
    fn a_loss_in_a_previous_epoch_is_not_a_violation() {
        let mut reference_model = ReferenceModel::default();
        reference_model.acknowledge("channel", "a", "old", 1);

        reference_model.check_log(0, "channel", &high_watermark(0), &[], false);

        assert!(reference_model.violations().is_empty());
    }

    #[test]
    fn a_publication_that_was_never_sent_must_not_be_stored() {
        let mut reference_model = ReferenceModel::default();
        reference_model.mark_unsent("channel", "s0-1");

        reference_model.check_log(
            0,
            "channel",
            &high_watermark(1),
            &[(1, "s0-1".to_owned())],
            true,
        );

        assert_eq!(
            invariants(&reference_model),
            [Invariant::NoPhantomPublication]
        );
    }

    #[test]
    fn a_session_whose_publications_are_reordered_violates_the_order() {
        let mut reference_model = ReferenceModel::default();
        let keys = [(1, "s0-2"), (2, "s1-1"), (3, "s0-1")].map(|(at, key)| (at, key.to_owned()));

        reference_model.check_order(0, "channel", &keys, "s0");
        reference_model.check_order(0, "channel", &keys, "s1");

        assert_eq!(invariants(&reference_model), [Invariant::OrderPreserved]);
    }

    #[test]
    fn an_epoch_of_two_nodes_is_a_contradiction() {
        let mut reference_model = ReferenceModel::default();
        reference_model.record_epoch("e", 0);
        reference_model.record_epoch("e", 0);
        assert!(reference_model.violations().is_empty());

        reference_model.record_epoch("e", 1);

        assert_eq!(invariants(&reference_model), [Invariant::EpochsDiffer]);
    }

    #[test]
    fn what_another_node_acknowledged_is_not_missing() {
        let mut reference_model = ReferenceModel::default();
        reference_model.record_epoch("other", 1);
        reference_model.acknowledge("channel", "a", "other", 1);

        reference_model.check_log(0, "channel", &high_watermark(0), &[], true);
        assert!(reference_model.violations().is_empty());

        reference_model.check_log(1, "channel", &high_watermark(0), &[], true);
        assert_eq!(
            invariants(&reference_model),
            [Invariant::NoAcknowledgedLoss]
        );
    }

    fn high_watermark(offset: u64) -> Position {
        Position {
            epoch: "e".to_owned(),
            offset,
        }
    }

    fn invariants(reference_model: &ReferenceModel) -> Vec<Invariant> {
        reference_model
            .violations()
            .iter()
            .map(|violation| violation.invariant)
            .collect()
    }
}
