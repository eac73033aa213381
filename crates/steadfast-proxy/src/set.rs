//! Several proxies by name, with changes that apply together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use steadfast_faults::toxic::Toxic;
use steadfast_machine::{Instant, Seed};

use crate::builder::Builder;
use crate::dial;
use crate::error::Error;
use crate::event::Events;
use crate::locks::lock;
use crate::proxy::{Owner, Proxy, Update};
use crate::toxics::ToxicRequest;

/// The number of proxies of a set.
const PROXIES_MAX: usize = 1024;

/// Proxies by name, which share a seed, a clock and a stream of events.
#[derive(Debug)]
pub struct ProxySet {
    owner: Owner,
    proxies: Mutex<BTreeMap<String, Arc<Proxy>>>,
    /// One change of the addresses at a time, so that none is lost; toxics change without it.
    moves: tokio::sync::Mutex<()>,
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

impl Change {
    fn split(self) -> (String, ToxicRequest) {
        match self {
            Self::AddToxic(proxy, toxic) => (proxy, ToxicRequest::Add(toxic)),
            Self::UpdateToxic(proxy, toxic) => (proxy, ToxicRequest::Update(toxic)),
            Self::RemoveToxic(proxy, toxic) => (proxy, ToxicRequest::Remove(toxic)),
            Self::RemoveToxics(proxy) => (proxy, ToxicRequest::RemoveAll),
        }
    }
}

impl ProxySet {
    /// An empty set; `None` draws a seed. At most 1,024 proxies.
    pub fn new(seed: Option<u64>) -> Self {
        Self {
            owner: Owner::new(seed),
            proxies: Mutex::new(BTreeMap::new()),
            moves: tokio::sync::Mutex::new(()),
        }
    }

    /// Returns the seed of all proxies that are created without one.
    pub const fn seed(&self) -> Seed {
        self.owner.seed
    }

    /// Returns the time of the clock of all events.
    pub fn now(&self) -> Instant {
        self.owner.clock.now()
    }

    /// Starts a proxy and stores it.
    ///
    /// # Errors
    ///
    /// When the name exists, or as for [`Builder::start`]; it is not stored then.
    pub async fn create(&self, builder: Builder) -> Result<Arc<Proxy>, Error> {
        let _move = self.moves.lock().await;
        self.create_alone(builder).await
    }

    async fn create_alone(&self, builder: Builder) -> Result<Arc<Proxy>, Error> {
        let name = builder.name.clone();
        {
            let proxies = lock(&self.proxies);
            if proxies.contains_key(&name) {
                return Err(Error::ProxyExists(name));
            }
            if proxies.len() >= PROXIES_MAX {
                return Err(Error::Full {
                    what: "proxies",
                    max: PROXIES_MAX,
                });
            }
        }
        let proxy = Arc::new(Proxy::start(builder, self.owner.clone()).await?);
        let upstream = proxy.info().upstream;
        self.check_circle(&name, &upstream, proxy.local_addr())
            .await?;
        lock(&self.proxies).insert(name, Arc::clone(&proxy));
        Ok(proxy)
    }

    /// Returns the proxy of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Proxy>> {
        lock(&self.proxies).get(name).cloned()
    }

    /// Returns all proxies by name.
    pub fn list(&self) -> Vec<Arc<Proxy>> {
        lock(&self.proxies).values().cloned().collect()
    }

    /// Ends the proxy of this name; its port is closed when this returns.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let _move = self.moves.lock().await;
        self.remove_alone(name).await
    }

    async fn remove_alone(&self, name: &str) -> Result<(), Error> {
        let removed = lock(&self.proxies).remove(name);
        let proxy = removed.ok_or_else(|| Error::ProxyNotFound(name.to_owned()))?;
        // Other holders of the handle do not keep the port open.
        proxy.set_enabled(false).await
    }

    /// Creates a proxy, or changes that of the same name to these settings: one with the same addresses keeps its
    /// connections, takes over the timeout of dials and `is_enabled` if they are given, and replaces its toxics if
    /// `toxics` is given. One with other addresses is replaced.
    ///
    /// # Errors
    ///
    /// As for [`Self::create`]. A toxic that is invalid leaves the present ones.
    pub async fn populate(
        &self,
        builder: Builder,
        is_enabled: Option<bool>,
        toxics: Option<Vec<Toxic>>,
    ) -> Result<Arc<Proxy>, Error> {
        let _move = self.moves.lock().await;
        let mut builder = builder;
        if let Some(toxics) = &toxics {
            builder.toxics.clone_from(toxics);
        }
        builder.is_enabled = is_enabled.unwrap_or(builder.is_enabled);
        let Some(proxy) = self.get(&builder.name) else {
            return self.create_alone(builder).await;
        };
        if !proxy.has_addresses(&builder).await? {
            self.remove_alone(&builder.name).await?;
            return self.create_alone(builder).await;
        }
        if let Some(toxics) = toxics {
            let removal = std::iter::once(ToxicRequest::RemoveAll);
            let requests = removal.chain(toxics.into_iter().map(ToxicRequest::Add));
            let result = proxy.change_all(requests.collect());
            result.map_err(|(_, error)| error)?;
        }
        let update = Update {
            dial_timeout: builder.dial_timeout,
            is_enabled,
            ..Update::default()
        };
        proxy.update(update).await?;
        Ok(proxy)
    }

    /// Changes the addresses of a proxy, or whether it listens.
    ///
    /// # Errors
    ///
    /// When there is none, or as for [`Proxy::update`].
    pub async fn update(&self, name: &str, update: Update) -> Result<Arc<Proxy>, Error> {
        let _move = self.moves.lock().await;
        let proxy = self
            .get(name)
            .ok_or_else(|| Error::ProxyNotFound(name.to_owned()))?;
        if let Some(upstream) = &update.upstream {
            self.check_circle(name, upstream, proxy.local_addr())
                .await?;
        }
        proxy.update(update).await?;
        Ok(proxy)
    }

    /// Refuses an upstream that leads back to the proxy through others of the set: each connection would need as many
    /// file descriptors as there are, so that the server could not be called any more.
    async fn check_circle(
        &self,
        name: &str,
        upstream: &str,
        listener: SocketAddr,
    ) -> Result<(), Error> {
        let mut others = self.list();
        others.retain(|proxy| proxy.name() != name);
        let mut addresses = dial::resolve(upstream).await;
        let mut through: Option<Arc<Proxy>> = None;
        loop {
            if let Some(through) = &through
                && dial::reached(&addresses, &[listener]).is_some()
            {
                return Err(Error::Circle {
                    upstream: upstream.to_owned(),
                    through: through.name().to_owned(),
                });
            }
            let is_next = |it: &Arc<Proxy>| dial::reached(&addresses, &[it.local_addr()]).is_some();
            // Each proxy is passed once, which ends the loop.
            let Some(index) = others.iter().position(is_next) else {
                return Ok(());
            };
            let next = others.swap_remove(index);
            addresses = dial::resolve(&next.info().upstream).await;
            through = Some(next);
        }
    }

    /// Enables every proxy and removes every toxic. Returns the first error after all proxies were tried.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound.
    pub async fn reset(&self) -> Result<(), Error> {
        let _move = self.moves.lock().await;
        let mut first = Ok(());
        for proxy in self.list() {
            proxy.remove_toxics();
            let result = proxy.set_enabled(true).await;
            if first.is_ok() {
                first = result;
            }
        }
        first
    }

    /// Applies all changes at one instant, or none. Returns the instant.
    ///
    /// # Errors
    ///
    /// The index of the first change that cannot be applied, and why.
    pub fn batch(&self, changes: Vec<Change>) -> Result<Instant, (usize, Error)> {
        // The lock excludes other batches and the removal of a proxy.
        let proxies = lock(&self.proxies);
        let mut groups: BTreeMap<String, (Vec<usize>, Vec<ToxicRequest>)> = BTreeMap::new();
        for (index, change) in changes.into_iter().enumerate() {
            let (name, request) = change.split();
            if !proxies.contains_key(&name) {
                return Err((index, Error::ProxyNotFound(name)));
            }
            let (indices, requests) = groups.entry(name).or_default();
            indices.push(index);
            requests.push(request);
        }
        let mut all_indices = Vec::with_capacity(groups.len());
        let mut all_requests = Vec::with_capacity(groups.len());
        for (name, (indices, requests)) in groups {
            let Some(proxy) = proxies.get(&name) else {
                continue;
            };
            all_indices.push(indices);
            all_requests.push((&**proxy, requests));
        }
        let at = self.now();
        Proxy::change_all_of(all_requests, at).map_err(|(place, (inner, error))| {
            let indices = all_indices.get(place).map(Vec::as_slice);
            (original(indices.unwrap_or_default(), inner), error)
        })?;
        Ok(at)
    }

    /// Returns the events of all proxies from now on.
    pub fn events(&self) -> Events {
        self.owner.publisher.subscribe(None)
    }
}

fn original(indices: &[usize], inner: usize) -> usize {
    indices.get(inner).copied().unwrap_or_default()
}
