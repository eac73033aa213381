//! `[[check]]`: the conditions on metrics.

use crate::scenario::expr::Expression;

/// `[[check]]`: a condition on metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The name in reports.
    pub id: String,
    /// The condition that must hold.
    pub that: Expression,
    /// The consequence when it does not hold.
    pub level: CheckLevel,
    /// The consequence when there are no samples.
    pub no_data: NoData,
}

/// The consequence of a check that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckLevel {
    /// The verdict is FAIL.
    Must,
    /// It is reported, and the verdict does not change.
    Should,
    /// The measured value is reported, whatever it is.
    Info,
}

impl CheckLevel {
    /// The name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Info => "info",
        }
    }
}

/// The outcome of a check without samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// The outcome is unknown.
    Unknown,
    /// The check fails.
    Fail,
    /// The check is not applicable, and does not change the verdict.
    NotApplicable,
}
