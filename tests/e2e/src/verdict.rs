//! What came of a run: exact counts, and every promise that was broken.
//!
//! It holds no rule; the ledger finds the faults. Printed by the binary and by the tests.

use std::collections::BTreeMap;
use std::fmt;

/// Faults of one kind that are printed in full; the rest is counted.
const SHOWN_MAX: usize = 3;

/// Keyed and plain publications, which promise different things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// By `gw.publish` with a key: a lost answer is repeated.
    pub keyed: u64,
    /// By the protocol's publish: a lost answer stays unknown.
    pub plain: u64,
}

impl Split {
    /// Counts one.
    pub fn add(&mut self, keyed: bool) {
        if keyed {
            self.keyed += 1;
        } else {
            self.plain += 1;
        }
    }
}

/// Exact counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Publications sent, repeats not counted.
    pub published: Split,
    /// Publications acknowledged, each once.
    pub acknowledged: Split,
    /// Kills that counted: with answers outstanding that never came.
    pub kills: u64,
    /// Kills that found no keyed publication under way; they were tried again.
    pub kills_not_counted: u64,
    /// Publications that were unanswered at a kill and whose answer was lost.
    pub in_flight_at_kills: Split,
    /// The same for each kill that counted, keyed and plain together.
    pub in_flight_at_each: Vec<u64>,
    /// Keyed publications sent again.
    pub repeated: u64,
    /// Answers that said that the key had been seen before.
    pub duplicates_answered: u64,
    /// Publications refused for a time by the gateway.
    pub refused: u64,
    /// Publications handed to subscribers.
    pub delivered: u64,
    /// Subscriptions that went on with nothing missing.
    pub resumed: u64,
    /// Publications that the channels hold in the end.
    pub in_history: u64,
}

/// Whom it concerns, in which channel, at which offset.
pub type Whom = (String, String, u64);

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Acknowledged or held by the channel, and never handed to this subscriber.
    Lost {
        /// The subscriber, or `history`.
        client: String,
        /// The channel.
        channel: String,
        /// The publication.
        key: String,
    },
    /// Handed out behind a later one.
    Reordered(Whom),
    /// Handed to the same subscriber a second time.
    DeliveredTwice(Whom),
    /// One key stands at several places.
    AppliedTwice {
        /// The publication.
        key: String,
        /// Where it stands.
        offsets: Vec<u64>,
    },
    /// Several publications were seen at the same place.
    OffsetReused {
        /// The channel.
        channel: String,
        /// The place.
        offset: u64,
        /// The publications.
        keys: Vec<String>,
    },
    /// A subscription came back without the promise that nothing is missing.
    NotRecovered {
        /// The subscriber.
        client: String,
        /// The channel.
        channel: String,
        /// Whether the client asked to go on.
        asked: bool,
    },
    /// A channel's epoch changed though nothing may have been lost.
    EpochChanged {
        /// The channel.
        channel: String,
    },
    /// Reading a channel forwards and backwards did not give the same.
    HistoriesDiffer {
        /// The channel.
        channel: String,
    },
    /// A payload is not what was sent, or is in another channel.
    Altered(Whom),
    /// Nobody sent this.
    Unknown(Whom),
    /// A keyed publication had no answer in the end, whatever was tried.
    NeverAnswered {
        /// The publication.
        key: String,
    },
    /// So little happened that the run proves nothing, however well it went.
    TooLittle {
        /// What there was too little of.
        what: &'static str,
        /// How much there had to be.
        least: u64,
        /// How much there was.
        found: u64,
    },
}

impl Fault {
    /// The kind, as it is printed.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Reordered(_) => "reordered",
            Self::DeliveredTwice(_) => "delivered twice",
            Self::AppliedTwice { .. } => "applied twice",
            Self::OffsetReused { .. } => "offsets given twice",
            Self::NotRecovered { .. } => "not recovered",
            Self::EpochChanged { .. } => "epochs changed",
            Self::HistoriesDiffer { .. } => "histories differ",
            Self::Altered(_) => "altered",
            Self::Unknown(_) => "unknown",
            Self::NeverAnswered { .. } => "never answered",
            Self::TooLittle { .. } => "too little happened",
        }
    }
}

/// The kinds in the order in which they are printed.
const KINDS: [&str; 12] = [
    "lost",
    "reordered",
    "delivered twice",
    "applied twice",
    "offsets given twice",
    "not recovered",
    "epochs changed",
    "histories differ",
    "altered",
    "unknown",
    "never answered",
    "too little happened",
];

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Exact counts.
    pub counts: Counts,
    faults: Vec<Fault>,
}

impl Verdict {
    /// Puts counts and faults together.
    pub fn new(counts: Counts, faults: Vec<Fault>) -> Self {
        Self { counts, faults }
    }

    /// True when no promise was broken.
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    /// Every broken promise, in the order in which it was found.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// How often a promise of this kind was broken; the kinds are those of [`Fault::kind`].
    pub fn count(&self, kind: &str) -> usize {
        self.faults.iter().filter(|it| it.kind() == kind).count()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let split = |it: Split| {
            format!(
                "{} ({} keyed, {} plain)",
                it.keyed + it.plain,
                it.keyed,
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
                "duplicates answered",
                counts.duplicates_answered.to_string(),
            ),
            ("refused for a time", counts.refused.to_string()),
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
        let word = if self.holds() { "PASS" } else { "FAIL" };
        write!(out, "{:23} {word}", "verdict")
    }
}
