//! A bridge: one resilient session to a TrueNAS server, which any number of local programs share.
//!
//! Programs in any language connect to a Unix socket of this machine and speak JSON-RPC 2.0, as they would to the server.
//! [`Bridge`] is the state machine: ids, fair shares, subscriptions, what is replied without the server, and what became
//! of each call. It has no sockets and no clock. [`Server`] serves it, and [`Upstream`] is the session to the server.
//! The command `steadfast bridge` calls this crate; `docs/reference/bridge.md` lists codes and limits.

mod io;
mod machine;
mod policy;
mod program;
mod reply;
mod request;
mod server;
mod topics;
mod upstream;

pub use io::{
    CallEnd, CallNumber, DisconnectReason, Input, Output, ProgramId, SessionState, TopicEvent,
    TopicNumber,
};
pub use machine::Bridge;
pub use policy::{MESSAGE_BYTES_MAX, Policy};
pub use reply::codes;
pub use server::{BindError, ServeError, Server, Settings, Token};
pub use upstream::{Key, Upstream, UpstreamSettings};
