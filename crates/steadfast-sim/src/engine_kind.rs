//! The kinds of engines that the gateways of a run can have.

/// The kind of engine that the gateways of a run have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// The log, on a disk that loses unsynced writes.
    #[default]
    Log,
    /// The memory engine: the history ends with the process, and every channel has another epoch in the next process.
    Memory,
}

impl EngineKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::Log, Self::Memory];

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Memory => "memory",
        }
    }

    /// Returns the kind with this name on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }
}
