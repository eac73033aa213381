//! The client rows: the client library beside a bare loop and the official client, against one gateway.
//!
//! Owns their plan, their processes, their samples and their tables; the rows of the servers are beside it.

pub(crate) mod measure;
pub(crate) mod plan;
mod process;
pub(crate) mod results;
pub(crate) mod table;
pub(crate) mod targets;
