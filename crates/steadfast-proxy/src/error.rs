//! Why a call of a proxy failed.

use std::io;

/// Why a call failed. Its text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be bound.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// The address as it was given.
        listen: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The address has no port, or is no address.
    #[error("{address:?} is no address: {help}")]
    Address {
        /// The address as it was given.
        address: String,
        /// What to write instead.
        help: &'static str,
    },
    /// The upstream is the proxy itself, so that a connection would dial itself without end.
    #[error(
        "the upstream {upstream} is the proxy itself, which listens on {listen}; set the address of the server"
    )]
    Loop {
        /// The upstream as it was given.
        upstream: String,
        /// The address of the listener.
        listen: String,
    },
    /// The upstream is another proxy of the set, which leads back to this one.
    #[error(
        "the upstream {upstream} leads back to the proxy through the proxy {through:?}; set the address of the server"
    )]
    Circle {
        /// The upstream as it was given.
        upstream: String,
        /// The name of the last proxy before this one.
        through: String,
    },
    /// The toxic has an attribute that is out of its range.
    #[error("toxic {name:?}: {problem}")]
    Toxic {
        /// The name of the toxic.
        name: String,
        /// What is wrong, and the permitted values.
        problem: String,
    },
    /// A toxic of this name exists already.
    #[error("toxic {0:?} already exists; update it, or choose another name")]
    ToxicExists(String),
    /// There is no toxic of this name.
    #[error("toxic {0:?} not found")]
    ToxicNotFound(String),
    /// A proxy of this name exists already.
    #[error("proxy {0:?} already exists; update it, or choose another name")]
    ProxyExists(String),
    /// There is no proxy of this name.
    #[error("proxy {0:?} not found")]
    ProxyNotFound(String),
    /// No open connection has this number.
    #[error("connection {0} not found; it may have ended")]
    ConnectionNotFound(u64),
    /// A limit is reached.
    #[error("there are {max} {what} already, the maximum; remove one first")]
    Full {
        /// What there are too many of, such as `toxics`.
        what: &'static str,
        /// The greatest number of them.
        max: usize,
    },
    /// The operating system did not start a thread.
    #[error("cannot start the thread of the proxy: {0}")]
    Runtime(io::Error),
    /// The proxy has ended, since its handle was dropped or its runtime ended.
    #[error("the proxy has ended")]
    Ended,
}
