//! What the calls of a proxy, its listener and its connections share.
//!
//! One lock protects the tables. It is held for a few instructions, never over a system call, an `await`, or the movement
//! of data, so that no call waits for a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::toxic::{ActiveToxic, CloseMode, Identity, Toxic, dial_delay};
use steadfast_machine::{Instant, Seed, convert};

use crate::connection::{ConnectionInfo, Shared};
use crate::error::Error;
use crate::event::{Event, EventKind, Publisher};
use crate::locks::lock;
use crate::mailbox::{Mailbox, Request};
use crate::toxics::{Applied, BatchError, News, ToxicRequest, ToxicTable};
use crate::traffic::{Counters, Meter};

/// The shared state of a proxy.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) name: Arc<str>,
    pub(crate) seed: Seed,
    pub(crate) connections_max: usize,
    clock: Clock,
    publisher: Publisher,
    tables: Mutex<Tables>,
}

/// The settings that a call may change.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// As it was given, until it is bound.
    pub(crate) listen: String,
    /// The address of the listener, also while the proxy is disabled.
    pub(crate) local_addr: Option<SocketAddr>,
    pub(crate) upstream: String,
    pub(crate) dial_timeout: Duration,
    pub(crate) is_enabled: bool,
}

#[derive(Debug)]
struct Tables {
    settings: Settings,
    toxics: ToxicTable,
    connections: BTreeMap<u64, Arc<Shared>>,
    /// Of the connections that ended, and of the proxy as a whole.
    counters: Counters,
}

/// Keeps a connection in the list; dropping it removes it.
pub(crate) struct Listed<'a> {
    control: &'a Control,
    shared: &'a Shared,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let mut tables = lock(&self.control.tables);
        tables.connections.remove(&self.shared.identity.connection);
        tables.counters.to_server.add(self.shared.to_server.read());
        tables.counters.to_client.add(self.shared.to_client.read());
    }
}

impl Control {
    pub(crate) fn new(
        name: &str,
        seed: Seed,
        connections_max: usize,
        (clock, publisher): (Clock, Publisher),
        settings: Settings,
    ) -> Self {
        Self {
            name: Arc::from(name),
            seed,
            connections_max,
            clock,
            publisher,
            tables: Mutex::new(Tables {
                settings,
                toxics: ToxicTable::default(),
                connections: BTreeMap::new(),
                counters: Counters::default(),
            }),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) const fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Publishes an event, which is built only for a reader.
    pub(crate) fn publish(&self, kind: impl FnOnce() -> EventKind) {
        if self.publisher.has_readers() {
            self.publisher.publish(Event {
                at: self.now(),
                proxy: String::from(&*self.name),
                kind: kind(),
            });
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        lock(&self.tables).settings.clone()
    }

    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.tables).settings);
    }

    /// The address of the listener; before it was bound once, an address that no connection reaches.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        let bound = lock(&self.tables).settings.local_addr;
        bound.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// The upstream, and how long its dial may take.
    pub(crate) fn upstream(&self) -> (String, Duration) {
        let settings = &lock(&self.tables).settings;
        (settings.upstream.clone(), settings.dial_timeout)
    }

    /// Creates the shared part of a new connection, unless there are too many.
    pub(crate) fn accept(&self, peer: SocketAddr) -> Option<Arc<Shared>> {
        let mut tables = lock(&self.tables);
        if tables.connections.len() >= self.connections_max {
            tables.counters.refused += 1;
            drop(tables);
            self.publish(|| EventKind::Refused { peer });
            return None;
        }
        tables.counters.accepted += 1;
        let connection = tables.counters.accepted;
        let shared = Arc::new(Shared {
            identity: Identity {
                seed: self.seed,
                proxy: Arc::clone(&self.name),
                connection,
                source: Some(peer.ip()),
            },
            peer,
            upstream: OnceLock::new(),
            accepted_at: self.now(),
            to_server: Meter::default(),
            to_client: Meter::default(),
            mailbox: Mailbox::default(),
        });
        tables.connections.insert(connection, Arc::clone(&shared));
        drop(tables);
        self.publish(|| EventKind::Accepted { connection, peer });
        Some(shared)
    }

    /// Removes the connection from the list when the result is dropped.
    pub(crate) const fn list<'a>(&'a self, shared: &'a Shared) -> Listed<'a> {
        Listed {
            control: self,
            shared,
        }
    }

    pub(crate) fn dial_failed(&self) {
        lock(&self.tables).counters.dials_failed += 1;
    }

    pub(crate) fn counters(&self) -> Counters {
        let tables = lock(&self.tables);
        let mut counters = tables.counters;
        for shared in tables.connections.values() {
            counters.to_server.add(shared.to_server.read());
            counters.to_client.add(shared.to_client.read());
        }
        counters.open = convert::to_u64(tables.connections.len());
        counters
    }

    pub(crate) fn connections(&self) -> Vec<ConnectionInfo> {
        let (connections, toxics) = {
            let tables = lock(&self.tables);
            let connections: Vec<_> = tables.connections.values().cloned().collect();
            (connections, tables.toxics.present().0)
        };
        let now = self.now();
        let infos = connections.iter().map(|shared| shared.info(now, &toxics));
        infos.collect()
    }

    pub(crate) fn close_connection(&self, id: u64, mode: CloseMode) -> Result<(), Error> {
        let shared = lock(&self.tables).connections.get(&id).cloned();
        let shared = shared.ok_or(Error::ConnectionNotFound(id))?;
        shared.mailbox.request(Request::Close(mode));
        Ok(())
    }

    /// Requests the end of all connections.
    pub(crate) fn stop_connections(&self) {
        self.each_connection(|shared| shared.mailbox.request(Request::Stop));
    }

    fn each_connection(&self, action: impl Fn(&Shared)) {
        let connections: Vec<_> = lock(&self.tables).connections.values().cloned().collect();
        for shared in connections {
            action(&shared);
        }
    }

    /// The present toxics with the number of changes that led to them.
    pub(crate) fn toxics(&self) -> (Vec<Arc<ActiveToxic>>, u64) {
        lock(&self.tables).toxics.present()
    }

    /// The toxics as operators see them.
    pub(crate) fn toxics_by_direction(&self) -> Vec<Toxic> {
        lock(&self.tables).toxics.by_direction()
    }

    /// What changed since a connection had seen this number of changes, and their number now.
    pub(crate) fn changes_since(&self, seen: u64) -> (News, u64) {
        lock(&self.tables).toxics.changes_since(seen)
    }

    pub(crate) fn dial_delay(&self, identity: &Identity) -> Duration {
        dial_delay(identity, &self.toxics().0)
    }

    /// Applies changes of toxics at one instant, all or none.
    pub(crate) fn change_toxics(&self, requests: Vec<ToxicRequest>) -> Result<Applied, BatchError> {
        let applied = {
            let mut tables = lock(&self.tables);
            let prepared = tables.toxics.prepare(self.now(), requests)?;
            tables.toxics.commit(prepared)
        };
        self.toxics_changed(&applied);
        Ok(applied)
    }

    /// Applies changes of toxics of several proxies at one instant, all or none. Each proxy occurs once, in the order of
    /// the names, so that two calls cannot wait for each other. The error has the place of the proxy in the list first.
    pub(crate) fn change_toxics_of_all(
        changes: Vec<(&Self, Vec<ToxicRequest>)>,
        now: Instant,
    ) -> Result<(), (usize, BatchError)> {
        let mut all = Vec::with_capacity(changes.len());
        for (place, (control, requests)) in changes.into_iter().enumerate() {
            let tables = lock(&control.tables);
            let prepared = tables.toxics.prepare(now, requests);
            all.push((control, tables, prepared.map_err(|error| (place, error))?));
        }
        let applied: Vec<_> = all
            .into_iter()
            .map(|(control, mut tables, prepared)| (control, tables.toxics.commit(prepared)))
            .collect();
        for (control, applied) in applied {
            control.toxics_changed(&applied);
        }
        Ok(())
    }

    fn toxics_changed(&self, applied: &Applied) {
        self.each_connection(|shared| shared.mailbox.notify());
        for event in &applied.events {
            self.publish(|| event.clone());
        }
    }

    /// Removes toxics whose duration has passed. Returns when the next one does.
    pub(crate) fn expire_toxics(&self) -> Option<Instant> {
        let now = self.now();
        let (expired, next) = {
            let mut tables = lock(&self.tables);
            let expired = tables.toxics.expire(now);
            (expired, tables.toxics.next_expiry())
        };
        if !expired.is_empty() {
            self.each_connection(|shared| shared.mailbox.notify());
        }
        for active in expired {
            self.publish(|| EventKind::ToxicExpired(active.toxic.name.clone()));
        }
        next
    }
}
