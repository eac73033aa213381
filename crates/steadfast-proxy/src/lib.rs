//! A TCP proxy that injects faults into connections, for the tests of any client or server.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use steadfast_proxy::{Proxy, Toxic};
//!
//! // The database under test would listen here.
//! let database = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!
//! let slow = Toxic::latency(Duration::from_millis(100)).upstream();
//! let proxy = Proxy::to(database.local_addr()?).seed(7).toxic(slow).start().await?;
//!
//! let client = tokio::net::TcpStream::connect(proxy.local_addr()).await?;
//! # drop(client);
//! # Ok(())
//! # }
//! ```
//!
//! The port is bound when [`Builder::start`] returns, and dropping the [`Proxy`] ends it with all its connections.
//! What a toxic does to which connection depends on the seed, the names and the number of the connection alone.

mod address;
mod after;
#[cfg(feature = "api")]
pub mod api;
mod blocking;
mod builder;
mod connection;
mod control;
mod dial;
mod error;
mod event;
mod listener;
mod locks;
mod mailbox;
mod proxy;
mod relay;
mod set;
mod sockets;
mod toxics;
mod traffic;

pub use steadfast_faults::link::Direction;
pub use steadfast_faults::toxic::{
    BlackHoleMode, CloseMode, Directions, Network, Select, Toxic, ToxicKind,
};
pub use steadfast_machine::{Instant, Seed};

pub use blocking::BlockingProxy;
pub use builder::Builder;
pub use connection::{ConnectionInfo, ConnectionToxic};
pub use error::Error;
pub use event::{EndReason, Event, EventKind, Events};
pub use proxy::{Proxy, ProxyInfo, Update};
pub use set::{Change, ProxySet};
pub use traffic::{Counters, Traffic};
