//! `[service.X]`: the processes of a scenario.

/// `[service.X]`: one kind of process. Each instance has its own channels and its own data directory, which is empty at
/// the start of the run and kept across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The X of `[service.X]`.
    pub name: String,
    /// The program that is started.
    pub program: Program,
    /// The number of instances, which are numbered from 1.
    pub replicas: u32,
}

/// The program of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `builtin:gateway`: `steadfast serve` as a user would start it, with a log on disk.
    Gateway,
}
