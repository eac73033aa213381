//! A dial, which the world carries to a node.

use crate::ids::{ClientIndex, NodeIndex};

/// A client dials a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) client: ClientIndex,
    pub(crate) node: NodeIndex,
}
