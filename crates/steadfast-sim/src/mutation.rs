//! Promises that a run can be told to break, to show that the simulation notices.
//!
//! The machines stay as they are; the driver around them does the damage.

/// A promise that the driver breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A sync is reported and not done.
    NoSync,
    /// Keys of publishes never reach the log.
    NoDedupe,
    /// Positions are taken as if they were of the present epoch and within the top.
    NoPositionCheck,
    /// Frames to one client may overtake each other.
    NoOrder,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::NoSync,
        Self::NoDedupe,
        Self::NoPositionCheck,
        Self::NoOrder,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSync => "no-sync",
            Self::NoDedupe => "no-dedupe",
            Self::NoPositionCheck => "no-position-check",
            Self::NoOrder => "no-order",
        }
    }

    /// The mutation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mutation| mutation.name() == name)
    }
}
