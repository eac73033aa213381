//! An emulator of the WebSocket API of the middleware of TrueNAS, for the tests of its clients.
//!
//! [`Middleware`] is the state machine: sessions, limits, jobs, subscriptions and a small model of pools and datasets. It
//! has no sockets, no clock and no randomness of its own, so that a test can let 30 days pass. [`Server`] serves it on a
//! TCP port. What is emulated, and by which test each fact is verified, is listed in `docs/reference/truenas-emulator.md`.
//! It is no server for data: it stores nothing, and its credentials protect nothing.

mod assurance;
mod connection;
mod control;
mod errors;
mod io;
mod jobs;
mod journal;
mod limits;
mod middleware;
mod policy;
mod query;
mod rate_limit;
mod request;
mod route;
mod schedule;
mod scram;
mod server;
mod storage;
mod tokens;
mod version;

pub use assurance::AssuranceLevel;
pub use control::Control;
pub use io::{ConnectionId, Input, Output};
pub use journal::{CallState, Journal, JournalEntry};
pub use middleware::Middleware;
pub use policy::{Account, AccountState, Policy};
pub use route::{Route, route};
pub use server::{ListenError, Server, Tls, TlsError};
pub use version::ApiVersion;
