//! Clients of the API of TrueNAS: JSON-RPC 2.0 with its logins, limits and versions.
//!
//! ```no_run
//! use steadfast::truenas::{Client, secret_from_file};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("nas.lan")?
//!     .api_key("backup", secret_from_file("/run/secrets/truenas-key")?)
//!     .connect()?;
//!
//! let pools: Vec<serde_json::Value> = client.request("pool.query", &()).await?;
//! println!("{} pools", pools.len());
//! # Ok(())
//! # }
//! ```
//!
//! - **The login** uses the strongest mechanism that the server offers, and never a weaker one than before, see
//!   [`TrueNasLogin`]. It is renewed before the greatest age of a session, by another connection that replaces the present
//!   one, and is made again over the open connection when the server no longer knows the client. For the renewal, 72 % of
//!   the greatest age is waited for, and then until no write is in flight; from 30 s before 80 % on it is made whatever is in
//!   flight.
//! - **Temporary failures are waited for, permanent ones end the session** with a
//!   [`DisconnectCause::LoginFailed`](crate::DisconnectCause::LoginFailed) that has a [`LoginErrorKind`].
//! - **The logins of a process** at one server are fewer than it permits, see [`LoginLimit`].
//! - **Calls:** at most ten are in flight, and messages above the limit of the server are not sent. Methods are writes, which
//!   are never repeated after they were sent, except queries.
//! - **Jobs and collections:** [`Client::jobs`] follows jobs over lost connections and restarts of the server, and
//!   [`Client::collection`] subscribes to changes. [`ApiError`] reads an error, and [`extended_json`] has the values that JSON
//!   has no form for.

mod builder;
mod classes;
mod collection;
mod jobs;
mod secret;
mod versions;

use std::fmt;
use std::ops::Deref;

pub use steadfast_core::dialect::truenas::collection::{Change, ChangeKind};
pub use steadfast_core::dialect::truenas::jobs::{JOBS_MAX, JobEnd, JobProgress};
pub use steadfast_core::dialect::truenas::{
    ApiError, CALLS_IN_FLIGHT_MAX, Errno, InvalidAttribute, TOO_MANY_CALLS, TrueNasLogin,
    extended_json,
};
pub use steadfast_core::event::LoginErrorKind;
pub use steadfast_core::login_budget::LoginBudgetSettings;

pub use self::builder::Builder;
pub use self::collection::{Collection, CollectionEvent, collection};
pub use self::jobs::{Job, Jobs, JobsClosed};
pub use self::secret::{SecretError, secret_from_file};
use crate::error::BuildError;
use crate::jsonrpc;
pub use crate::login_limit::LoginLimit;

/// A handle to a session with a TrueNAS server: a [`jsonrpc::Client`], of which it has all methods.
#[derive(Clone)]
pub struct Client(jsonrpc::Client);

impl Client {
    /// Creates a builder for a client of the server with this name or address, or at this URL. Without a scheme it is
    /// `wss://`, except for loopback addresses; without a path, the newest version of the API that both know.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn builder(server: &str) -> Result<Builder, BuildError> {
        Builder::new(server)
    }

    pub(crate) const fn new(client: jsonrpc::Client) -> Self {
        Self(client)
    }

    /// Spawns a task that starts jobs and follows them; see [`Jobs`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn jobs(&self) -> Jobs {
        Jobs::spawn(self.0.clone())
    }

    /// Subscribes to the changes of a collection, such as `pool.query`; see [`collection()`].
    pub fn collection(&self, name: &str) -> Collection {
        collection(&self.0, name)
    }

    /// The client of the protocol below.
    pub const fn jsonrpc(&self) -> &jsonrpc::Client {
        &self.0
    }
}

impl Deref for Client {
    type Target = jsonrpc::Client;

    fn deref(&self) -> &jsonrpc::Client {
        &self.0
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0).finish()
    }
}
