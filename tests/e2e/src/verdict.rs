//! The result of a run: exact counts, and every violated guarantee.
//!
//! This module contains no rules; the ledger finds the faults. The binary and the tests print the verdict.

use std::collections::BTreeMap;
use std::fmt;

/// Maximum number of faults of one kind that are printed in full; the others are only counted.
const SHOWN_MAX: usize = 3;

/// Idempotent and plain publications, which have different guarantees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Published by `gw.publish` with an idempotency key: repeated if the acknowledgement is lost.
    pub idempotent: u64,
    /// Published by the protocol's publish command: the outcome stays unknown if the acknowledgement is lost.
    pub plain: u64,
}

impl Split {
    /// Counts one publication.
    pub fn add(&mut self, idempotent: bool) {
        if idempotent {
            self.idempotent += 1;
        } else {
            self.plain += 1;
        }
    }
}

/// Exact counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Publications sent, without repeats.
    pub published: Split,
    /// Publications acknowledged, each once.
    pub acknowledged: Split,
    /// Kills that counted: with lost acknowledgements.
    pub kills: u64,
    /// Kills that hit no idempotent publication in flight; they were repeated.
    pub kills_not_counted: u64,
    /// Publications in flight at a kill whose acknowledgement was lost.
    pub in_flight_at_kills: Split,
    /// The number of these publications for each kill that counted, idempotent and plain together.
    pub in_flight_at_each: Vec<u64>,
    /// Repeated idempotent publications.
    pub repeated: u64,
    /// Acknowledgements with `duplicate: true`.
    pub duplicate_acknowledgements: u64,
    /// Temporary rejections of publications by the gateway.
    pub rejected: u64,
    /// Deliveries to subscribers.
    pub delivered: u64,
    /// Subscriptions that were recovered.
    pub resumed: u64,
    /// Publications in the channels at the end.
    pub in_history: u64,
}

/// Client, channel and offset.
pub type DeliveryRef = (String, String, u64);

/// A violated guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Fault {
    /// Acknowledged or stored in the channel, and never delivered to this subscriber.
    Lost {
        /// The subscriber, or `history`.
        client: String,
        channel: String,
        key: String,
    },
    /// Delivered after a later publication.
    Reordered(DeliveryRef),
    /// Delivered to the same subscriber a second time.
    DeliveredTwice(DeliveryRef),
    /// One key has several positions.
    AppliedTwice { key: String, offsets: Vec<u64> },
    /// Several publications have the same position.
    OffsetReused {
        channel: String,
        offset: u64,
        keys: Vec<String>,
    },
    /// A subscription was resumed without recovery.
    NotRecovered {
        client: String,
        channel: String,
        /// Whether the client requested recovery.
        asked: bool,
    },
    /// A channel's epoch changed, although no publication may be lost.
    EpochChanged { channel: String },
    /// Reading a channel forwards and backwards gave different publications.
    HistoriesDiffer { channel: String },
    /// A payload is not what was sent, or is in another channel.
    Altered(DeliveryRef),
    /// Delivered, but never sent by the harness.
    Unknown(DeliveryRef),
    /// An idempotent publication was not acknowledged in spite of repeats.
    NeverAcknowledged { key: String },
    /// A count is below its minimum, so that the run proves nothing.
    BelowMinimum {
        what: &'static str,
        least: u64,
        found: u64,
    },
}

impl Fault {
    /// The kind as it is printed.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Reordered(_) => "reordered",
            Self::DeliveredTwice(_) => "delivered twice",
            Self::AppliedTwice { .. } => "applied twice",
            Self::OffsetReused { .. } => "offsets reused",
            Self::NotRecovered { .. } => "not recovered",
            Self::EpochChanged { .. } => "epochs changed",
            Self::HistoriesDiffer { .. } => "histories differ",
            Self::Altered(_) => "altered",
            Self::Unknown(_) => "unknown",
            Self::NeverAcknowledged { .. } => "never acknowledged",
            Self::BelowMinimum { .. } => "below minimum",
        }
    }
}

/// The kinds in the order in which they are printed.
const KINDS: [&str; 12] = [
    "lost",
    "reordered",
    "delivered twice",
    "applied twice",
    "offsets reused",
    "not recovered",
    "epochs changed",
    "histories differ",
    "altered",
    "unknown",
    "never acknowledged",
    "below minimum",
];

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Exact counts of the run.
    pub counts: Counts,
    faults: Vec<Fault>,
}

impl Verdict {
    /// Combines counts and faults.
    pub fn new(counts: Counts, faults: Vec<Fault>) -> Self {
        Self { counts, faults }
    }

    /// True when no guarantee was violated.
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    /// Every violated guarantee, in the order in which it was found.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The number of faults of this kind; the kinds are those of [`Fault::kind`].
    pub fn count(&self, kind: &str) -> usize {
        self.faults.iter().filter(|it| it.kind() == kind).count()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let split = |it: Split| {
            format!(
                "{} ({} idempotent, {} plain)",
                it.idempotent + it.plain,
                it.idempotent,
                it.plain
            )
        };
        let each: Vec<String> = counts
            .in_flight_at_each
            .iter()
            .map(u64::to_string)
            .collect();
        let each = each.join(" ");
        let rows = [
            ("kills", counts.kills.to_string()),
            ("kills not counted", counts.kills_not_counted.to_string()),
            ("published", split(counts.published)),
            ("acknowledged", split(counts.acknowledged)),
            ("in flight at kills", split(counts.in_flight_at_kills)),
            ("in flight at each kill", each),
            ("repeated", counts.repeated.to_string()),
            (
                "duplicates acknowledged",
                counts.duplicate_acknowledgements.to_string(),
            ),
            ("rejected temporarily", counts.rejected.to_string()),
            ("delivered", counts.delivered.to_string()),
            ("resumed subscriptions", counts.resumed.to_string()),
            ("in history", counts.in_history.to_string()),
        ];
        for (name, value) in rows {
            writeln!(out, "{name:23} {value}")?;
        }
        let mut kinds: BTreeMap<&str, Vec<&Fault>> = BTreeMap::new();
        for fault in &self.faults {
            kinds.entry(fault.kind()).or_default().push(fault);
        }
        for kind in KINDS {
            let faults = kinds.get(kind).map_or(&[][..], Vec::as_slice);
            writeln!(out, "{kind:23} {}", faults.len())?;
            for fault in faults.iter().take(SHOWN_MAX) {
                writeln!(out, "    {fault:?}")?;
            }
        }
        let result = if self.holds() { "PASS" } else { "FAIL" };
        write!(out, "{:23} {result}", "verdict")
    }
}
