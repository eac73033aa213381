//! The handle of a running proxy.

use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;

use steadfast_faults::toxic::{CloseMode, Toxic};
use steadfast_machine::Seed;

use crate::builder::Builder;
use crate::connection::ConnectionInfo;
use crate::error::Error;
use crate::event::Events;
use crate::traffic::Counters;

/// A running proxy. Dropping it closes its port and all its connections.
///
/// No method waits for a connection or for its data.
#[derive(Debug)]
pub struct Proxy {
    _private: (),
}

/// The settings of a proxy at present.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyInfo {
    /// Its name.
    pub name: String,
    /// The address that it listens on, or would listen on. Before it was bound once, it is as it was given.
    pub listen: String,
    /// The upstream as it was given.
    pub upstream: String,
    /// Whether it listens.
    pub is_enabled: bool,
    /// Toxics of the direction to the server and of both first, then those to the client, in order of creation.
    pub toxics: Vec<Toxic>,
    /// The seed of the victims.
    pub seed: Seed,
}

/// What to change of a proxy; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The address to listen on.
    pub listen: Option<String>,
    /// The upstream.
    pub upstream: Option<String>,
    /// Whether to listen.
    pub is_enabled: Option<bool>,
}

impl Proxy {
    /// Begins the settings of a proxy in front of this upstream, such as `127.0.0.1:5432` or `db:5432`. Host names are
    /// resolved for each connection.
    pub fn to(upstream: impl Display) -> Builder {
        Builder::new(upstream.to_string())
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// Returns the address that clients connect to. It stays the same while the proxy is disabled.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// Returns the settings at present.
    pub fn info(&self) -> ProxyInfo {
        todo!()
    }

    /// Returns the live counters.
    pub fn counters(&self) -> Counters {
        todo!()
    }

    /// Returns the toxics: those to the server and of both directions, then those to the client, by order of creation.
    pub fn toxics(&self) -> Vec<Toxic> {
        todo!()
    }

    /// Adds a toxic to the present and to all later connections.
    ///
    /// # Errors
    ///
    /// When the name exists, an attribute is out of its range, or there are 64 toxics.
    pub fn add_toxic(&self, toxic: Toxic) -> Result<(), Error> {
        todo!()
    }

    /// Replaces the attributes, the toxicity, the duration and the selection of the toxic of this name. Its directions
    /// and its kind cannot change. A connection keeps what the toxic has counted and what it drew. A duration starts
    /// again.
    ///
    /// # Errors
    ///
    /// When there is no such toxic, or an attribute is out of its range.
    pub fn update_toxic(&self, toxic: Toxic) -> Result<(), Error> {
        todo!()
    }

    /// Removes a toxic and returns it. Connections pass at once what it held.
    ///
    /// # Errors
    ///
    /// When there is no such toxic.
    pub fn remove_toxic(&self, name: &str) -> Result<Toxic, Error> {
        todo!()
    }

    /// Removes all toxics.
    pub fn remove_toxics(&self) {
        todo!()
    }

    /// Opens or closes the port; closing it also closes all connections. The port number stays.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn set_enabled(&self, is_enabled: bool) -> Result<(), Error> {
        self.update(Update {
            is_enabled: Some(is_enabled),
            ..Update::default()
        })
        .await
    }

    /// Dials another upstream from now on; closes all connections if it differs.
    ///
    /// # Errors
    ///
    /// When it is the proxy itself.
    pub async fn set_upstream(&self, upstream: impl Display) -> Result<(), Error> {
        self.update(Update {
            upstream: Some(upstream.to_string()),
            ..Update::default()
        })
        .await
    }

    /// Listens on another address; closes all connections if it differs.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound; the proxy is then disabled, with the new address.
    pub async fn set_listen(&self, listen: impl Display) -> Result<(), Error> {
        self.update(Update {
            listen: Some(listen.to_string()),
            ..Update::default()
        })
        .await
    }

    /// Changes several settings at once. Without a difference nothing happens, and connections stay.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or the upstream is the proxy itself.
    pub async fn update(&self, update: Update) -> Result<(), Error> {
        let _ = update;
        todo!()
    }

    /// Returns the open connections by number.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        todo!()
    }

    /// Ends a connection.
    ///
    /// # Errors
    ///
    /// When no open connection has this number.
    pub fn close_connection(&self, id: u64, mode: CloseMode) -> Result<(), Error> {
        let _ = (id, mode);
        todo!()
    }

    /// Returns the events from now on.
    pub fn events(&self) -> Events {
        todo!()
    }
}

/// A proxy on a thread of its own, for programs without a tokio runtime. Dropping it ends the proxy and the thread.
#[derive(Debug)]
pub struct BlockingProxy {
    _private: (),
}

impl BlockingProxy {
    /// Waits for an asynchronous method, such as `blocking.wait(blocking.set_enabled(false))`.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        let _ = future;
        todo!()
    }
}

impl std::ops::Deref for BlockingProxy {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        todo!()
    }
}
