//! Single deliveries that violate a guarantee, as evidence: the first of each kind.
//!
//! The totals are in [`crate::ledger::DeliveryStats`]; this list has the messages, and its length is bounded.

use steadfast_machine::Instant;

use crate::ledger::event::MessageId;
use crate::metrics::Metric;
use crate::topology::ClientId;

/// The number of problems of each kind that are kept.
pub const PROBLEMS_MAX: usize = 100;

/// A delivery that is missing, or that should not have occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryProblem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// The client that should have received the publication, or received it.
    pub subscriber: ClientId,
    /// The publication; `None` when the payload is not of this run.
    pub message: Option<MessageId>,
    /// When it was published, if that is known.
    pub published: Option<Instant>,
    /// When it was delivered; `None` when it was lost.
    pub delivered: Option<Instant>,
}

/// What is wrong with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// An expected delivery is missing at the end of the run.
    Lost,
    /// The subscriber had received the publication before.
    Duplicate,
    /// The subscriber had received a later publication before.
    Reordered,
    /// No client of the channel published it, or it was rejected.
    Unexpected,
}

impl ProblemKind {
    /// All kinds, the most serious first.
    pub const ALL: [Self; 4] = [
        Self::Lost,
        Self::Duplicate,
        Self::Reordered,
        Self::Unexpected,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
            Self::Unexpected => "unexpected",
        }
    }

    /// The metric that counts all problems of this kind.
    pub const fn metric(self) -> Metric {
        match self {
            Self::Lost => Metric::DeliveryLost,
            Self::Duplicate => Metric::DeliveryDuplicate,
            Self::Reordered => Metric::DeliveryReordered,
            Self::Unexpected => Metric::DeliveryUnexpected,
        }
    }
}

/// A bounded list of problems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Problems(Vec<DeliveryProblem>);

impl Problems {
    /// Keeps a problem, unless the list has [`PROBLEMS_MAX`] of its kind.
    pub(super) fn add(&mut self, problem: DeliveryProblem) {
        let of_kind = self.0.iter().filter(|it| it.kind == problem.kind);
        if of_kind.count() < PROBLEMS_MAX {
            self.0.push(problem);
        }
    }

    /// The problems, by kind, subscriber and publication.
    pub(super) fn sorted(&self) -> Vec<DeliveryProblem> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted
    }
}
