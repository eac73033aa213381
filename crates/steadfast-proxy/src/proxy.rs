//! The handle of a running proxy.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::toxic::{ActiveToxic, CloseMode, Toxic};
use steadfast_machine::{Instant, Seed};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::builder::{Builder, DIAL_TIMEOUT};
use crate::connection::ConnectionInfo;
use crate::control::{Control, Settings};
use crate::error::Error;
use crate::event::{Events, Publisher};
use crate::listener::{Command, Listener, Move};
use crate::toxics::{Applied, BatchError, ToxicRequest};
use crate::traffic::Counters;
use crate::{address, dial};

/// The number of commands that wait for the task of a proxy; further callers wait.
const COMMANDS_MAX: usize = 16;

/// A running proxy. Dropping it closes its port and all its connections.
///
/// No method waits for a connection or for its data.
#[derive(Debug)]
pub struct Proxy {
    control: Arc<Control>,
    commands: mpsc::Sender<Command>,
    task: AbortHandle,
}

/// The settings of a proxy at present.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyInfo {
    /// Unique in a set; one of the sources of draws.
    pub name: String,
    /// The address that it listens on, or would listen on. Before it was bound once, it is as it was given.
    pub listen: String,
    /// The upstream as it was given.
    pub upstream: String,
    /// How long the dial of the upstream may take.
    pub dial_timeout: Duration,
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
    /// The address to dial, with its port.
    pub upstream: Option<String>,
    /// How long a dial may take, from the next one on; open connections stay.
    pub dial_timeout: Option<Duration>,
    /// Whether to listen.
    pub is_enabled: Option<bool>,
}

impl Proxy {
    /// Begins the settings of a proxy in front of this upstream, such as `127.0.0.1:5432` or `db:5432`. Host names are
    /// resolved for each connection.
    pub fn to(upstream: impl Display) -> Builder {
        Builder::new(upstream.to_string())
    }

    pub(crate) async fn start(builder: Builder, owner: Owner) -> Result<Self, Error> {
        address::validate_upstream(&builder.upstream)?;
        let resolved = address::to_listen(&builder.listen).await?;
        let settings = Settings {
            listen: builder.listen.clone(),
            local_addr: None,
            upstream: builder.upstream.clone(),
            dial_timeout: builder.dial_timeout.unwrap_or(DIAL_TIMEOUT),
            is_enabled: false,
        };
        let seed = builder.seed.map_or(owner.seed, Seed::new);
        let parts = (owner.clock, owner.publisher);
        let connections_max = builder.connections_max;
        let control = Control::new(&builder.name, seed, connections_max, parts, settings);
        let control = Arc::new(control);
        let toxics = builder.toxics.into_iter().map(ToxicRequest::Add).collect();
        control.change_toxics(toxics).map_err(|(_, error)| error)?;
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        let mut listener = Listener::new(Arc::clone(&control), receiver);
        check_loop(&builder.upstream, &resolved).await?;
        listener.change(Move {
            listen: Some((builder.listen, resolved)),
            upstream: None,
            dial_timeout: None,
            is_enabled: Some(builder.is_enabled),
        })?;
        // A free port is known only now.
        check_loop(&builder.upstream, &[control.local_addr()]).await?;
        Ok(Self {
            control,
            commands: sender,
            task: tokio::spawn(listener.run()).abort_handle(),
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.control.name
    }

    /// Returns the address that clients connect to. It stays the same while the proxy is disabled; before it listened
    /// once, it is `0.0.0.0:0`.
    pub fn local_addr(&self) -> SocketAddr {
        self.control.local_addr()
    }

    /// Returns the settings at present.
    pub fn info(&self) -> ProxyInfo {
        let settings = self.control.settings();
        ProxyInfo {
            name: self.name().to_owned(),
            listen: settings.listen,
            upstream: settings.upstream,
            dial_timeout: settings.dial_timeout,
            is_enabled: settings.is_enabled,
            toxics: self.toxics(),
            seed: self.control.seed,
        }
    }

    /// Returns the live counters.
    pub fn counters(&self) -> Counters {
        self.control.counters()
    }

    /// Returns the toxics: those to the server and of both directions, then those to the client, by order of creation.
    pub fn toxics(&self) -> Vec<Toxic> {
        self.control.toxics_by_direction()
    }

    /// Adds a toxic to the present and to all later connections. Bytes that a connection is reading at this instant may
    /// still pass; [`EventKind::Affected`](crate::EventKind::Affected) says from when on none does.
    ///
    /// # Errors
    ///
    /// When the name exists, an attribute is out of its range, or there are 64 toxics.
    pub fn add_toxic(&self, toxic: Toxic) -> Result<(), Error> {
        self.change(ToxicRequest::Add(toxic)).map(drop)
    }

    /// Replaces the attributes, the toxicity, the duration and the selection of the toxic of this name. Its directions
    /// and its kind cannot change. A connection keeps what the toxic has counted and what it drew. A duration starts
    /// again.
    ///
    /// # Errors
    ///
    /// When there is no such toxic, or an attribute is out of its range.
    pub fn update_toxic(&self, toxic: Toxic) -> Result<(), Error> {
        self.change(ToxicRequest::Update(toxic)).map(drop)
    }

    /// Removes a toxic and returns it. Connections pass at once what it held.
    ///
    /// # Errors
    ///
    /// When there is no such toxic.
    pub fn remove_toxic(&self, name: &str) -> Result<Toxic, Error> {
        let removed = self.change(ToxicRequest::Remove(name.to_owned()))?;
        let first = removed.first().map(|active| active.toxic.clone());
        first.ok_or_else(|| Error::ToxicNotFound(name.to_owned()))
    }

    /// Removes all toxics.
    pub fn remove_toxics(&self) {
        // Nothing that is removed can be missing.
        drop(self.change(ToxicRequest::RemoveAll));
    }

    fn change(&self, request: ToxicRequest) -> Result<Vec<Arc<ActiveToxic>>, Error> {
        let applied = self.change_all(vec![request]);
        applied.map(|it| it.toxics).map_err(|(_, error)| error)
    }

    /// Applies all changes of toxics at one instant, or none.
    pub(crate) fn change_all(&self, requests: Vec<ToxicRequest>) -> Result<Applied, BatchError> {
        let result = self.control.change_toxics(requests)?;
        self.wake();
        Ok(result)
    }

    /// Applies all changes of toxics of several proxies at one instant, or none. Each proxy occurs once, in the order of
    /// the names. The error has the place of the proxy in the list first.
    pub(crate) fn change_all_of(
        changes: Vec<(&Self, Vec<ToxicRequest>)>,
        now: Instant,
    ) -> Result<(), (usize, BatchError)> {
        let proxies: Vec<&Self> = changes.iter().map(|(proxy, _)| *proxy).collect();
        let changes = changes.into_iter();
        let changes = changes.map(|(proxy, requests)| (&*proxy.control, requests));
        Control::change_toxics_of_all(changes.collect(), now)?;
        proxies.into_iter().for_each(Self::wake);
        Ok(())
    }

    /// Lets the task consider the durations of the present toxics.
    fn wake(&self) {
        // A full queue is read soon, and the task then considers all toxics.
        drop(self.commands.try_send(Command::ToxicsChanged));
    }

    /// Whether it has the addresses of these settings.
    pub(crate) async fn has_addresses(&self, builder: &Builder) -> Result<bool, Error> {
        let settings = self.control.settings();
        if settings.upstream != builder.upstream {
            return Ok(false);
        }
        if settings.listen == builder.listen {
            return Ok(true);
        }
        let resolved = address::to_listen(&builder.listen).await?;
        Ok(settings
            .local_addr
            .is_some_and(|bound| resolved.contains(&bound)))
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
        let listen = match update.listen {
            Some(listen) => {
                let resolved = address::to_listen(&listen).await?;
                Some((listen, resolved))
            }
            None => None,
        };
        if let Some(upstream) = &update.upstream {
            address::validate_upstream(upstream)?;
        }
        self.check_update(listen.as_ref(), update.upstream.as_deref())
            .await?;
        let (sender, receiver) = oneshot::channel();
        let change = Move {
            listen,
            upstream: update.upstream,
            dial_timeout: update.dial_timeout,
            is_enabled: update.is_enabled,
        };
        let command = Command::Move(change, sender);
        self.commands
            .send(command)
            .await
            .map_err(|_ended| Error::Ended)?;
        receiver.await.map_err(|_ended| Error::Ended)?
    }

    /// Refuses new addresses with which the proxy would dial itself.
    async fn check_update(
        &self,
        listen: Option<&(String, Vec<SocketAddr>)>,
        upstream: Option<&str>,
    ) -> Result<(), Error> {
        if listen.is_none() && upstream.is_none() {
            return Ok(());
        }
        let settings = self.control.settings();
        let upstream = upstream.unwrap_or(&settings.upstream);
        let present = [self.control.local_addr()];
        let listeners = listen.map_or(present.as_slice(), |(_, new)| new);
        check_loop(upstream, listeners).await
    }

    /// Returns the open connections by number.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.control.connections()
    }

    /// Ends a connection. In the mode `Silent` it stays open and in the list, and everything that arrives is discarded;
    /// it can still be closed in another mode.
    ///
    /// # Errors
    ///
    /// When no open connection has this number.
    pub fn close_connection(&self, id: u64, mode: CloseMode) -> Result<(), Error> {
        self.control.close_connection(id, mode)
    }

    /// Returns the events from now on.
    pub fn events(&self) -> Events {
        let name = self.name().to_owned();
        self.control.publisher().subscribe(Some(name))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The task owns the listener and the tasks of all connections, which end with it.
        self.task.abort();
    }
}

/// What several proxies share, or one has alone.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) seed: Seed,
    pub(crate) clock: Clock,
    pub(crate) publisher: Publisher,
}

impl Owner {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self {
            seed: seed.map_or_else(random_seed, Seed::new),
            clock: Clock::start(),
            publisher: Publisher::new(),
        }
    }
}

/// A seed that differs between processes and calls. It is no secret. It has 53 bits, which every reader of JSON keeps.
fn random_seed() -> Seed {
    use std::hash::{BuildHasher, RandomState};
    Seed::new(RandomState::new().hash_one(Clock::wall().as_millis()) >> 11)
}

/// Refuses an upstream that is one of the addresses to listen on, under whatever name. Port 0 is no address yet.
async fn check_loop(upstream: &str, listeners: &[SocketAddr]) -> Result<(), Error> {
    match dial::reached(&dial::resolve(upstream).await, listeners) {
        None => Ok(()),
        Some(listener) => Err(Error::Loop {
            upstream: upstream.to_owned(),
            listen: listener.to_string(),
        }),
    }
}
