//! The identities that several systems of a run use.

/// Identifies a connection between a client and a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// A client, by its index among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClientIndex {
    /// A client without the library.
    Simple(usize),
    /// A session of the client library.
    Session(usize),
}

/// A node, by its index in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeIndex(pub(crate) usize);

/// One process of a node. Events that were scheduled for a process do not reach the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pub(crate) node: NodeIndex,
    /// Counts the processes of the node.
    pub(crate) number: u64,
}
