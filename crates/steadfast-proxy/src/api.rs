//! The HTTP API of several proxies: the requests of Toxiproxy's clients, and extensions below `/lab/`.
//!
//! [`ApiServer`] owns the port and the proxies. `route` finds the operation of a request, `body` reads what it carries,
//! `operations` executes it, `view` and `response` write what it returns. What a toxic does, and to which connections,
//! is not decided here.

mod batch;
mod body;
mod config;
mod error;
mod events;
mod input;
mod metrics;
mod operations;
mod response;
mod route;
mod server;
mod view;

pub use config::ConfigError;
pub use server::{ApiListenError, ApiServer};

/// The version of Toxiproxy whose API this is: `GET /version` returns it.
pub const TOXIPROXY_VERSION: &str = operations::VERSION;

/// The settings of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The seed of all random choices; by default a new one.
    pub seed: Option<u64>,
    /// Whether `GET /metrics` has the bytes and connections of each proxy.
    pub proxy_metrics: bool,
    /// Whether `GET /metrics` has figures of the process.
    pub runtime_metrics: bool,
}
