//! The client rows: the client library compared with a bare loop and with the official client, against one gateway.
//!
//! Contains their plan, processes, samples and tables; the rows of the servers are in the parent module.

pub(crate) mod measure;
pub(crate) mod plan;
mod process;
pub(crate) mod results;
pub(crate) mod table;
pub(crate) mod targets;
