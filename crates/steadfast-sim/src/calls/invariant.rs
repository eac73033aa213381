//! What must hold in every run of this world.

use std::fmt;

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

/// What must hold in every run of this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// The server executes a call of class write at most once.
    WritesExecutedOnce,
    /// A call that a session reports as not executed, or as rejected, is not executed, neither before nor later.
    NotExecutedAsReported,
    /// A call with a result was executed.
    ResultsAreOfExecutions,
    /// The result of a call is that of the same call.
    ResultsMatchCalls,
    /// Each call has exactly one outcome.
    OneOutcomePerCall,
    /// A call has its outcome no later than at its deadline.
    OutcomesInTime,
    /// After the last fault, each session is connected again within a bounded time, without a restart.
    SessionsReturn,
    /// After the last fault, calls of a connected session have their results.
    CallsSucceedAgain,
    /// The logins stay below the limit of the server, and there is one for each connection and each session that the
    /// server has forgotten.
    LoginsPermitted,
    /// No state machine requests an unlimited number of wake-ups at one instant.
    NoBusyLoop,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WritesExecutedOnce => "no write is executed twice",
            Self::NotExecutedAsReported => "what is reported as not executed is not executed",
            Self::ResultsAreOfExecutions => "a call with a result was executed",
            Self::ResultsMatchCalls => "results match calls",
            Self::OneOutcomePerCall => "each call has one outcome",
            Self::OutcomesInTime => "outcomes are in time",
            Self::SessionsReturn => "sessions return after the last fault",
            Self::CallsSucceedAgain => "calls succeed after the last fault",
            Self::LoginsPermitted => "only permitted logins are made",
            Self::NoBusyLoop => "no busy loop",
        })
    }
}
