//! Planted bugs of this world. The state machines are unmodified; the code that drives them contains the bug.

/// One guarantee that the driver of the sessions breaks deliberately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// A write whose reply was lost is made again.
    ResendsInterruptedWrites,
    /// A call that was sent and has no reply is reported as not executed.
    SentAsNotSent,
    /// A call that was in flight on a lost connection never has an outcome.
    ForgetsPendingCalls,
    /// A write whose reply was lost is reported as executed.
    InterruptedAsDone,
    /// A call has the result of the call before.
    SwapsResults,
    /// A call ends later than its deadline.
    LateDeadlines,
    /// A session never times out on a silent server.
    NoLiveness,
    /// A process logs in as often as it connects.
    NoLoginBudget,
}

impl PlantedBug {
    /// All planted bugs, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::ResendsInterruptedWrites,
        Self::SentAsNotSent,
        Self::ForgetsPendingCalls,
        Self::InterruptedAsDone,
        Self::SwapsResults,
        Self::LateDeadlines,
        Self::NoLiveness,
        Self::NoLoginBudget,
    ];

    /// Returns the name of the bug on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResendsInterruptedWrites => "resends-interrupted-writes",
            Self::SentAsNotSent => "sent-as-not-sent",
            Self::ForgetsPendingCalls => "forgets-pending-calls",
            Self::InterruptedAsDone => "interrupted-as-done",
            Self::SwapsResults => "swaps-results",
            Self::LateDeadlines => "late-deadlines",
            Self::NoLiveness => "no-liveness",
            Self::NoLoginBudget => "no-login-budget",
        }
    }

    /// Returns the bug with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}
