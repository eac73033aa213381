//! Several proxies by name, with changes that apply together.

use std::sync::Arc;

use steadfast_faults::toxic::Toxic;
use steadfast_machine::{Instant, Seed};

use crate::builder::Builder;
use crate::error::Error;
use crate::event::Events;
use crate::proxy::{Proxy, Update};

/// Proxies by name, which share a seed, a clock and a stream of events.
#[derive(Debug)]
pub struct ProxySet {
    _private: (),
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Adds a toxic to the proxy of this name.
    AddToxic(String, Toxic),
    /// Replaces a toxic of the proxy of this name.
    UpdateToxic(String, Toxic),
    /// Removes a toxic: the name of the proxy, then that of the toxic.
    RemoveToxic(String, String),
    /// Removes all toxics of the proxy of this name.
    RemoveToxics(String),
}

impl ProxySet {
    /// An empty set; `None` draws a seed. At most 1,024 proxies.
    pub fn new(seed: Option<u64>) -> Self {
        let _ = seed;
        todo!()
    }

    /// Returns the seed of all proxies that are created without one.
    pub fn seed(&self) -> Seed {
        todo!()
    }

    /// Returns the time of the clock of all events.
    pub fn now(&self) -> Instant {
        todo!()
    }

    /// Starts a proxy and stores it.
    ///
    /// # Errors
    ///
    /// When the name exists, or as for [`Builder::start`]; it is not stored then.
    pub async fn create(&self, builder: Builder) -> Result<Arc<Proxy>, Error> {
        let _ = builder;
        todo!()
    }

    /// Returns the proxy of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Proxy>> {
        let _ = name;
        todo!()
    }

    /// Returns all proxies by name.
    pub fn list(&self) -> Vec<Arc<Proxy>> {
        todo!()
    }

    /// Ends the proxy of this name; its port is closed when this returns.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let _ = name;
        todo!()
    }

    /// Creates a proxy, or changes that of the same name to these settings: one with the same addresses keeps its
    /// connections, takes over whether it is enabled, and replaces its toxics if `toxics` is given.
    ///
    /// # Errors
    ///
    /// As for [`Self::create`].
    pub async fn populate(
        &self,
        builder: Builder,
        is_enabled: Option<bool>,
        toxics: Option<Vec<Toxic>>,
    ) -> Result<Arc<Proxy>, Error> {
        let _ = (builder, is_enabled, toxics, Update::default());
        todo!()
    }

    /// Enables every proxy and removes every toxic. Returns the first error after all proxies were tried.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound.
    pub async fn reset(&self) -> Result<(), Error> {
        todo!()
    }

    /// Applies all changes at one instant, which it returns, or none.
    ///
    /// # Errors
    ///
    /// The index of the first change that cannot be applied, and why.
    pub fn batch(&self, changes: Vec<Change>) -> Result<Instant, (usize, Error)> {
        let _ = changes;
        todo!()
    }

    /// Returns the events of all proxies from now on.
    pub fn events(&self) -> Events {
        todo!()
    }
}
