//! The participants of a run: the instances of services, the channels that each instance serves, and the clients.
//!
//! The plan creates the topology, which does not change during a run. Event records name participants by the small ids
//! that are assigned here; reports turn the ids back into names.

use std::collections::BTreeSet;
use std::fmt;

use steadfast_machine::convert;

/// An instance of a service: its index in [`Topology::instances`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

/// A channel of an instance: its index in [`Topology::channels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u32);

/// A simulated client: its index in [`Topology::clients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// A planned fault: its index in the plan's list of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u32);

/// What a client speaks: a library of the Centrifuge client protocol, an adapter of the lab, or another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKind {
    /// The client library of this project.
    Steadfast,
    /// `centrifuge-client` of the Rust registry.
    CentrifugeClient,
    /// `centrifuge` of npm.
    Centrifuge,
    /// `centrifuge-python` of `PyPI`.
    CentrifugePython,
    /// The adapter that sends messages to a WebSocket server, which returns them.
    WebsocketEcho,
    /// The adapter that receives the numbered messages of a WebSocket server.
    WebsocketSubscribe,
    /// The adapter that sends HTTP requests over a connection that stays open.
    HttpPoll,
    /// The adapter that makes JSON-RPC 2.0 calls over a WebSocket.
    Jsonrpc,
    /// The adapter that logs in to a TrueNAS and calls its methods.
    Truenas,
    /// A program of the scenario's author.
    Exec,
}

impl ClientKind {
    /// All kinds, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Steadfast,
        Self::CentrifugeClient,
        Self::Centrifuge,
        Self::CentrifugePython,
        Self::WebsocketEcho,
        Self::WebsocketSubscribe,
        Self::HttpPoll,
        Self::Jsonrpc,
        Self::Truenas,
        Self::Exec,
    ];

    /// The libraries of the Centrifuge client protocol, which a load can combine.
    pub const LIBRARIES: [Self; 4] = [
        Self::Steadfast,
        Self::CentrifugeClient,
        Self::Centrifuge,
        Self::CentrifugePython,
    ];

    /// The name in scenarios and reports: that of the package or of the load driver.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steadfast => "steadfast",
            Self::CentrifugeClient => "centrifuge-client",
            Self::Centrifuge => "centrifuge",
            Self::CentrifugePython => "centrifuge-python",
            Self::WebsocketEcho => "websocket-echo",
            Self::WebsocketSubscribe => "websocket-subscribe",
            Self::HttpPoll => "http-poll",
            Self::Jsonrpc => "jsonrpc",
            Self::Truenas => "truenas",
            Self::Exec => "exec",
        }
    }

    /// Whether it subscribes to a channel of the Centrifuge client protocol: only then it is ready, and not as soon as
    /// it is connected.
    pub fn is_library(self) -> bool {
        Self::LIBRARIES.contains(&self)
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One process of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The id in [`Topology::instances`].
    pub id: InstanceId,
    /// The service's name in the scenario.
    pub service: String,
    /// Counts from 1 within the service.
    pub number: u32,
}

impl fmt::Display for Instance {
    /// Writes the name that selectors use, for example `gateway:2`. With the colon replaced, it is a valid folder name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.number)
    }
}

/// A channel that exactly one instance serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The id in [`Topology::channels`].
    pub id: ChannelId,
    /// The instance that serves it.
    pub instance: InstanceId,
    /// The channel's name on the wire.
    pub name: String,
}

/// What a client exchanges over its connection while nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientActivity {
    /// It sends or receives what its load says: of a chat, it publishes and receives.
    Full,
    /// It only receives what the other clients of its channel publish.
    Receives,
    /// No client publishes to its channel: nothing but heartbeats passes over its connection.
    Idle,
}

/// A simulated client: it connects to one instance, subscribes to one channel there and publishes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The id in [`Topology::clients`].
    pub id: ClientId,
    /// Its name in reports, for example `chat-7`.
    pub name: String,
    /// The load that it belongs to.
    pub load: String,
    /// The client library that it uses.
    pub kind: ClientKind,
    /// The instance that it connects to.
    pub instance: InstanceId,
    /// The channel that it subscribes and publishes to.
    pub channel: ChannelId,
    /// Whether it publishes, and whether it can expect to receive something.
    pub activity: ClientActivity,
}

/// All participants of a run. Ids count from 0 in the order of these lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    instances: Vec<Instance>,
    channels: Vec<Channel>,
    clients: Vec<Client>,
}

impl Topology {
    /// The processes of all services.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The channels of all instances.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The clients of all loads.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The process with this id.
    pub fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(convert::to_usize(id.0))
    }

    /// The channel with this id.
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(convert::to_usize(id.0))
    }

    /// The client with this id.
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(convert::to_usize(id.0))
    }

    /// Adds a process and returns its id.
    pub fn add_instance(&mut self, service: &str, number: u32) -> InstanceId {
        let id = InstanceId(next_id(self.instances.len()));
        self.instances.push(Instance {
            id,
            service: service.to_owned(),
            number,
        });
        id
    }

    /// Adds a channel and returns its id.
    pub fn add_channel(&mut self, instance: InstanceId, name: String) -> ChannelId {
        let id = ChannelId(next_id(self.channels.len()));
        self.channels.push(Channel { id, instance, name });
        id
    }

    /// Adds a client of a channel and returns its id; `None` when the channel does not exist.
    pub fn add_client(
        &mut self,
        name: String,
        load: &str,
        kind: ClientKind,
        channel: ChannelId,
    ) -> Option<ClientId> {
        let instance = self.channel(channel)?.instance;
        let id = ClientId(next_id(self.clients.len()));
        self.clients.push(Client {
            id,
            name,
            load: load.to_owned(),
            kind,
            instance,
            channel,
            activity: ClientActivity::Full,
        });
        Some(id)
    }

    /// Lets only some clients of a load publish: this many, spread evenly over its channels. A channel without a publisher
    /// is idle.
    pub fn limit_publishers(&mut self, load: &str, publishers: u32) {
        let mut of_load: Vec<(ChannelId, ClientId)> = self
            .clients
            .iter()
            .filter(|it| it.load == load)
            .map(|it| (it.channel, it.id))
            .collect();
        of_load.sort_unstable();
        let (len, publishers) = (convert::to_u64(of_load.len()), u64::from(publishers));
        let share = |index: u64| (index * publishers).checked_div(len).unwrap_or_default();
        let (publishing, others): (Vec<_>, Vec<_>) = (0_u64..)
            .zip(of_load)
            .partition(|(index, _)| share(index + 1) > share(*index));
        let busy: BTreeSet<ChannelId> = publishing.iter().map(|(_, (it, _))| *it).collect();
        for (_, (channel, id)) in others {
            if let Some(client) = self.clients.get_mut(convert::to_usize(id.0)) {
                client.activity = if busy.contains(&channel) {
                    ClientActivity::Receives
                } else {
                    ClientActivity::Idle
                };
            }
        }
    }
}

/// The id of the next entry of a list with this length.
fn next_id(len: usize) -> u32 {
    u32::try_from(len).expect("a scenario has far fewer participants than 32 bits can count")
}
